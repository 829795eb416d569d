"""How a file is written is guessed from its beginning."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from leakdetect.errors import ReadingsError
from leakdetect.readings.sniff import sniff


def rows(delimiter: str, decimal: str, time_format: str, count: int = 40) -> str:
    ticks = pd.date_range("2021-01-11 22:00", periods=count, freq="30min").strftime(time_format)
    lines = [f"{t}{delimiter}{i}.{i}{delimiter}7.25".replace(".", decimal) if decimal != "." else
             f"{t}{delimiter}{i}.{i}{delimiter}7.25" for i, t in enumerate(ticks)]  # fmt: skip
    return "\n".join([delimiter.join(["Horodatage", "a", "b"]), *lines]) + "\n"


@pytest.mark.parametrize("delimiter", [";", ",", "\t", "|"])
@pytest.mark.parametrize("decimal", [".", ","])
def test_delimiter_and_decimal(tmp_path: Path, delimiter: str, decimal: str) -> None:
    if delimiter == decimal:
        return
    (tmp_path / "a.csv").write_text(rows(delimiter, decimal, "%Y-%m-%d %H:%M"), encoding="utf-8")
    found = sniff(tmp_path / "a.csv")
    assert found.settings["delimiter"] == delimiter
    assert found.settings["decimal"] == decimal
    assert found.settings["time"] == "Horodatage"
    assert "time_format" not in found.settings
    assert found.columns == ("a", "b")
    assert found.sample["b"].tolist() == [7.25] * 40


@pytest.mark.parametrize("time_format", ["%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M", "%d-%m-%Y %H:%M:%S"])
def test_day_and_month_are_told_by_their_order(tmp_path: Path, time_format: str) -> None:
    (tmp_path / "a.csv").write_text(rows(";", ".", time_format, count=400), encoding="utf-8")
    assert sniff(tmp_path / "a.csv").settings["time_format"] == time_format


def test_unix_long_and_latin(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("time,v\n1577836800,1\n1577836860,2\n", encoding="utf-8")
    assert sniff(tmp_path / "a.csv").settings["time_format"] == "unix"
    (tmp_path / "b.csv").write_bytes(
        "zeit;größe;wert\n2020-01-01 00:00;süd;1,5\n2020-01-01 00:05;süd;2,5\n".encode("latin-1")
    )
    found = sniff(tmp_path / "b.csv")
    assert found.settings["encoding"] == "latin-1"
    assert (found.settings["layout"], found.settings["sensor"], found.settings["value"]) == ("long", "größe", "wert")
    assert found.columns == ("süd",)


def test_text_columns_are_no_readings(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("time,a,note,b\n2020-01-01,1,x,3\n2020-01-02,2,,4\n", encoding="utf-8")
    found = sniff(tmp_path / "a.csv")
    assert found.columns == ("a", "b")
    assert found.text == ("note",)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("time,a\n", "no row"),
        ("x,y\n1,2000\n", "no column of times"),
        ("time,a\n2020-01-01,x\n", "no column of numbers"),
    ],
)
def test_what_is_no_readings_file(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    with pytest.raises(ReadingsError, match=f"a.csv: .*{says}"):
        sniff(tmp_path / "a.csv")


@pytest.mark.shared
def test_published_files(shared: Path) -> None:
    assert sniff(shared / "battledim" / "2018_SCADA_Levels.csv.gz").settings["decimal"] == ","
    ferrara = sniff(shared / "ferrara" / "InflowData.xlsx")
    assert ferrara.settings["time_format"] == "%d/%m/%Y %H:%M"
    assert len(ferrara.columns) == 10
    hanoi = sniff(shared / "leakdb" / "leakdb_hanoi_scenario1.csv.gz")
    assert hanoi.settings["time"] == "Date+Time"
    assert hanoi.text == ("WeekDay", "Month")
