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

    `glob` is relative to the site folder unless absolute. `columns` maps a column's name to the network element it
    measures (default: the column's name is the element's id; '' for no element). `ignore` names columns that are no
    readings of this block; ``*`` stands for anything. `dmas` maps a column to its district where they differ.
    `time` names the time column, or two that belong together: ``Date+Time``. `personal` says whether these are the
    meters of households (see docs/privacy.md); where nothing is said, those of quantity demand are.

    With format ``sql`` the readings stand in `table` (or ``schema.table``, or a view) of the database at `url`, or are
    what the site's own `query` returns; `sensors` names the sensors wanted of a long table. With format ``opcua`` they
    are the history of the nodes that `columns` names, on the server at `url`. Secrets are named, not written:
    ``${NAME}`` stands for an environment variable in `url`, `user`, `password`, `certificate` and `private_key`.
    """

    glob: str = ""
    quantity: Quantity
    unit: str
    format: Literal["csv", "parquet", "netcdf", "xlsx", "sql", "opcua"] = "csv"
    layout: Literal["wide", "long"] = "wide"
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    decimal: Literal[".", ","] = "."
    encoding: str = "utf-8"
    sheet: str | None = None  # of a workbook; the first where nothing is said
    time: str = "time"
    time_format: str | None = None  # as strftime has it, or "unix" (s); ISO 8601 where nothing is said
    timezone: str | None = None  # of these files, where it is not the site's
    sensor: str = "sensor"  # long layout: the column that names the sensor
    value: str = "value"  # long layout: the column that holds the reading
    columns: dict[str, str] = Field(default_factory=dict)
    ignore: list[str] = Field(default_factory=list)
    dma: str = ""
    dmas: dict[str, str] = Field(default_factory=dict)
    personal: bool | None = None
    url: str = ""
    table: str = ""
    query: str = ""
    sensors: list[str] = Field(default_factory=list)
    user: str = ""
    password: str = ""
    certificate: str = ""
    private_key: str = ""
    security: Literal["", "Sign", "SignAndEncrypt"] = ""

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
    zone_probability: Annotated[float, Field(gt=0, lt=1)] = 0.8
    smallest_leak_m3h: Annotated[float, Field(gt=0)] = 1.0


class Storage(_Model):
    """Where runs keep events and progress, if not in the site folder.

    `url` names a database that several sites may share, each by its name or by `site`: ``postgresql://user@host/name``.
    ``${NAME}`` in it stands for an environment variable, such as a password.
    """

    url: str | None = None
    site: str | None = None

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
    crew: Annotated[float, Field(ge=0)] = 500.0
    currency: str = "EUR"


class Place(_Model):
    """What key figures need to know of a service or of one of its districts; volumes are m3 a year.

    `billed_m3` is what customers' meters register; `exported_m3` leaves to other services behind the inflow meters
    without a sensor of its own. `service_connection_m` is the mean length of private pipe from the edge of the street
    to the meter. `night_use_m3h` is what large users draw at night.
    """

    billed_m3: Annotated[float, Field(ge=0)] | None = None
    unmetered_m3: Annotated[float, Field(ge=0)] = 0.0
    service_m3: Annotated[float, Field(ge=0)] = 0.0
    exported_m3: Annotated[float, Field(ge=0)] = 0.0
    mains_km: Annotated[float, Field(gt=0)] | None = None  # without service connections; the network's where not given
    service_connection_m: Annotated[float, Field(ge=0)] | None = None
    average_pressure_m: Annotated[float, Field(gt=0)] | None = None
    night_use_m3h: Annotated[float, Field(ge=0)] = 0.0


class District(Place):
    """A ``[kpi.districts.NAME]`` block."""

    inhabitants: Annotated[int, Field(gt=0)] | None = None
    connections: Annotated[int, Field(gt=0)] | None = None


class Kpi(Place):
    """The ``[kpi]`` block: what the key figures of the whole service need to know.

    `night_use_l_per_inhabitant_h` and the exponent `n1` have defaults from the literature; `meter_error_share` is of
    what passes customers' meters, `unauthorised_share` of the water supplied. `awareness_days` is how long a leak runs
    before anybody notices, without monitoring.
    """

    night_use_l_per_inhabitant_h: Annotated[float, Field(ge=0)] | None = None
    n1: Annotated[float, Field(ge=0, le=3)] | None = None
    night_day_factor_h: Annotated[float, Field(gt=0)] | None = None
    meter_error_share: Annotated[float, Field(ge=0, lt=1)] | None = None
    unauthorised_share: Annotated[float, Field(ge=0, lt=1)] | None = None
    scarce_resource: bool = False  # zone de répartition des eaux
    energy_kwh_per_m3: Annotated[float, Field(ge=0)] | None = None
    co2_kg_per_kwh: Annotated[float, Field(ge=0)] | None = None
    awareness_days: Annotated[float, Field(ge=0)] | None = None
    monitoring_cost_per_year: Annotated[float, Field(ge=0)] | None = None
    districts: dict[str, District] = Field(default_factory=dict)


class Privacy(_Model):
    """How readings of households' meters are kept; see docs/privacy.md.

    `smallest_group` is the least number of meters of which a sum is shown, `keep_days` how long what was made of them
    is kept. The key is in the environment variable LEAKDETECT_KEY, or in `key_file`, or in a file of the user's own.
    """

    smallest_group: Annotated[int, Field(ge=1)] = 5
    keep_days: Annotated[int, Field(ge=1)] = 730
    key_file: str | None = None


class Site(_Model):
    """A site as site.toml describes it, paths resolved against its folder."""

    name: str
    timezone: str = "UTC"
    network: str | None = None
    crs: Annotated[str, Field(pattern=r"^EPSG:\d{4,6}$")] | None = None  # of the network's drawing, for GIS exports
    repairs: str | None = None
    step_minutes: Annotated[int, Field(ge=5, le=360)] = 60
    late_days: Annotated[int, Field(ge=0, le=366)] = 14  # in which readings may come late, or be corrected
    inhabitants: int | None = None
    connections: int | None = None
    readings: list[ReadingsBlock] = Field(min_length=1)
    detection: Detection = Detection()
    costs: Costs = Costs()
    kpi: Kpi = Kpi()
    privacy: Privacy = Privacy()
    store: Storage = Storage()
    stream: Stream = Stream()
    alerts: list[Alert] = Field(default_factory=list)
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
