"""Key figures as open data: CSV files with a Table Schema, in a Data Package; and as JSON.

Frictionless Data Package and Table Schema, version 1 (https://specs.frictionlessdata.io). Nothing in them is of a
person: no customer's meter, no place of a leak, no district of fewer than `FEWEST` connections or inhabitants.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from leakdetect.errors import MissingFileError
from leakdetect.events import iso
from leakdetect.files import replace_text
from leakdetect.kpi.figures import NOTES, UNITS, Figure
from leakdetect.kpi.gather import KeyFigures
from leakdetect.units import M3H

FEWEST = 11
"""Connections or inhabitants from which a district's figures say nothing of a household."""

FIGURES, NIGHTS, PACKAGE = "indicators.csv", "nights.csv", "datapackage.json"

_REQUIRED = {"required": True}
_FIELDS: dict[str, list[dict[str, Any]]] = {
    FIGURES: [
        {"name": "site", "type": "string", "constraints": _REQUIRED, "description": "Name of the service."},
        {"name": "district", "type": "string", "description": "District; empty for the whole service."},
        {"name": "from", "type": "datetime", "constraints": _REQUIRED, "description": "Begin of the period, UTC."},
        {"name": "to", "type": "datetime", "constraints": _REQUIRED, "description": "End of the period, UTC."},
        {"name": "indicator", "type": "string", "constraints": {**_REQUIRED, "enum": list(UNITS)},
         "description": "Which one: formulas and sources in docs/kpi.md of leakdetect."},
        {"name": "value", "type": "number", "description": "Empty where it could not be computed."},
        {"name": "low", "type": "number", "description": "Lower end of the interval, where one is known."},
        {"name": "high", "type": "number", "description": "Upper end of the interval, where one is known."},
        {"name": "unit", "type": "string", "constraints": _REQUIRED, "description": "1 for none."},
        {"name": "missing", "type": "string", "description": "What was not given, so that there is no value."},
        {"name": "notes", "type": "string",
         "constraints": {"pattern": f"(({'|'.join(NOTES)})( |$))*"},
         "description": "What is to be known of the value, codes with spaces between."},
    ],
    NIGHTS: [
        {"name": "site", "type": "string", "constraints": _REQUIRED, "description": "Name of the service."},
        {"name": "district", "type": "string", "description": "District; empty for the whole service."},
        {"name": "date", "type": "date", "constraints": _REQUIRED, "description": "Local date."},
        {"name": "min_night_flow", "type": "number", "description": "Minimum night flow [m3/h]; empty: not known."},
        {"name": "mean_flow", "type": "number", "description": "Mean inflow of the day [m3/h]; empty: not known."},
    ],
}  # fmt: skip
_KEYS = {FIGURES: ["site", "district", "from", "indicator"], NIGHTS: ["site", "district", "date"]}
_TITLES = {FIGURES: "Key figures of water losses", NIGHTS: "Minimum night flow, day by day"}


def rows(found: KeyFigures, figures: Iterable[Figure] | None = None) -> list[dict[str, Any]]:
    """Return the figures as plain values by the columns of `indicators.csv`; all where none are named."""
    return [
        {
            "site": found.site.name,
            "district": f.district,
            "from": iso(found.since),
            "to": iso(found.until),
            "indicator": f.name,
            "value": _rounded(f.value),
            "low": _rounded(f.low),
            "high": _rounded(f.high),
            "unit": f.unit,
            "missing": list(f.missing),
            "notes": list(f.notes),
        }
        for f in (found.figures if figures is None else figures)
    ]


def to_json(found: KeyFigures) -> str:
    """Return one JSON array, a figure an object."""
    return json.dumps(rows(found), indent=1, ensure_ascii=False, allow_nan=False)


def to_csv(found: KeyFigures, figures: Iterable[Figure] | None = None) -> str:
    """Return the figures as comma-separated text with a header (RFC 4180)."""
    flat = [
        row | {"missing": " ".join(row["missing"]), "notes": " ".join(row["notes"])} for row in rows(found, figures)
    ]
    return _text(FIGURES, flat)


def write_package(found: KeyFigures, folder: Path) -> list[Path]:
    """Write the figures and the nights with their schema to a folder, which is made if its parent is there.

    Districts too small for open data are left out.

    Raises
    ------
    MissingFileError
        If the parent is not there.
    InputError
        If a file cannot be written.
    """
    if not folder.absolute().parent.is_dir():
        raise MissingFileError(f"{folder.absolute().parent}: no such folder: make it, or name another with --out")
    folder.mkdir(exist_ok=True)
    shown = [name for name in found.nights if not _too_small(found, name)]
    figures = [f for f in found.figures if f.district in shown]
    files = {
        FIGURES: to_csv(found, figures),
        NIGHTS: _text(NIGHTS, _nights(found, shown)),
        PACKAGE: json.dumps(_package(found), indent=1, ensure_ascii=False) + "\n",
    }
    return [replace_text(folder / name, text) for name, text in files.items()]


def schema(name: str) -> dict[str, Any]:
    """Return the Table Schema of one of the files."""
    return {"fields": _FIELDS[name], "missingValues": [""], "primaryKey": _KEYS[name]}


def _package(found: KeyFigures) -> dict[str, Any]:
    resources = [
        {
            "name": Path(name).stem,
            "title": _TITLES[name],
            "path": name,
            "profile": "tabular-data-resource",
            "format": "csv",
            "mediatype": "text/csv",
            "encoding": "utf-8",
            "schema": schema(name),
        }
        for name in (FIGURES, NIGHTS)
    ]
    title = f"{found.site.name}: {_TITLES[FIGURES]}"
    return {"profile": "tabular-data-package", "name": "water-losses", "title": title, "resources": resources}


def _too_small(found: KeyFigures, name: str) -> bool:
    site = found.site
    place = site.kpi.districts.get(name) if name else site
    counts = [] if place is None else [n for n in (place.connections, place.inhabitants) if n is not None]
    return any(n < FEWEST for n in counts)


def _nights(found: KeyFigures, shown: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {
            "site": found.site.name,
            "district": name,
            "date": str(day),
            "min_night_flow": _rounded(low * M3H),
            "mean_flow": _rounded(mean * M3H),
        }
        for name in shown
        for day, low, mean in zip(
            found.nights[name].day, found.nights[name].lowest, found.nights[name].mean, strict=True
        )
    ]


def _text(name: str, lines: Iterable[Mapping[str, Any]]) -> str:
    written = io.StringIO()
    writer = csv.DictWriter(written, [field["name"] for field in _FIELDS[name]])
    writer.writeheader()
    writer.writerows(lines)
    return written.getvalue()


def _rounded(value: float | None) -> float | None:
    """Return six significant figures: more would feign a precision that no meter has."""
    return None if value is None or not np.isfinite(value) else float(f"{value:.6g}")
