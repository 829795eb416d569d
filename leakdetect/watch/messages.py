"""What arrives, as readings: which sensor, when, what; and what of it cannot be used."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np

from leakdetect.live import Topic
from leakdetect.readings import Sensors
from leakdetect.readings.spool import Batch
from leakdetect.readings.times import AHEAD

_FIRST = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECONDS = 1e11  # numbers above are ms since 1970, below s
_MOST_TIMES = 100_000
_SHOWN = 3  # messages of one kind that are told in full
_UNREADABLE = (ValueError, KeyError, TypeError, RecursionError)  # the last of brackets in brackets without end


class Raw(NamedTuple):
    """A reading as it came: `time` is ISO 8601, or s or ms since 1970; `value` is in the site's unit."""

    time: Any
    sensor: Any
    value: Any


class RefusedError(ValueError):
    """A message, or a part of it, that is no reading."""


class Decoder:
    """Turns raw readings into a batch; what is none is told and left out.

    Parameters
    ----------
    sensors : Sensors
        Of the site. A sensor is called by its column's name, else by its element's, else ``element quantity``.
    tell : callable
        Told of what is refused: the first few of each kind, and then how many.
    """

    def __init__(self, sensors: Sensors, tell: Callable[[str], None]) -> None:
        self._tell, self.refused = tell, Counter[str]()
        self.keys = [""] * len(sensors.index)
        self.columns: tuple[tuple[str, str], ...] = ()
        origin: dict[int, tuple[str, str]] = {}
        for (quantity, column), number in sensors.columns.items():
            origin.setdefault(number, (str(quantity), column))
        self.columns = tuple(origin[number] for number in range(len(sensors.index)))
        self.personal = np.array(sensors.personal, dtype=bool)
        self._factor = np.array(sensors.factor)
        names: dict[str, set[int]] = {}
        for (quantity, column), number in sensors.columns.items():
            for name in (column, f"{column} {quantity}"):
                names.setdefault(name, set()).add(number)
        for (quantity, label, _), number in sensors.index.items():
            for name in (label, f"{label} {quantity}"):
                names.setdefault(name, set()).add(number)
        self._number = {name: found for name, several in names.items() if len(several) == 1 for found in several}
        self._several = {name for name, several in names.items() if len(several) > 1}
        self._times: dict[Any, int] = {}

    def number(self, name: str) -> int | None:
        """Return the number of the sensor that goes by a name; None if none, or several, do."""
        return self._number.get(name)

    def batch(self, raw: Iterable[Raw]) -> Batch:
        """Return readings in SI and UTC."""
        times, numbers, values = list[int](), list[int](), list[float]()
        known, when = self._number, self._times
        for time, sensor, said in raw:
            value = said
            number = known.get(sensor) if type(sensor) is str else None
            at = when.get(time) if type(time) is str else None
            if number is None or at is None or type(value) is not float:
                try:
                    number, at, value = self._slowly(time, sensor, said)
                except RefusedError as error:
                    self.refuse(str(error))
                    continue
            if math.isfinite(value):
                times.append(at)
                numbers.append(number)
                values.append(value)
        sensor = np.array(numbers, dtype=np.int32)
        return Batch(self.columns, np.array(times, dtype=np.int64), sensor, np.array(values) * self._factor[sensor])

    def _slowly(self, time: Any, sensor: Any, value: Any) -> tuple[int, int, float]:
        number = self._number.get(sensor) if isinstance(sensor, str) else None
        if number is None:
            if isinstance(sensor, str) and sensor in self._several:
                raise RefusedError(
                    "a sensor's name that several have: add the quantity, as 'n105 pressure', or say its column's"
                )
            raise RefusedError("a sensor that site.toml does not know")  # never by its name: it may be a meter's id
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise RefusedError("a value that is no number")
        try:
            return number, self._time(time), float(value)
        except OverflowError:
            raise RefusedError("a number that is too large") from None

    def _time(self, time: Any) -> int:
        if isinstance(time, str):
            if len(self._times) > _MOST_TIMES:
                self._times.clear()
            if time not in self._times:
                try:
                    moment = datetime.fromisoformat(time)
                    moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
                except (ValueError, OverflowError):
                    raise RefusedError("a time that is not ISO 8601") from None
                self._times[time] = _known((moment - _FIRST) // timedelta(microseconds=1))
            return self._times[time]
        if isinstance(time, bool) or not isinstance(time, int | float) or not 0 < time < 1e14:
            raise RefusedError("a time that is none: ISO 8601, or s or ms since 1970")
        return _known(round(time * (1e3 if time >= _MILLISECONDS else 1e6)))

    def refuse(self, why: str) -> None:
        """Note that something was refused, and tell of the first of its kind."""
        self.refused[why] += 1
        count = self.refused[why]
        if count <= _SHOWN or count in {10, 100, 1000} or not count % 100_000:
            self._tell(f"refused: {why} ({count} so far)")


def _known(microseconds: int) -> int:
    """Return a time since 1970 [ns]; RefusedError if nothing can have been read then."""
    if microseconds < 0:
        raise RefusedError("a time before 1970")
    if microseconds > (datetime.now(UTC) + AHEAD.item() - _FIRST) / timedelta(microseconds=1):
        raise RefusedError("a time more than a day ahead of this machine's clock")
    return microseconds * 1000


def from_lines(lines: Sequence[bytes], refuse: Callable[[str], None]) -> list[Raw]:
    """Return the readings of JSON lines: ``{"time": ..., "sensor": ..., "value": ...}`` each."""
    filled = [line for line in lines if line.strip()]
    whole = _at_once(filled)  # a fraction of the time
    if whole is not None:
        return whole
    found = []
    for line in filled:
        try:
            row = json.loads(line)
            found.append(Raw(row["time"], row["sensor"], row["value"]))
        except _UNREADABLE:
            refuse('a line that is not {"time": ..., "sensor": ..., "value": ...}')
    return found


def _at_once(lines: Sequence[bytes]) -> list[Raw] | None:
    """Return the readings of lines that are all as they should be, else None."""
    try:
        rows = json.loads(b"[" + b",".join(lines) + b"]")
        return [Raw(row["time"], row["sensor"], row["value"]) for row in rows] if len(rows) == len(lines) else None
    except _UNREADABLE:
        return None


def from_message(topic: str, payload: bytes, rule: Topic) -> Iterator[Raw]:
    """Yield the readings of an MQTT message.

    Raises
    ------
    RefusedError
        If it is not as the rule says.
    """
    try:
        said = json.loads(payload)
        if rule.format == "sparkplug":
            own = said.get("timestamp")
            for metric in said["metrics"]:
                yield Raw(metric.get("timestamp", own), rule.named(topic, str(metric["name"])), metric["value"])
            return
        for row in said if isinstance(said, list) else [said]:
            name = str(row[rule.name]) if rule.asks else ""
            yield Raw(row[rule.time], rule.named(topic, name), row[rule.value])
    except (*_UNREADABLE, AttributeError, IndexError):
        raise RefusedError(f"a message on a topic of '{rule.topic}' that is not as site.toml says") from None
