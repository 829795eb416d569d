"""Events as a GeoPackage (OGC 12-128r15): layers `zones`, `candidates`, `network`, `sensors`, for QGIS and other GIS.

The file is an SQLite database with feature tables, and the styles in which QGIS shows them. Coordinates are those
of the network's drawing; where the site does not name their coordinate system, the layers are 'undefined Cartesian'
(-1): set theirs in the GIS.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import xarray as xr

from leakdetect.events import Event
from leakdetect.files import replacing
from leakdetect.network import Link, Network
from leakdetect.plot import sensor_place
from leakdetect.report import qgis
from leakdetect.report.facts import current
from leakdetect.report.geojson import Line, Lines, finite, properties
from leakdetect.schema import SENSOR, without_meters

_UNDEFINED = -1  # Cartesian
_APPLICATION, _VERSION = 0x47504B47, 10300  # 'GPKG', 1.3
_POINT, _LINE, _MULTI = 1, 2, 5  # WKB

_Row = tuple[list[Line], dict[str, Any]]

_WGS84 = (
    'GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563,AUTHORITY["EPSG","7030"]],'
    'AUTHORITY["EPSG","6326"]],PRIMEM["Greenwich",0,AUTHORITY["EPSG","8901"]],UNIT["degree",0.0174532925199433,'
    'AUTHORITY["EPSG","9122"]],AXIS["Latitude",NORTH],AXIS["Longitude",EAST],AUTHORITY["EPSG","4326"]]'
)
_SCHEMA = """
CREATE TABLE gpkg_spatial_ref_sys (
  srs_name TEXT NOT NULL, srs_id INTEGER PRIMARY KEY, organization TEXT NOT NULL,
  organization_coordsys_id INTEGER NOT NULL, definition TEXT NOT NULL, description TEXT);
CREATE TABLE gpkg_contents (
  table_name TEXT NOT NULL PRIMARY KEY, data_type TEXT NOT NULL, identifier TEXT UNIQUE, description TEXT DEFAULT '',
  last_change DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')),
  min_x DOUBLE, min_y DOUBLE, max_x DOUBLE, max_y DOUBLE, srs_id INTEGER REFERENCES gpkg_spatial_ref_sys(srs_id));
CREATE TABLE gpkg_geometry_columns (
  table_name TEXT NOT NULL UNIQUE REFERENCES gpkg_contents(table_name), column_name TEXT NOT NULL,
  geometry_type_name TEXT NOT NULL, srs_id INTEGER NOT NULL REFERENCES gpkg_spatial_ref_sys(srs_id),
  z TINYINT NOT NULL, m TINYINT NOT NULL, PRIMARY KEY (table_name, column_name));
CREATE TABLE layer_styles (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, f_table_catalog TEXT(256), f_table_schema TEXT(256),
  f_table_name TEXT(256), f_geometry_column TEXT(256), styleName TEXT(30), styleQML TEXT, styleSLD TEXT,
  useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT(30),
  update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')));
CREATE TABLE zones (
  fid INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, geom MULTILINESTRING, event TEXT, status TEXT, kind TEXT,
  raised_at DATETIME, start DATETIME, start_low DATETIME, start_high DATETIME, "end" DATETIME, flow_m3h DOUBLE,
  flow_low DOUBLE, flow_high DOUBLE, lost_m3 DOUBLE, first_link TEXT, first_probability DOUBLE, zone_links INTEGER,
  zone_length_m DOUBLE, zone_probability DOUBLE, sensors TEXT, model TEXT, data_until DATETIME);
CREATE TABLE candidates (
  fid INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, geom LINESTRING, event TEXT, status TEXT, rank INTEGER, link TEXT,
  probability DOUBLE, length_m DOUBLE);
CREATE TABLE network (
  fid INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, geom LINESTRING, link TEXT, kind TEXT, diameter_mm DOUBLE,
  length_m DOUBLE);
CREATE TABLE sensors (
  fid INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, geom POINT, sensor TEXT, quantity TEXT, element TEXT, dma TEXT);
"""


def write(
    path: Path,
    network: Network | None,
    events: Iterable[Event],
    crs: str | None = None,
    data: xr.Dataset | None = None,
) -> Path:
    """Write the newest estimate of each event, its ranked pipes, the network and its sensors.

    The file is replaced as a whole.

    Parameters
    ----------
    path : Path
    network : Network or None
        Without one the rows have no geometry.
    events : iterable of Event
    crs : str, optional
        Coordinate system of the drawing, such as 'EPSG:2154'.
    data : Dataset, optional
        Readings, whose sensors are shown; customers' meters are left out.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    events = list(events)
    lines = Lines(network)
    srs = int(crs.split(":")[1]) if crs is not None else _UNDEFINED
    with replacing(path) as part, closing(sqlite3.connect(part)) as base, base:
        base.executescript(_SCHEMA)
        base.execute(f"PRAGMA application_id = {_APPLICATION}")
        base.execute(f"PRAGMA user_version = {_VERSION}")
        base.executemany(
            "INSERT INTO gpkg_spatial_ref_sys VALUES (?, ?, ?, ?, ?, ?)",
            [
                ("Undefined Cartesian SRS", -1, "NONE", -1, "undefined", "the drawing's own coordinates"),
                ("Undefined geographic SRS", 0, "NONE", 0, "undefined", ""),
                ("WGS 84", 4326, "EPSG", 4326, _WGS84, ""),
            ],
        )
        if srs not in {_UNDEFINED, 4326}:
            row = (f"EPSG:{srs}", srs, "EPSG", srs, "undefined", "")  # readers look the code up
            base.execute("INSERT INTO gpkg_spatial_ref_sys VALUES (?, ?, ?, ?, ?, ?)", row)
        zones, pipes = [], []
        for original in events:
            event = current(original)
            zones.append((lines.zone(event.zone.links), properties(original)))
            for rank, c in enumerate(event.candidates, 1):
                values = {
                    "event": event.id,
                    "status": str(event.status),
                    "rank": rank,
                    "link": c.link,
                    "probability": c.probability,
                    "length_m": lines.length(c.link),
                }
                line = lines.of(c.link)
                pipes.append(([line] if line else [], values))
        _layer(base, "zones", "MULTILINESTRING", zones, srs)
        _layer(base, "candidates", "LINESTRING", pipes, srs)
        _layer(base, "sensors", "POINT", _sensors(network, data), srs)
        _layer(base, "network", "LINESTRING", _links(network, lines), srs)
        styles = {"zones": qgis.zones(), "candidates": qgis.candidates(), "sensors": qgis.sensors()}
        _styles(base, {**styles, "network": qgis.network()})
    return path


def _links(network: Network | None, lines: Lines) -> list[_Row]:
    if network is None:
        return []
    return [
        (
            [line] if (line := lines.of(name)) else [],
            {
                "link": name,
                "kind": Link(network.link_kind[j]).name.lower(),
                "diameter_mm": finite(network.diameter[j] * 1000) if network.link_kind[j] != Link.PUMP else None,
                "length_m": finite(network.length[j]) if network.link_kind[j] == Link.PIPE else None,
            },
        )
        for j, name in enumerate(network.link_names)
    ]


def _sensors(network: Network | None, data: xr.Dataset | None) -> list[_Row]:
    if data is None:
        return []
    named = without_meters(data)
    columns = (named[key].values.tolist() for key in (SENSOR, "quantity", "element", "dma"))
    rows: list[_Row] = []
    for name, quantity, element, dma in zip(*columns, strict=True):
        spot = sensor_place(network, element, quantity) if network is not None else None
        values = {"sensor": name, "quantity": quantity, "element": element, "dma": dma or None}
        rows.append(([[spot.tolist()]] if spot is not None else [], values))
    return rows


def _styles(base: sqlite3.Connection, styles: Mapping[str, str]) -> None:
    """Write the layers' default styles as QGIS keeps them."""
    base.execute(
        "INSERT INTO gpkg_contents (table_name, data_type, identifier, srs_id) "
        "VALUES ('layer_styles', 'attributes', 'layer_styles', 0)"
    )
    base.executemany(
        "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, f_geometry_column, styleName, "
        "styleQML, styleSLD, useAsDefault, description, owner) "
        "VALUES ('', '', ?, 'geom', 'leakdetect', ?, '', 1, '', '')",
        list(styles.items()),
    )


def _layer(base: sqlite3.Connection, name: str, kind: str, rows: Sequence[_Row], srs: int) -> None:
    points = [point for parts, _ in rows for line in parts for point in line]
    xs, ys = [x for x, _ in points], [y for _, y in points]
    box = (min(xs), min(ys), max(xs), max(ys)) if points else (None, None, None, None)
    base.execute(
        "INSERT INTO gpkg_contents (table_name, data_type, identifier, min_x, min_y, max_x, max_y, srs_id) "
        "VALUES (?, 'features', ?, ?, ?, ?, ?, ?)",
        (name, name, *box, srs),
    )
    base.execute("INSERT INTO gpkg_geometry_columns VALUES (?, 'geom', ?, ?, 0, 0)", (name, kind, srs))
    for parts, values in rows:
        columns = ", ".join(f'"{column}"' for column in values)
        marks = ", ".join("?" for _ in values)
        base.execute(
            f'INSERT INTO "{name}" (geom, {columns}) VALUES (?, {marks})',  # noqa: S608  (names are our own)
            (_geometry(parts, kind, srs), *values.values()),
        )


def _geometry(parts: list[Line], kind: str, srs: int) -> bytes | None:
    """Return lines, or a point, as a GeoPackage blob: header without envelope, then little-endian WKB."""
    if not parts:
        return None
    header = b"GP" + struct.pack("<BBi", 0, 1, srs)
    if kind == "POINT":
        return header + struct.pack("<BIdd", 1, _POINT, *parts[0][0])
    lines = [struct.pack("<BII", 1, _LINE, len(p)) + b"".join(struct.pack("<dd", x, y) for x, y in p) for p in parts]
    wkb = lines[0] if kind == "LINESTRING" else struct.pack("<BII", 1, _MULTI, len(lines)) + b"".join(lines)
    return header + wkb
