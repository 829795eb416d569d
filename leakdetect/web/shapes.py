"""What the JSON interface sends and takes, field by field: its OpenAPI description is made of this."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from leakdetect.web.users import LONGEST, Role


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Problem(_Shape):
    """Why not, in one line."""

    detail: str


class Credentials(_Shape):
    """Name and password of a user."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    password: Annotated[str, Field(min_length=1, max_length=LONGEST)]


class Me(_Shape):
    """Who is asking; `name` is None before login. `token` goes with every change, as header X-CSRF-Token."""

    name: str | None
    role: Role | None
    token: str | None
    users: Annotated[bool, Field(description="Whether there are users, who log in.")]
    version: str


class SiteCard(_Shape):
    """A site in the overview."""

    id: str
    name: str
    timezone: str
    open: int
    new: int
    flow_m3h: Annotated[float, Field(description="Of all open leaks together [m3/h].")]
    usable: Annotated[
        float | None,
        Field(description="Share of readings that can be used, of a week's runs."),
    ]
    until: str | None
    last_run: str | None
    outcome: str
    error: str


class Candidate(_Shape):
    """A pipe that may hold the leak."""

    link: str
    probability: float | None
    length_m: float | None


class EventRow(_Shape):
    """An event in the list, with its newest estimate; times are ISO 8601, UTC."""

    id: str
    number: Annotated[int | None, Field(description="On the map; None where no leak runs any more.")]
    colour: str
    status: str
    kind: str
    new: bool
    raised_at: str
    start: str
    end: str | None
    flow_m3h: float | None
    mean_m3h: Annotated[float | None, Field(description="Mean flow from start to end, or to the last reading.")]
    lost_m3: float | None
    money: Annotated[float | None, Field(description="Worth of the water lost so far; None where it has no price.")]
    currency: str
    first_link: Annotated[str | None, Field(description="Where to look first; None where no pipe is named.")]
    first_probability: float | None
    dma: Annotated[str, Field(description="District of the sensor that told most.")]
    zone_length_m: float | None
    zone_probability: float | None


class News(_Shape):
    """What is new, in one sentence, and the time of the last reading."""

    text: str
    until: str | None


class Evidence(_Shape):
    """How much of the evidence a sensor gave, or a zone's water balance."""

    sensor: str
    label: str
    share: float | None
    has_series: bool


class Explanation(_Shape):
    """What may have caused an event, the leak first, and the share of what was seen that it accounts for alone."""

    text: str
    explained: float
    is_leak: bool


class Change(_Shape):
    """Something that a person said or a run changed."""

    at: str
    by: str
    status: str
    why: str
    link: str
    run: int | None


class EventFull(EventRow):
    """All that is known of an event."""

    start_low: str
    start_high: str
    flow_low: float | None
    flow_high: float | None
    flow_raised_m3h: float | None
    lost_low: float | None
    lost_high: float | None
    month_m3: float | None
    month_money: Annotated[float | None, Field(description="Worth of what the newest estimate loses in a month.")]
    zone_pipes: int
    candidates: list[Candidate]
    evidence: list[Evidence]
    weighed: Annotated[list[Explanation], Field(description="As compared when the event was raised.")]
    remarks: Annotated[list[str], Field(description="What else is to be thought of where the inflow alone told.")]
    history: list[Change]
    model: str
    data_until: str
    window: Annotated[list[str], Field(description="First and last time of the series worth seeing.")]


class Word(_Shape):
    """What a person says of an event. `time` is of the site's time zone where it has no offset."""

    event: Annotated[str, Field(max_length=200)]
    status: Literal["confirmed", "dismissed", "repaired"]
    why: Annotated[str, Field(max_length=1000)] = ""
    pipe: Annotated[str, Field(max_length=200)] = ""
    time: Annotated[str, Field(max_length=40)] = ""


class Spot(_Shape):
    """A sensor, a source, or an event's number or a pipe's rank, in the drawing's units."""

    x: float
    y: float
    kind: str
    title: str
    colour: str
    text: str


class Label(_Shape):
    """A name on the map."""

    x: float
    y: float
    text: str
    anchor: str


class Stroke(_Shape):
    """A pipe of a zone, some of one shade, or a whole district."""

    path: str
    colour: str
    title: str
    area: bool


class MapView(_Shape):
    """The network as drawn: `box` is x, y, width, height; `pipes` a path of SVG."""

    exists: bool
    box: list[float]
    pipes: str
    zones: list[Stroke]
    spots: list[Spot]
    labels: list[Label]


class Sensor(_Shape):
    """A sensor and how much of its readings can be used; no meter of a customer is among them."""

    name: str
    element: str
    quantity: str
    unit: str
    dma: str
    usable: float
    flags: Annotated[dict[str, float], Field(description="Share of the time of each flag.")]


class Run(_Shape):
    """A run's record."""

    number: int
    started: str
    outcome: str
    until: str | None
    new: int | None
    usable: float | None
    note: str


class Quality(_Shape):
    """How good the readings are."""

    since: str | None
    until: str | None
    sensors: list[Sensor]
    runs: list[Run]


class Series(_Shape):
    """A sensor's readings, `time` in seconds since 1970 (UTC), values in `unit`; None where there is none.

    Each value is of a bucket of `step_s` seconds that begins at its time: the mean of what was measured, its least and
    largest, what was expected and its standard error, what was measured minus what was expected, and the share that can
    be used.
    """

    sensor: str
    quantity: str
    unit: str
    first: int
    last: int
    step_s: int
    time: list[int]
    measured: list[float | None]
    low: list[float | None]
    high: list[float | None]
    expected: list[float | None]
    expected_sd: list[float | None]
    residual: list[float | None]
    usable: list[float]


class Figure(_Shape):
    """A key figure; see docs/kpi.md. `value` is None where something is missing."""

    name: str
    label: str
    group: str
    district: str
    value: float | None
    low: float | None
    high: float | None
    unit: str
    missing: list[str]
    notes: list[str]


class Figures(_Shape):
    """Key figures of the last year of readings."""

    since: str
    until: str
    figures: list[Figure]


class AuditLine(BaseModel):
    """Who did what from where."""

    model_config = ConfigDict(extra="allow")

    at: str
    user: str
    address: str
    action: str
