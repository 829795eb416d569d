from __future__ import annotations

import csv
import io
import json
import sqlite3
import struct
from contextlib import closing
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
import sample_results as sample

from leakdetect.errors import MissingFileError
from leakdetect.events import Status, Zone
from leakdetect.report import geojson, geopackage, table

LAYERS = ("zones", "candidates", "sensors", "network")
DOUBLE = {"candidates": (), "zone": Zone((), float("nan"), 1.0)}


def rows(network, events):
    return list(csv.DictReader(io.StringIO(table.dumps(network, events))))


def ends(link):
    """The two ends of a link of the sample as the model draws it."""
    network = sample.network()
    j = network.link(link)
    return [network.xy[network.start[j]].tolist(), network.xy[network.end[j]].tolist()]


# CSV


def test_csv_has_a_row_for_each_pipe():
    got = rows(sample.network(), [sample.BURST])
    assert [r["link"] for r in got] == ["0-0", "p3", "p1", "p9"]
    assert [r["rank"] for r in got] == ["1", "2", "3", "4"]
    assert [r["in_zone"] for r in got] == ["1", "1", "0", "0"]
    first = got[0]
    assert (first["start"], first["end"], first["flow_m3h"]) == ("2024-03-09T23:00:00Z", "", "12.0")
    assert (first["length_m"], first["lost_m3"], first["sensors"]) == ("100.0", "288.0", f"1-1; in; {sample.NASTY}")


def test_csv_shows_the_newest_estimate():
    got = rows(None, [sample.GROWING])
    assert [(r["link"], r["flow_m3h"], r["length_m"]) for r in got] == [("p5", "6.0", ""), ("p3", "6.0", "")]


def test_csv_keeps_an_event_without_pipes():
    (row,) = rows(None, [replace(sample.BURST, **DOUBLE)])
    assert (row["event"], row["rank"], row["link"], row["zone_length_m"]) == ("burst-1", "", "", "")


def test_csv_quotes_what_must_be_quoted():
    odd = 'a,"b"\nc'
    (row,) = rows(None, [replace(sample.BURST, model=odd, candidates=())])
    assert row["model"] == odd


def test_csv_of_no_events_is_a_header():
    assert table.dumps(None, []).strip().split(",") == list(table.COLUMNS)


# GeoJSON


def test_geojson_draws_zones_and_pipes():
    got = json.loads(geojson.dumps(sample.network(), [sample.BURST]))
    assert set(got) == {"type", "features"}  # RFC 7946 knows no crs
    zone, *pipes = got["features"]
    assert zone["geometry"] == {"type": "MultiLineString", "coordinates": [ends("0-0"), ends("p3")]}
    assert zone["properties"]["layer"] == "zone"
    assert zone["properties"]["start_low"] == "2024-03-09T20:00:00Z"
    assert [p["properties"]["rank"] for p in pipes] == [1, 2, 3, 4]
    assert pipes[1]["geometry"] == {"type": "LineString", "coordinates": ends("p3")}
    assert all(p["properties"]["event"] == "burst-1" for p in pipes)


def test_geojson_names_a_known_coordinate_system():
    got = geojson.collection(sample.network(), [], "EPSG:2154")
    assert got["crs"]["properties"]["name"] == "urn:ogc:def:crs:EPSG::2154"


@pytest.mark.parametrize("network", [None, sample.network(xy=np.full((10, 2), np.nan))])
def test_geojson_without_a_drawing_has_no_geometry_and_no_nan(network):
    got = json.loads(geojson.dumps(network, [sample.BURST, replace(sample.BURST, id="b", **DOUBLE)]))
    assert len(got["features"]) == 6
    assert all(f["geometry"] is None for f in got["features"])
    assert got["features"][-1]["properties"]["zone_length_m"] is None


# GeoPackage


def points(blob):
    """Read a GeoPackage geometry of lines: header of 8 bytes, then little-endian WKB."""
    assert blob[:4] == b"GP\x00\x01"
    kind, count = struct.unpack_from("<xII", blob, 8)
    if kind == 2:
        return [list(p) for p in struct.iter_unpack("<dd", blob[17:])]
    assert kind == 5
    size = 9 + 2 * 16
    assert len(blob) == 17 + count * size
    return [
        [list(p) for p in struct.iter_unpack("<dd", blob[17 + i * size + 9 : 17 + (i + 1) * size])]
        for i in range(count)
    ]


def test_geopackage_holds_the_same_lines(tmp_path):
    path = geopackage.write(tmp_path / "x.gpkg", sample.network(), [sample.BURST, sample.GROWING])
    with closing(sqlite3.connect(path)) as base:
        assert base.execute("PRAGMA application_id").fetchone() == (0x47504B47,)
        assert base.execute("PRAGMA foreign_key_check").fetchall() == []
        zones = base.execute("SELECT event, flow_m3h, geom FROM zones").fetchall()
        pipes = base.execute("SELECT link, rank, geom FROM candidates WHERE event = 'burst-1'").fetchall()
        layers = base.execute("SELECT table_name, srs_id, min_x, max_x FROM gpkg_contents").fetchall()
    assert [(e, f) for e, f, _ in zones] == [("burst-1", 12.0), ("growing-1", 6.0)]
    assert points(zones[0][2]) == [ends("0-0"), ends("p3")]
    assert [(link, rank) for link, rank, _ in pipes] == [("0-0", 1), ("p3", 2), ("p1", 3), ("p9", 4)]
    assert points(pipes[1][2]) == ends("p3")
    xs = [x for c in ("0-0", "p3", "p1", "p9", "p5") for x, _ in ends(c)]
    assert ("candidates", -1, min(xs), max(xs)) in layers


def test_geopackage_holds_the_network_and_its_sensors_but_no_meter(tmp_path):
    network = sample.network(diameter=np.array([0.15] * 9 + [np.nan] * 4))
    path = geopackage.write(tmp_path / "x.gpkg", network, [], data=sample.data())
    with closing(sqlite3.connect(path)) as base:
        links = base.execute("SELECT link, kind, diameter_mm, length_m, geom FROM network").fetchall()
        sensors = base.execute("SELECT sensor, quantity, element, dma, geom FROM sensors").fetchall()
        boxes = dict(base.execute("SELECT table_name, max_x FROM gpkg_contents").fetchall())
    assert [row[0] for row in links] == list(network.link_names)
    assert links[0][1:4] == ("pipe", 150.0, 100.0)
    assert links[-1][1:4] == ("pump", None, None)
    assert [points(row[4]) for row in links] == [ends(row[0]) for row in links]
    assert [row[:4] for row in sensors] == [
        ("1-1", "pressure", "1-1", "North"), (sample.NASTY, "pressure", "2-2", "North"),
        ("in", "flow", "pump", "North"), ("tank", "level", "R", "North"),
    ]  # fmt: skip
    pump = np.mean(ends("pump"), axis=0).tolist()
    spots = [list(struct.unpack_from("<xIdd", blob, 8)[1:]) for *_, blob in sensors]
    assert spots == [*(network.xy[network.node(name)].tolist() for name in ("1-1", "2-2")), pump,
                     network.xy[network.node("R")].tolist()]  # fmt: skip
    assert all(struct.unpack_from("<xI", blob, 8) == (1,) for *_, blob in sensors)
    assert boxes["network"] == network.xy[:, 0].max()


def test_geopackage_takes_the_sites_coordinate_system(tmp_path):
    path = geopackage.write(tmp_path / "x.gpkg", sample.network(), [sample.BURST], "EPSG:2154")
    with closing(sqlite3.connect(path)) as base:
        assert base.execute("SELECT DISTINCT srs_id FROM gpkg_geometry_columns").fetchall() == [(2154,)]
        assert base.execute("SELECT organization FROM gpkg_spatial_ref_sys WHERE srs_id = 2154").fetchone() == ("EPSG",)
        assert base.execute("PRAGMA foreign_key_check").fetchall() == []


def test_geopackage_without_a_network_and_without_events(tmp_path):
    path = geopackage.write(tmp_path / "x.gpkg", None, [replace(sample.BURST, **DOUBLE)])
    with closing(sqlite3.connect(path)) as base:
        assert base.execute("SELECT event, geom, zone_length_m FROM zones").fetchall() == [("burst-1", None, None)]
    geopackage.write(path, None, [])
    with closing(sqlite3.connect(path)) as base:
        assert base.execute("SELECT count(*) FROM zones").fetchone() == (0,)
    assert [p.name for p in tmp_path.iterdir()] == ["x.gpkg"]


def test_geopackage_needs_its_folder(tmp_path):
    with pytest.raises(MissingFileError, match="no such folder"):
        geopackage.write(tmp_path / "no" / "x.gpkg", None, [])


def test_geopackage_brings_its_styles(tmp_path):
    path = geopackage.write(tmp_path / "x.gpkg", sample.network(), [sample.BURST])
    with closing(sqlite3.connect(path)) as base:
        styles = base.execute(
            "SELECT f_table_name, f_geometry_column, useAsDefault, styleQML FROM layer_styles"
        ).fetchall()
        assert base.execute("SELECT data_type FROM gpkg_contents WHERE table_name = 'layer_styles'").fetchall() == [
            ("attributes",)
        ]
        columns = {t: {r[1] for r in base.execute(f"PRAGMA table_info({t})")} for t in LAYERS}
    assert {(table, column, default) for table, column, default, _ in styles} == {(name, "geom", 1) for name in LAYERS}
    for name, _, _, text in styles:
        renderer = ElementTree.fromstring(text).find("renderer-v2")
        assert renderer.get("attr") in columns[name]
        used = {e.get("symbol") for e in renderer.iter() if e.tag in {"range", "category"}}
        assert {e.get("type") for e in renderer.iter("symbol")} == {"marker" if name == "sensors" else "line"}
        assert used == {e.get("name") for e in renderer.iter("symbol")}
    ranges = [
        (float(e.get("lower")), float(e.get("upper"))) for e in ElementTree.fromstring(styles[1][3]).iter("range")
    ]
    assert [ranges[0][0], *(high for _, high in ranges)] == [*(low for low, _ in ranges), 1.0]  # no gap from 0 to 1
    statuses = {e.get("value") for e in ElementTree.fromstring(styles[0][3]).iter("category")}
    assert statuses == {str(status) for status in Status}
