"""The command `score`: what was found, against what was there."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leakdetect.cli import app
from leakdetect.cli.console import table

if TYPE_CHECKING:
    from leakdetect.evaluate import LabelScore, Leak, Score
    from leakdetect.evaluate.score import Awareness
    from leakdetect.events import Event
    from leakdetect.network import Network
    from leakdetect.site import Site


class Rule(StrEnum):
    """Whose rule scores."""

    BATTLEDIM = "battledim"
    LEAKDB = "leakdb"


class Format(StrEnum):
    """How the figures are printed."""

    TABLE = "table"
    JSON = "json"


@app.command(epilog="Example: leakdetect score events.json --truth leaks.csv --network town.inp --year 2019")
def score(
    target: Annotated[Path, typer.Argument(metavar="DIR|EVENTS.json", help="A site folder, or events as JSON.")],
    truth: Annotated[
        Path,
        typer.Option(
            help="leaks.csv; the flows <year>_Leakages.csv.gz are read from the same folder. "
            "By LeakDB's rule Labels.csv too."
        ),
    ],
    *,
    year: Annotated[
        int | None, typer.Option(help="The year to score; every year with leak flows if not given.")
    ] = None,
    network: Annotated[Path | None, typer.Option(help="EPANET model; the site's own if not given.")] = None,
    rule: Annotated[Rule, typer.Option(help="battledim: euros by leak; leakdb: labels by time step.")] = Rule.BATTLEDIM,
    format_: Annotated[Format, typer.Option("--format", help="table, or one JSON array with an object a year.")] = (
        Format.TABLE
    ),
) -> None:
    """Score detected leaks against the leaks that were really there."""
    import numpy as np

    from leakdetect.epanet import load_network
    from leakdetect.evaluate import alarms, read_labels, read_truth, score_battledim, score_labels, score_leakdb

    events, site = _events(target)
    if rule is Rule.LEAKDB and truth.name.lower() == "labels.csv":
        time, truly = read_labels(truth)
        of = (
            np.ones(len(time), dtype=bool) if year is None else time.astype("datetime64[Y]") == np.datetime64(f"{year}")
        )
        told = score_labels(truly[of], alarms(events, time[of]))
        if format_ is Format.JSON:
            _print_json([{"rule": rule, "year": year, **told.to_dict()}])
        else:
            _print_leakdb([year or "all"], [told])
        return
    model: Network | None = None
    if rule is Rule.BATTLEDIM:
        model = load_network(_network_path(target, network, site))
    leaks = read_truth(truth, model, site.timezone if site else "UTC")
    years = _years(truth, leaks, year)
    if model is not None:
        scores = [score_battledim(model, events, leaks, y) for y in years]
        if format_ is Format.JSON:
            _print_json([{"rule": rule, **s.to_dict()} for s in scores])
        else:
            _print_battledim(scores)
        return
    windows = [(np.datetime64(f"{y}-01-01", "ns"), np.datetime64(f"{y + 1}-01-01", "ns")) for y in years]
    labels = [score_leakdb(events, leaks, *window) for window in windows]
    if format_ is Format.JSON:
        _print_json([{"rule": rule, "year": y, **s.to_dict()} for y, s in zip(years, labels, strict=True)])
    else:
        _print_leakdb(years, labels)


def _events(target: Path) -> tuple[list[Event], Site | None]:
    from leakdetect import pipeline
    from leakdetect.events import read_events
    from leakdetect.site import load_site

    if not target.is_dir():
        return read_events(target), None
    return pipeline.events(target), load_site(target)


def _network_path(target: Path, given: Path | None, site: Site | None) -> Path:
    from leakdetect.errors import InputError

    if given is not None:
        return given
    if site is None or site.network is None:
        raise InputError(f"{target}: no network to measure distances in: name it with --network MODEL.inp")
    return site.path(site.network)


def _years(truth: Path, leaks: Sequence[Leak], year: int | None) -> list[int]:
    from leakdetect.errors import InputError
    from leakdetect.evaluate import years_of

    known = years_of(truth)
    if year is None:
        if not known:
            raise InputError(f"{truth}: no <year>_Leakages.csv.gz beside it: name the year to score with --year")
        return known
    # A schedule without leaks needs no flows: every alarm in that year is false.
    if leaks and year not in known:
        raise InputError(f"{truth}: no leak flows of {year} beside it: known are {', '.join(map(str, known))}")
    return [year]


def _print_json(rows: list[dict[str, object]]) -> None:
    typer.echo(json.dumps(rows, indent=1, ensure_ascii=False))


def _print_battledim(scores: Sequence[Score]) -> None:
    figures = [_figures(s) for s in scores]
    header = ["BattLeDIM", *(str(s.year) for s in scores)]
    table("", header, [[name, *(f[name] for f in figures)] for name in figures[0]])
    for s in scores:
        table(
            f"Leaks of {s.year}",
            ["pipe", "kind", "start", "peak m3/h", "worth EUR", "found by", "m", "delay h", "in zone", "m3/h", "EUR"],
            [
                [
                    k.pipe, k.kind, _minute(k.start), _number(k.peak_m3h, 1), _number(k.worth), k.found_by or "missed",
                    _number(k.distance_m), _number(k.delay_h, 1), {None: "", True: "yes", False: "no"}[k.in_zone],
                    _number(k.flow_m3h, 1), _number(k.euros),
                ]
                for k in s.leak_table
            ],
        )  # fmt: skip
        table(
            f"Detections of {s.year}",
            ["event", "pipe", "time", "outcome", "leak", "nearest leak then", "m", "zone m", "EUR"],
            [
                [
                    e.id, e.pipe, _minute(e.time), e.outcome, e.leak or "", e.nearest or "", _number(e.nearest_m),
                    _number(e.zone_m), _number(e.euros),
                ]
                for e in s.event_table
            ],
        )  # fmt: skip


def _figures(s: Score) -> dict[str, str]:
    return {
        "euros": f"{s.euros:,.0f}",
        "maximum": f"{s.maximum:,.0f}",
        "found of leaks": f"{s.true_positives} of {s.leaks}",
        "false alarms": str(s.false_positives),
        "repeats": str(s.repeats),
        "distance, median [m]": _number(s.distance_m),
        "abrupt: found, median delay [h]": _awareness(s.abrupt),
        "abrupt from 5 m3/h": _awareness(s.abrupt_large),
        "incipient: found, median delay [h]": _awareness(s.incipient),
        "true pipe in the zone": _percent(s.in_zone),
        "flow within 25 %": _percent(s.flow_within_25),
        "zone, median [m]": _number(s.zone_length_m),
        "blind, as many alarms: euros": f"{s.blind.euros:,.0f}",
        "blind: found, false": f"{s.blind.found:.1f}, {s.blind.false:.1f}",
    }


def _print_leakdb(years: Iterable[int | str], labels: Sequence[LabelScore]) -> None:
    rows = [
        ["true positive rate", *(_percent(s.true_positive_rate) for s in labels)],
        ["false positive rate", *(_percent(s.false_positive_rate) for s in labels)],
        ["F1", *(_percent(s.f1) for s in labels)],
        ["early detection", *(_percent(s.early_detection) for s in labels)],
        ["runs of leak", *(str(s.leaks) for s in labels)],
    ]
    table("", ["LeakDB", *map(str, years)], rows)


def _awareness(a: Awareness) -> str:
    median = _number(a.median_h, 1)
    return f"{a.found} of {a.begun}" + (f", {median} h, {a.within_24h} in 24 h" if median else "")


def _number(value: float | None, digits: int = 0) -> str:
    return "" if value is None or value != value else f"{value:,.{digits}f}"  # noqa: PLR0124 (NaN is not itself)


def _percent(value: float) -> str:
    return "" if value != value else f"{100 * value:.1f} %"  # noqa: PLR0124


def _minute(time: object) -> str:
    return str(time)[:16].replace("T", " ")
