"""The site folder that a user owns: site.toml, the network, the readings, the repairs."""

from __future__ import annotations

import codecs
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import quote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from leakdetect.errors import MissingFileError, SiteError
from leakdetect.live import Alert, Stream
from leakdetect.schema import Quantity
from leakdetect.units import canonical

FILE = "site.toml"
_SECRET = re.compile(r"\$\{\w+\}")  # the name of an environment variable
_PASSWORD = re.compile(r"://[^:/@]*:(?P<user>[^@]+)@|[?&](?:password|pwd)=(?P<option>[^&]+)", re.IGNORECASE)
_SOURCES = {  # keys that a format needs or may have; those of other formats are refused
    "sql": ({"url"}, {"table", "query", "sensors"}),
    "opcua": ({"url", "columns"}, {"user", "password", "certificate", "private_key", "security"}),
}
_FILES: tuple[set[str], set[str]] = ({"glob"}, set())
_VARIABLE = re.compile(r"\$\{(\w+)\}")


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _zone(name: str | None) -> str | None:
    try:
        if name is not None:
            ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: the name of a folder, such as 'Europe'
        raise ValueError(f"unknown time zone '{name}': use a name such as Europe/Paris") from None
    return name


class ReadingsBlock(_Model):
    """A ``[[readings]]`` block: which files, table or server, and how their columns map to sensors.

    With format ``sql`` the readings stand in `table` (or ``schema.table``, or a view) of the database at `url`, or are
    what the site's own `query` returns. With format ``opcua`` they
    are the history of the nodes that `columns` names, on the server at `url`. Secrets are named, not written:
    ``${NAME}`` stands for an environment variable in `url`, `user`, `password`, `certificate` and `private_key`.
    """

    glob: str = ""
    """Files, relative to the site folder unless absolute; ``*`` stands for anything. A folder, for Parquet."""
    quantity: Quantity
    """What is read."""
    unit: str
    """Any unit of the quantity: L/s, m3/h, bar, m."""
    format: Literal["csv", "parquet", "netcdf", "xlsx", "sql", "opcua"] = "csv"
    """What the files are, or where else readings come from."""
    layout: Literal["wide", "long"] = "wide"
    """A column a sensor, or a row a reading."""
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    """Between columns (csv)."""
    decimal: Literal[".", ","] = "."
    """Decimal mark (csv)."""
    encoding: str = "utf-8"
    """Of text (csv); ``latin-1`` is the other usual one."""
    sheet: str | None = None
    """Of a workbook (xlsx); the first where nothing is said."""
    time: str = "time"
    """Column of times; two that belong together as ``Date+Time``."""
    time_format: str | None = None
    """As strftime has it, or ``unix`` (seconds); ISO 8601 where nothing is said."""
    timezone: str | None = None
    """Of times that do not say theirs, where it is not the site's."""
    sensor: str = "sensor"
    """Long layout: the column that names the sensor."""
    value: str = "value"
    """Long layout: the column that holds the reading."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Column (or sensor) = element of the network, ``''`` for none; one not listed is named as the element is."""
    ignore: list[str] = Field(default_factory=list)
    """Columns (or sensors) that are not read; ``*`` stands for anything."""
    dma: str = ""
    """District of all of them."""
    dmas: dict[str, str] = Field(default_factory=dict)
    """District of each column, where they differ."""
    personal: bool | None = None
    """Whether a block of demand holds households' meters; they do where nothing is said."""
    url: str = ""
    """Of the database or server (sql, opcua); ``${NAME}`` stands for an environment variable."""
    table: str = ""
    """Table or view (sql)."""
    query: str = ""
    """A SELECT in place of a table (sql)."""
    sensors: list[str] = Field(default_factory=list)
    """Only these of a long table (sql)."""
    user: str = ""
    """Who logs in (opcua)."""
    password: str = ""
    """Never written out: ``${NAME}`` of an environment variable (opcua)."""
    certificate: str = ""
    """Of leakdetect, DER or PEM; to be trusted by the server (opcua)."""
    private_key: str = ""
    """Belongs to the certificate (opcua)."""
    security: Literal["", "Sign", "SignAndEncrypt"] = ""
    """Of the connection, with a certificate (opcua)."""

    @property
    def is_personal(self) -> bool:
        """Whether these are the meters of households."""
        return self.quantity == Quantity.DEMAND and self.personal is not False

    @property
    def source(self) -> str:
        """What the readings are of, for people."""
        return self.glob or self.table or ("its query" if self.query else self.url)

    @model_validator(mode="after")
    def _keys_of_its_format(self) -> ReadingsBlock:
        needed, allowed = _SOURCES.get(self.format, _FILES)
        every = set().union(*_FILES, *(keys for pair in _SOURCES.values() for keys in pair)) - {"columns"}
        for key in sorted(needed):
            if not getattr(self, key):
                raise ValueError(f"{key}: must be given with format = '{self.format}'")
        for key in sorted(every - needed - allowed):
            if getattr(self, key):
                raise ValueError(f"{key}: is not for format = '{self.format}'")
        if self.format == "sql" and bool(self.table) == bool(self.query):
            raise ValueError("table: name a table or view, or write a query: one of the two")
        if self.sensors and self.layout == "wide":
            raise ValueError("sensors: are for layout = 'long'; in a wide table list the others under ignore")
        if bool(self.certificate) != bool(self.private_key) or (self.security and not self.certificate):
            raise ValueError("certificate: and private_key belong together, and security needs both")
        if self.personal and self.quantity != Quantity.DEMAND:
            raise ValueError(f"personal: is for meters of customers (quantity = 'demand'), not for {self.quantity}")
        return self

    @model_validator(mode="after")
    def _no_secret_is_written(self) -> ReadingsBlock:
        written = [found["user"] or found["option"] for found in _PASSWORD.finditer(self.url)]
        if any(not _SECRET.fullmatch(text) for text in [*written, self.password] if text):
            raise ValueError("a password stands here: put it into an environment variable and write ${NAME}")
        return self

    @model_validator(mode="after")
    def _unit_measures_quantity(self) -> ReadingsBlock:
        canonical(self.quantity, self.unit)
        return self

    @field_validator("encoding")
    @classmethod
    def _encoding(cls, name: str) -> str:
        try:
            codecs.lookup(name)
        except LookupError:
            raise ValueError(f"unknown encoding '{name}': use utf-8 or latin-1") from None
        return name

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str | None) -> str | None:
        return _zone(name)


class Detection(_Model):
    """What the user wants of the detector."""

    false_alarms_per_year: Annotated[float, Field(gt=0, le=366)] = 2.0
    """How many are borne; fewer means later and larger leaks. Taken in by ``fit``."""
    zone_probability: Annotated[float, Field(gt=0, lt=1)] = 0.8
    """That the leak lies in the zone named."""
    smallest_leak_m3h: Annotated[float, Field(gt=0)] = 1.0
    """Smaller ones are not told of."""


class Storage(_Model):
    """Where runs keep events and progress, if not in the site folder.

    `url` names a database that several sites may share, each by its name or by `site`: ``postgresql://user@host/name``.
    ``${NAME}`` in it stands for an environment variable, such as a password.
    """

    url: str | None = None
    """``postgresql://user@host/name``; ``${NAME}`` stands for an environment variable."""
    site: str | None = None
    """Tells sites apart that share a database; the site's name where not given."""

    def expanded(self, variables: Mapping[str, str]) -> str | None:
        """Return the URL with variables filled in; `SiteError` names one that is not set."""

        def value(found: re.Match[str]) -> str:
            name = found[1]
            if name not in variables:
                raise SiteError(f"{FILE}: store.url: the environment has no {name}: set it")
            return variables[name] if found.span() == (0, len(found.string)) else quote(variables[name], safe="")

        return None if self.url is None else _VARIABLE.sub(value, self.url)


class Costs(_Model):
    """Prices for the report."""

    water_per_m3: Annotated[float, Field(ge=0)] = 0.80
    """What a m3 lost costs."""
    crew: Annotated[float, Field(ge=0)] = 500.0
    """What a visit costs."""
    currency: str = "EUR"
    """Of both."""


class Place(_Model):
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


class Uncertainty(_Model):
    """The ``[kpi.uncertainty]`` block: half the 95 % interval of what the water balance is given, as shares of it.

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


class Privacy(_Model):
    """How readings of households' meters are kept; see docs/privacy.md."""

    smallest_group: Annotated[int, Field(ge=1)] = 5
    """Least number of meters of which a sum is shown."""
    keep_days: Annotated[int, Field(ge=1)] = 730
    """How long what was made of meters is kept after their last reading."""
    key_file: str | None = None
    """Of 32 bytes; the environment variable LEAKDETECT_KEY goes before it."""


class Site(_Model):
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
        _zone(name)
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
