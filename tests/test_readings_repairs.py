"""The list of repairs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from leakdetect.errors import ElementError, InputError, LeakdetectError, MissingFileError
from leakdetect.events import Repair
from leakdetect.network import Network
from leakdetect.readings import load_repairs
from leakdetect.site import ReadingsBlock, Site


def site(folder: Path, repairs: str | None = "repairs.csv", timezone: str = "UTC") -> Site:
    block = ReadingsBlock.model_validate({"glob": "*", "quantity": "flow", "unit": "L/s"})
    return Site(name="s", readings=[block], repairs=repairs, timezone=timezone, folder=folder)


@pytest.mark.parametrize(
    "text",
    [
        "# linkID, fixTime\np2, 2018-06-01 08:00\np1, 2018-04-02 11:40\n",
        "\n# a note\n\np1,2018-04-02T11:40\n# p9, 2018-04-02 11:40\np2,2018-06-01 08:00:00\n",
        "when;pipe;crew\n02/04/2018 11:40;p1;A\n01/06/2018 08:00;p2;B\n",
        "link,repaired\np1,2018-04-02 13:40+02:00\np2,2018-06-01 08:00Z\n",
    ],
)
def test_ways_of_writing(tmp_path: Path, text: str) -> None:
    (tmp_path / "repairs.csv").write_text(text, encoding="utf-8-sig")
    expected = [("p1", "2018-04-02T11:40"), ("p2", "2018-06-01T08:00")]
    assert load_repairs(site(tmp_path), None) == [Repair(link, np.datetime64(time, "ns")) for link, time in expected]


def test_zone_and_whole_days(tmp_path: Path) -> None:
    (tmp_path / "repairs.csv").write_text("p1, 2018-07-02 11:40\np2, 2018-07-03\n", encoding="utf-8")
    first, second = load_repairs(site(tmp_path, timezone="Europe/Paris"), None)
    assert first.time == np.datetime64("2018-07-02T09:40")
    assert second.time == np.datetime64("2018-07-03T22:00")  # the day's end: by then it was done


def test_none(tmp_path: Path) -> None:
    assert load_repairs(site(tmp_path, None), None) == []


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("p1, 2018-04-02\np2, soon\n", InputError, r"repairs.csv: row 2: 'p2, soon'"),
        ("p1, 2018-04-02\np2\n", InputError, r"repairs.csv: row 2"),
        ("link,time\n,2018-04-02\n", InputError, r"repairs.csv: row 2"),
        (None, MissingFileError, r"repairs.csv: no such file"),
    ],
)
def test_what_is_wrong(tmp_path: Path, text: str | None, error: type[LeakdetectError], says: str) -> None:
    if text is not None:
        (tmp_path / "repairs.csv").write_text(text, encoding="utf-8")
    with pytest.raises(error, match=says):
        load_repairs(site(tmp_path), None)


@pytest.mark.shared
def test_links_are_looked_up(tmp_path: Path, ltown: Network) -> None:
    (tmp_path / "repairs.csv").write_text("p1, 2018-04-02\nq2, 2018-04-03\n", encoding="utf-8")
    with pytest.raises(ElementError, match=r"repairs.csv: row 2: the network has no link 'q2'"):
        load_repairs(site(tmp_path), ltown)


@pytest.mark.shared
def test_published_list(shared: Path, ltown: Network) -> None:
    repairs = load_repairs(site(shared / "battledim", "2018_Fixing_Reports.txt"), ltown)
    assert len(repairs) == 10
    assert repairs[0] == Repair("p232", np.datetime64("2018-02-10T09:20", "ns"))
