"""Key figures as they are printed and published."""

from __future__ import annotations

import csv
import json
import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import Command

from leakdetect.errors import MissingFileError
from leakdetect.kpi import export, words
from leakdetect.kpi.figures import GROUPS, NOTES, UNITS
from leakdetect.kpi.gather import KeyFigures
from leakdetect.site import Kpi, Site

PROJECT = Path(__file__).parents[1]


def test_every_word_is_there_in_both_languages() -> None:
    assert set(words.LABELS) == set(UNITS)
    assert set(words.NOTES) == set(NOTES)
    assert set(words.GROUPS) == set(GROUPS)
    assert set(GROUPS.values()) <= set(UNITS)
    assert all(all(pair) for table in (words.LABELS, words.NOTES, words.GROUPS) for pair in table.values())


def test_the_page_explains_every_figure() -> None:
    page = (PROJECT / "docs" / "kpi.md").read_text(encoding="utf-8")
    assert {name for name in (*UNITS, *NOTES) if f"`{name}`" not in page} == set()


def test_the_page_has_every_key_of_the_site() -> None:
    page = (PROJECT / "docs" / "kpi.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```toml\n(.*?)```", page, flags=re.DOTALL)
    plain = tomllib.loads(text)
    block = {"glob": "flow.csv", "quantity": "flow", "unit": "m3/h"}
    site = Site(name="as the page has it", readings=[block], **plain)
    assert site.kpi.model_fields_set == set(Kpi.model_fields)
    assert {"inhabitants", "connections"} <= site.model_fields_set


def test_the_table(run: Command, service: Path) -> None:
    shown = run.ok("kpi", service)
    assert "two districts: 2024-05-01 00:00 to 2024-05-21 00:00" in shown
    assert re.search(r"minimum night flow +8 +m³/h", shown)
    assert "District north" in shown
    assert re.search(r"^kpi\.monitoring_cost_per_year +cost of finding leaks; return on it", shown, re.MULTILINE)
    assert re.search(r"^kpi\.districts\.south\.inhabitants +legitimate night use", shown, re.MULTILINE)
    french = run.ok("kpi", service, "--language", "fr")
    assert re.search(r"P104\.3 rendement du réseau +68,\d +% +atteint le seuil \[(\d)\]", french)
    assert re.search(r"^\[\d\] pas douze mois : indicatif", french, re.MULTILINE)
    assert "m³/j/km" in french


def test_json_and_csv_agree(run: Command, service: Path, found: KeyFigures) -> None:
    told: list[dict[str, Any]] = json.loads(run.ok("kpi", service, "--format", "json"))
    assert len(told) == len(found.figures)
    lines = list(csv.DictReader(run.ok("kpi", service, "--format", "csv").splitlines()))
    assert [line["value"] for line in lines] == ["" if t["value"] is None else str(t["value"]) for t in told]
    assert told[0]["from"] == "2024-04-30T22:00:00Z"
    days = json.loads(run.ok("kpi", service, "--format", "json", "--from", "2024-05-03", "--to", "2024-05-04"))
    assert next(d["value"] for d in days if d["indicator"] == "nights") == 2


def valid(value: str, field: dict[str, Any]) -> bool:
    """Say whether a cell is as its field's schema wants it."""
    limits = field.get("constraints", {})
    if not value:
        return not limits.get("required", False)
    read = {"number": float, "string": str, "date": np.datetime64, "datetime": lambda v: np.datetime64(v.rstrip("Z"))}
    read[field["type"]](value)
    return value in limits.get("enum", [value]) and re.fullmatch(limits.get("pattern", ".*"), value) is not None


def test_open_data_keeps_its_schema(run: Command, service: Path, tmp_path: Path) -> None:
    run.ok("kpi", service, "--out", tmp_path / "open")
    assert sorted(p.name for p in (tmp_path / "open").iterdir()) == ["datapackage.json", "indicators.csv", "nights.csv"]
    package = json.loads((tmp_path / "open" / "datapackage.json").read_text(encoding="utf-8"))
    for resource in package["resources"]:
        fields = {f["name"]: f for f in resource["schema"]["fields"]}
        with (tmp_path / "open" / resource["path"]).open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert rows
        assert list(rows[0]) == list(fields)
        assert all(valid(value, fields[name]) for row in rows for name, value in row.items())
        keys = [tuple(row[k] for k in resource["schema"]["primaryKey"]) for row in rows]
        assert len(set(keys)) == len(keys)
    assert not valid("x y", fields["date"] | {"constraints": {"enum": ["a"]}, "type": "string"})


def test_the_schema_is_a_table_schema() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    # https://specs.frictionlessdata.io/schemas/table-schema.json, as published (version 1)
    published = json.loads((PROJECT / "tests" / "table_schema.json").read_text(encoding="utf-8"))
    check = jsonschema.Draft4Validator(published)
    for name in (export.FIGURES, export.NIGHTS):
        assert list(check.iter_errors(export.schema(name))) == []
    assert list(check.iter_errors({"fields": [{"type": "number"}]}))  # a field without a name


def test_a_handful_of_households_is_not_published(found: KeyFigures, tmp_path: Path) -> None:
    few = replace(found, site=found.site.model_copy(deep=True))
    north = few.site.kpi.districts["north"].model_copy(update={"connections": 10})
    few.site.kpi.districts["north"] = north
    export.write_package(few, tmp_path / "open")
    for name in (export.FIGURES, export.NIGHTS):
        text = (tmp_path / "open" / name).read_text(encoding="utf-8")
        assert ",south," in text
        assert ",north," not in text
    with pytest.raises(MissingFileError, match="no such folder"):
        export.write_package(found, tmp_path / "no" / "open")
