"""site.toml."""

from __future__ import annotations

from pathlib import Path

import pytest

from leakdetect.errors import MissingFileError, SiteError
from leakdetect.schema import Quantity
from leakdetect.site import load_site

GOOD = """
name = "village"
timezone = "Europe/Paris"
[[readings]]
glob = "readings/*.csv"
quantity = "flow"
unit = "m3/h"
columns = { "Débit (m3/h)" = "" }
dmas = { "Débit (m3/h)" = "village" }
"""


def test_a_site(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text(GOOD, encoding="utf-8")
    site = load_site(tmp_path)
    assert site.name == "village"
    assert site.readings[0].quantity is Quantity.FLOW
    assert site.readings[0].dmas == {"Débit (m3/h)": "village"}
    assert site.path("x.csv") == tmp_path.resolve() / "x.csv"
    assert site.detection.false_alarms_per_year == 2


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('name = "village"', "", r"site.toml: name: must be given"),
        ('"m3/h"\ncol', '"m3"\ncol', r"readings.0: unit 'm3' does not measure flow"),
        ('"flow"', '"smell"', r"readings.0.quantity"),
        ("Europe/Paris", "Paris", r"timezone: unknown time zone 'Paris'"),
        ("Europe/Paris", "Europe", r"timezone: unknown time zone 'Europe'"),
        ('unit = "m3/h"', 'unit = "m3/h"\ntimezone = "X"', r"readings.0.timezone: unknown time zone 'X'"),
        ('unit = "m3/h"', 'unit = "m3/h"\ncolour = "red"', r"readings.0.colour: no such key"),
        ('unit = "m3/h"', 'unit = "m3/h"\nencoding = "klingon"', r"readings.0.encoding: unknown encoding"),
        ('unit = "m3/h"', 'unit = "m3/h"\ndelimiter = "::"', r"readings.0.delimiter"),
        ('name = "village"', 'name = "village"\nfolder = "x"', r"folder: no such key"),
        ("[[readings]]", "[[readings", r"not valid TOML"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert old in GOOD
    (tmp_path / "site.toml").write_text(GOOD.replace(old, new), encoding="utf-8")
    with pytest.raises(SiteError, match=says) as caught:
        load_site(tmp_path)
    assert "\n" not in str(caught.value)


def test_no_site(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"leakdetect init"):
        load_site(tmp_path)
