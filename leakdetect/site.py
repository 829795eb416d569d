"""The site folder that a user owns: site.toml, the network, the readings, the repairs."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError, field_validator

from leakdetect.blocks import Block, ReadingsBlock, known_zone
from leakdetect.errors import MissingFileError, SiteError
from leakdetect.live import Alert, Stream

FILE = "site.toml"


class Detection(Block):
    """What the user wants of the detector."""

    false_alarms_per_year: Annotated[float, Field(gt=0, le=366)] = 2.0
    """How many are borne; fewer means later and larger leaks. Taken in by ``fit``."""
    zone_probability: Annotated[float, Field(gt=0, lt=1)] = 0.8
    """That the leak lies in the zone named."""
    smallest_leak_m3h: Annotated[float, Field(gt=0)] = 1.0
    """Smaller ones are not told of."""


class Storage(Block):
    """Where runs keep events and progress, if not in the site folder.

    `url` names a database that several sites may share, each by its name or by `site`: ``postgresql://user@host/name``.
    ``${NAME}`` in it stands for an environment variable, such as a password.
    """

    url: str | None = None
    """``postgresql://user@host/name``; ``${NAME}`` stands for an environment variable."""
    site: str | None = None
    """Tells sites apart that share a database; the site's name where not given."""


class Costs(Block):
    """Prices for the report."""

    water_per_m3: Annotated[float, Field(ge=0)] = 0.80
    """What a m3 lost costs."""
    crew: Annotated[float, Field(ge=0)] = 500.0
    """What a visit costs."""
    currency: str = "EUR"
    """Of both."""


class Place(Block):
    """What key figures need to know of a service or of one of its districts; volumes are m3 a year."""

    billed_m3: Annotated[float, Field(ge=0)] | None = None
    """What customers' meters register."""
    unmetered_m3: Annotated[float, Field(ge=0)] = 0.0
    """Drawn by right without a meter."""
    service_m3: Annotated[float, Field(ge=0)] = 0.0
    """To flush mains, to clean tanks."""
    exported_m3: Annotated[float, Field(ge=0)] = 0.0
    """Leaves to other services behind the inflow meters, without a sensor of its own."""
    mains_km: Annotated[float, Field(gt=0)] | None = None
    """Length of mains without service connections; the network's where not given."""
    service_connection_m: Annotated[float, Field(ge=0)] | None = None
    """Mean length of private pipe from the edge of the street to the meter."""
    average_pressure_m: Annotated[float, Field(gt=0)] | None = None
    """The model's where not given."""
    night_use_m3h: Annotated[float, Field(ge=0)] = 0.0
    """What large users draw at night."""


class District(Place):
    """A ``[kpi.districts.NAME]`` block."""

    inhabitants: Annotated[int, Field(gt=0)] | None = None
    """Of the district."""
    connections: Annotated[int, Field(gt=0)] | None = None
    """Of the district."""


class Uncertainty(Block):
    """The ``[kpi.uncertainty]`` block: half the 95 % interval of what key figures rest on, as shares of it.

    Where not given, meters err as San Francisco's did in 2004/05 (Thornton, Sturm and Kunkel 2008, Water Loss Control,
    2nd ed., tables 7.5 and 10.4), and what is estimated by half of it, which is our own.
    """

    input: Annotated[float, Field(ge=0, le=2)] = 0.026
    """Of the system input volume, all its meters together."""
    exported: Annotated[float, Field(ge=0, le=2)] = 0.026
    """Of `exported_m3`."""
    billed: Annotated[float, Field(ge=0, le=2)] = 0.02
    """Of `billed_m3`."""
    unbilled: Annotated[float, Field(ge=0, le=2)] = 0.5
    """Of `unmetered_m3` and `service_m3` together."""
    unauthorised: Annotated[float, Field(ge=0, le=2)] = 0.5
    """Of `unauthorised_share`."""
    meter_error: Annotated[float, Field(ge=0, le=2)] = 0.5
    """Of `meter_error_share`."""
    night_use: Annotated[float, Field(ge=0, le=2)] = 0.5
    """Of what inhabitants draw at night."""


class Kpi(Place):
    """The ``[kpi]`` block: what the key figures of the whole service need to know."""

    night_use_l_per_inhabitant_h: Annotated[float, Field(ge=0)] | None = None
    """What households draw at night; from the literature where not given."""
    n1: Annotated[float, Field(ge=0, le=3)] | None = None
    """Exponent of leakage with pressure; from the literature where not given."""
    night_day_factor_h: Annotated[float, Field(gt=0)] | None = None
    """In place of pressures: a day's leakage over an hour's at night."""
    meter_error_share: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Of what passes customers' meters, what they miss."""
    unauthorised_share: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Of the water supplied, what is drawn without right."""
    uncertainty: Uncertainty = Uncertainty()
    """Of what the water balance is given: 0.02 is ±2 % at 95 %."""
    scarce_resource: bool = False
    """Whether the resource is scarce (zone de répartition des eaux)."""
    energy_kwh_per_m3: Annotated[float, Field(ge=0)] | None = None
    """To make and lift a m3."""
    co2_kg_per_kwh: Annotated[float, Field(ge=0)] | None = None
    """Of that energy."""
    awareness_days: Annotated[float, Field(ge=0)] | None = None
    """How long a leak runs before anybody notices, without monitoring."""
    monitoring_cost_per_year: Annotated[float, Field(ge=0)] | None = None
    """Of sensors, transmission, work."""
    districts: dict[str, District] = Field(default_factory=dict)
    """A block each: ``[kpi.districts.NAME]``."""


class Privacy(Block):
    """How readings of households' meters are kept; see docs/privacy.md."""

    smallest_group: Annotated[int, Field(ge=1)] = 5
    """Least number of meters of which a sum is shown."""
    keep_days: Annotated[int, Field(ge=1)] = 730
    """How long what was made of meters is kept after their last reading."""
    key_file: str | None = None
    """Of 32 bytes; the environment variable LEAKDETECT_KEY goes before it."""


class Site(Block):
    """A site as site.toml describes it, paths resolved against its folder."""

    name: str
    """Of the site, in reports."""
    timezone: str = "UTC"
    """Of the site: nights, reports and times that do not say theirs."""
    network: str | None = None
    """EPANET model; without one leaks are looked for in inflows only."""
    crs: Annotated[str, Field(pattern=r"^EPSG:\d{4,6}$")] | None = None
    """Of the network's drawing, for GIS files."""
    repairs: str | None = None
    """List of repairs done: a link and a time a row."""
    step_minutes: Annotated[int, Field(ge=5, le=360)] = 60
    """Readings are averaged over it."""
    late_days: Annotated[int, Field(ge=0, le=366)] = 14
    """In which readings may come late, or be corrected."""
    inhabitants: int | None = None
    """Supplied by the site."""
    connections: int | None = None
    """Of the site."""
    readings: list[ReadingsBlock] = Field(min_length=1)
    """A block for each kind of readings."""
    detection: Detection = Detection()
    """What is wanted of the detector."""
    costs: Costs = Costs()
    """Prices."""
    kpi: Kpi = Kpi()
    """What key figures need to know."""
    privacy: Privacy = Privacy()
    """How readings of households' meters are kept."""
    store: Storage = Storage()
    """Where events and progress are kept."""
    stream: Stream = Stream()
    """How readings are taken as they arrive."""
    alerts: list[Alert] = Field(default_factory=list)
    """A block for each that is told of events."""
    folder: Path = Field(default=Path(), exclude=True)

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        known_zone(name)
        return name

    @field_validator("alerts")
    @classmethod
    def _names_once(cls, alerts: list[Alert]) -> list[Alert]:
        names = [alert.name for alert in alerts]
        if len(set(names)) < len(names):
            raise ValueError("two have the same name: give each its own")
        return alerts

    def path(self, relative: str) -> Path:
        """Return a path of site.toml, relative ones against the site folder."""
        return self.folder / relative

    @property
    def model_path(self) -> Path:
        """Where `fit` leaves the fitted model."""
        return self.folder / "model.nc"

    @property
    def spool_path(self) -> Path:
        """Where `watch` keeps the readings that it received."""
        return self.folder / "stream"

    @property
    def store_path(self) -> Path:
        """Where runs keep events and progress."""
        return self.folder / "leakdetect.db"


def load_site(folder: Path) -> Site:
    """Read ``site.toml`` of a site folder.

    Raises
    ------
    MissingFileError
        If the folder or its site.toml is not there.
    SiteError
        If it is not TOML or a value is wrong: the line names the key.
    """
    path = folder / FILE
    if not path.is_file():
        raise MissingFileError(f"{path}: no such file: make a site with 'leakdetect init'")
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        if "folder" in values:
            raise SiteError(f"{path}: folder: no such key: the site is the folder that holds site.toml")
        return Site(**values, folder=folder.resolve())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SiteError(f"{path}: not valid TOML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = list(first["loc"])
        maps = [place.index(key) for key in ("columns", "dmas") if key in place]  # their keys may be meters' ids
        where = ".".join(str(part) for part in place[: min(maps, default=len(place)) + 1]) or "file"
        said = {"extra_forbidden": "no such key: see the documentation of site.toml", "missing": "must be given"}
        message = said.get(first["type"], first["msg"].removeprefix("Value error, "))
        raise SiteError(f"{path}: {where}: {message}") from None
