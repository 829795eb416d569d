"""Make a site folder: write site.toml from guesses, and say what was guessed."""

from __future__ import annotations

import glob
import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import tomlkit

from leakdetect.epanet import load_network
from leakdetect.errors import MissingFileError, ReadingsError, SiteError, UnitError
from leakdetect.guess import Elements, Guess, guess, quantity_of, without_unit
from leakdetect.network import Network
from leakdetect.readings import load_repairs
from leakdetect.readings.sniff import Sniffed, sniff
from leakdetect.schema import Quantity
from leakdetect.site import FILE, Site
from leakdetect.units import FACTORS, canonical

_TRUTH = re.compile(r"(?<![a-z])(leak(s|ages?)?|fuites?|labels?)(?![a-z])", re.IGNORECASE)
_LITTLE_BAR = 16.0  # pressures below this may well be bar


@dataclass(frozen=True)
class _Group:
    """Files that are written alike, and the glob that names them."""

    glob: str
    paths: tuple[Path, ...]
    sniffed: Sniffed


def init_site(
    folder: Path,
    network: Path | None,
    readings: Sequence[str],
    units: Mapping[str, str] | None = None,
    repairs: Path | None = None,
    *,
    timezone: str = "UTC",
    force: bool = False,
) -> list[str]:
    """Make a site folder from a network, readings and repairs, guessing what is not said.

    Parameters
    ----------
    folder : Path
        Made if it is not there. The network is copied to its network.inp, the repairs to its repairs.csv; readings
        stay where they are.
    network : Path or None
        EPANET model; readings are looked up in it.
    readings : sequence of str
        Globs, relative to the working directory. Files of one glob that are written differently become several blocks.
    units : mapping, optional
        Quantity to unit, where a default or a column's name is not right.
    repairs : Path, optional
        A link and a time a row.
    timezone : str
        Of all times in the files that do not say theirs.
    force : bool
        Write over a site that is there.

    Returns
    -------
    list of str
        What was guessed, one line each.

    Raises
    ------
    SiteError
        If there is a site already, or the time zone is unknown.
    MissingFileError, NetworkError, ReadingsError, UnitError
        If an input is not there or cannot be used. Nothing is written then.
    """
    for path, source in ((folder / FILE, None), (folder / "network.inp", network), (folder / "repairs.csv", repairs)):
        ours = path.name != FILE and (source is None or _same(source, path))
        if path.exists() and not ours and not force:
            raise SiteError(f"{path}: is there already: choose another folder, or say --force to write over it")
    if not readings:
        raise ReadingsError("no readings: name the files with --readings 'GLOB'")
    units = {q: canonical(q, u) for q, u in (units or {}).items() if _is_quantity(q)}
    model = load_network(network) if network else None
    said: list[str] = []
    blocks = [
        block for group in _groups(readings, folder, said) for block in _blocks(group, model, units, timezone, said)
    ]
    if not blocks:
        raise ReadingsError(f"{readings[0]}: no column is known: {'; '.join(said) or 'no file is left'}")
    values: dict[str, Any] = {"name": folder.resolve().name or "site", "timezone": timezone}
    site = _valid({**values, "readings": blocks}, folder)
    if repairs is not None:
        known = load_repairs(site.model_copy(update={"repairs": str(repairs.resolve())}), model)
        said.append(f"{repairs.name}: {len(known)} repairs")
    said.append(f"time zone {timezone}{'' if timezone != 'UTC' else ', unless you say --timezone'}")
    folder.mkdir(parents=True, exist_ok=True)
    for source, name in ((network, "network.inp"), (repairs, "repairs.csv")):
        if source is not None:
            values["network" if name == "network.inp" else "repairs"] = name
            _copy(source, folder / name)
    _replace(folder / FILE, _toml(values, blocks))
    return said


def _is_quantity(name: str) -> bool:
    if name not in FACTORS:
        raise UnitError(f"--unit {name}: no such quantity: use one of {', '.join(FACTORS)}")
    return True


def _same(a: Path, b: Path) -> bool:
    return a.exists() and b.exists() and a.samefile(b)


def _valid(values: dict[str, Any], folder: Path) -> Site:
    try:
        return Site.model_validate({**values, "folder": folder.resolve()})
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise SiteError(f"{folder / FILE}: would not be valid: {reason}") from None


def _groups(patterns: Iterable[str], folder: Path, said: list[str]) -> list[_Group]:
    """Return the files of all globs, those together that are called alike but for numbers and are written alike."""
    groups: list[_Group] = []
    for pattern in patterns:
        found = [Path(os.path.normpath(path)) for path in _expand(pattern)]
        out = [path for path in found if _TRUTH.search(path.name)] if len(found) > 1 else []
        said += [f"{path.name}: left out: by its name it holds leaks, not readings" for path in out]
        by_name: dict[str, list[tuple[Path, Sniffed]]] = {}
        for path in [path for path in found if path not in out]:
            name = glob.escape(path.name) if path.is_dir() else _family(path.name, Path(pattern).name)
            by_name.setdefault(name, []).append((path, sniff(path)))
        for name, members in by_name.items():
            alike: list[list[tuple[Path, Sniffed]]] = []
            for member in members:
                for group in alike:
                    if member[1].settings == group[0][1].settings and _overlap(member[1], group[0][1]):
                        group.append(member)
                        break
                else:
                    alike.append([member])
            for group in alike:
                paths = tuple(path for path, _ in group)
                own = [(str(p.parent / name) if len(alike) == 1 else glob.escape(str(p))) for p in paths]
                groups += [_Group(_from(folder, g), paths, group[0][1]) for g in dict.fromkeys(own)]
    return groups


def _overlap(a: Sniffed, b: Sniffed) -> bool:
    return a.settings.get("layout") == "long" or bool(set(a.columns) & set(b.columns))


def _expand(pattern: str) -> list[str]:
    """Return the files a glob names, and the folders that hold Parquet files of which it names none."""
    named = [Path(name) for name in sorted(glob.glob(pattern, recursive=True))]  # noqa: PTH207
    folders = [p for p in named if p.is_dir() and any(q.suffix.lower() in (".parquet", ".pq") for q in p.rglob("*"))]
    outer = [p for p in folders if not any(p in q.parents for q in named)]
    found = [str(p) for p in named if p.is_file() or p in outer]
    if not found:
        raise MissingFileError(f"{pattern}: no file matches: correct --readings (and quote it)")
    return found


def _family(name: str, pattern: str) -> str:
    """Return the glob of a file's like: what the user's ``*`` stood for, its numbers left open."""
    if not set("?[") & set(pattern):
        stars = re.fullmatch("(.*)".join(re.escape(part) for part in pattern.split("*")), name)
        if stars:
            filled = [re.sub(r"\d+", "*", glob.escape(star)) for star in stars.groups()]
            literal = [glob.escape(part) for part in pattern.split("*")]
            return "".join(part for pair in zip(literal, [*filled, ""], strict=True) for part in pair)
    return re.sub(r"\d+", "*", glob.escape(name))


def _from(folder: Path, pattern: str) -> str:
    """Return a glob as site.toml writes it: relative to the folder if the files lie in it, else absolute."""
    absolute = Path(pattern).absolute()
    inside = folder.absolute()
    return str(absolute.relative_to(inside)) if absolute.is_relative_to(inside) else os.path.normpath(absolute)


def _blocks(
    group: _Group, model: Network | None, units: Mapping[str, str], timezone: str, said: list[str]
) -> list[dict[str, Any]]:
    """Return the ``[[readings]]`` blocks of some files: one for each quantity and unit among their columns."""
    sniffed, file = group.sniffed, Path(group.glob).name
    elements = Elements(model) if model else None
    by_file = quantity_of(Path(group.glob).name)
    guesses = {c: guess(c, sniffed.sample[c], by_file, elements, units) for c in sniffed.columns}
    if not any(guesses.values()) and model is None:  # nothing else to go by: a logger of inflow
        guesses = {c: guess(f"inflow {c}", sniffed.sample[c], None, None, units) for c in sniffed.columns}
    used = {c: g for c, g in guesses.items() if g is not None and (model is None or g.element or g.dma)}
    lost = [c for c in sniffed.columns if c not in used]
    if lost:
        why = "in the network" if model else "of a kind that is known"
        names = f"{len(lost)} columns" if by_file == Quantity.DEMAND else _some(lost)  # meters' ids are not told
        said.append(f"{file}: ignored, not {why}: {names}")
    if "CET" in sniffed.settings["time"] and timezone == "UTC":
        said.append(f"{file}: the times are called CET: say --timezone Europe/Paris (or the country's) if they are")
    kinds = dict.fromkeys((g.quantity, g.unit) for g in used.values())
    blocks = []
    for quantity, unit in kinds:
        mine = {c: g for c, g in used.items() if (g.quantity, g.unit) == (quantity, unit)}
        others = [c for c in (*sniffed.columns, *sniffed.text) if c not in mine]
        usual = {("encoding", "utf-8"), ("format", "csv")}
        settings = {key: value for key, value in sniffed.settings.items() if (key, value) not in usual}
        block: dict[str, Any] = {"glob": group.glob, "quantity": str(quantity), "unit": unit, **settings}
        if quantity == Quantity.DEMAND:
            block["personal"] = True
        if others:
            block["ignore"] = _patterns(others, list(mine))
        columns = _names(mine, model)
        if columns:
            block["columns"] = columns
        dmas = {c: g.dma for c, g in mine.items() if g.dma}
        if dmas:
            block["dmas"] = dmas
        blocks.append(block)
        said.append(_sentence(file, mine, quantity, unit, columns=columns, sniffed=sniffed))
        said += _doubts(file, mine, quantity, unit, sniffed)
    return blocks


def _names(mine: Mapping[str, Guess], model: Network | None) -> dict[str, str]:
    """Return which element (or, without a network, which name) each column stands for, where it is not its own."""
    if model is not None:
        return {c: g.element for c, g in mine.items() if g.element != c}
    plain = {c: without_unit(c) for c in mine}
    return {c: name for c, name in plain.items() if name != c and list(plain.values()).count(name) == 1}


def _sentence(
    file: str, mine: Mapping[str, Guess], quantity: Quantity, unit: str, *, columns: Mapping[str, str], sniffed: Sniffed
) -> str:
    shown = ("delimiter", "decimal", "time", "time_format", "layout")
    how = ", ".join(f"{key} '{sniffed.settings[key]}'" for key in shown if key in sniffed.settings)
    known = "" if all(g.unit_said for g in mine.values()) else " (assumed)"
    if quantity == Quantity.DEMAND:
        return f"{file}: {len(mine)} x {quantity} in {unit}{known}, {len(columns)} mapped; {how}"
    first = next(iter(columns.items()), None)
    mapped = f"; {len(columns)} mapped, such as '{first[0]}' to '{first[1]}'" if first else ""
    return f"{file}: {len(mine)} x {quantity} in {unit}{known}: {_some(list(mine))}{mapped}; {how}"


def _doubts(file: str, mine: Mapping[str, Guess], quantity: Quantity, unit: str, sniffed: Sniffed) -> list[str]:
    if quantity != Quantity.PRESSURE or unit != "m" or any(g.unit_said for g in mine.values()):
        return []
    largest = max((float(sniffed.sample[c].max()) for c in mine if sniffed.sample[c].size), default=0.0)
    if 0 < largest < _LITTLE_BAR:
        return [f"{file}: pressures up to {largest:g} m are low: say --unit pressure=bar if they are bar"]
    return []


def _patterns(ignored: list[str], kept: list[str]) -> list[str]:
    """Return names, those that differ by a number as one pattern where that spares all `kept`."""
    short: dict[str, None] = {}
    for name in ignored:
        pattern = re.sub(r"\d+$", "*", name)
        safe = not set("?[") & set(pattern) and not any(fnmatchcase(k, pattern) for k in kept)
        several = sum(fnmatchcase(other, pattern) for other in ignored) > 1
        short[pattern if safe and several else name] = None
    return list(short)


def _some(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


_SAYS = {
    "quantity": "flow, pressure, head, level or demand",
    "personal": "households' meters go by pseudonyms and are not shown one by one; false if they are none",
    "time": "the column of times (or two: Date+Time)",
    "columns": "column = element of the network",
    "dmas": "column = district",
    "ignore": "columns that are not read; * stands for anything",
    "glob": "of this folder unless it begins with /",
}


def _toml(values: Mapping[str, Any], blocks: Iterable[Mapping[str, Any]]) -> str:
    document = tomlkit.document()
    document.add(tomlkit.comment("A site of leakdetect, guessed from its files: correct what is wrong, then run"))
    document.add(tomlkit.comment("leakdetect check on this folder."))
    for key, value in values.items():
        document[key] = value
    document["timezone"].comment("of times in the files that do not say theirs")
    tables = tomlkit.aot()
    explained: set[str] = set()
    for block in blocks:
        table = tomlkit.table()
        for key, value in block.items():
            item = tomlkit.item(value)
            if isinstance(value, list) and len(value) > 4:
                item.multiline(True)
            if key in _SAYS and key not in explained and not isinstance(value, dict):
                item.comment(_SAYS[key])
                explained.add(key)
            table[key] = item
        tables.append(table)
    document["readings"] = tables
    return tomlkit.dumps(document)


def _copy(source: Path, target: Path) -> None:
    if not _same(source, target):
        part = target.with_name(target.name + ".part")
        shutil.copyfile(source, part)
        part.replace(target)


def _replace(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
