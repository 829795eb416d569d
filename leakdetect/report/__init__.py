"""Results for people and for other programs: one HTML page, CSV, GeoJSON, GeoPackage. Nothing here computes."""

from __future__ import annotations

from leakdetect.report.page import write_report

__all__ = ["write_report"]
