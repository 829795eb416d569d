"""Tables of site.toml in general, and ``[[readings]]``: which files, table or server hold readings, and how."""

from __future__ import annotations

import codecs
import re
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from leakdetect.schema import Quantity
from leakdetect.secrets import is_name
from leakdetect.units import canonical

_PASSWORD = re.compile(r"://[^:/@]*:(?P<user>[^@]+)@|[?&](?:password|pwd)=(?P<option>[^&]+)", re.IGNORECASE)
_SOURCES = {  # keys that a format needs or may have; those of other formats are refused
    "sql": ({"url"}, {"table", "query", "sensors"}),
    "opcua": ({"url", "columns"}, {"user", "password", "certificate", "private_key", "security"}),
}
_FILES: tuple[set[str], set[str]] = ({"glob"}, set())


class Block(BaseModel):
    """A table of site.toml: a key that it does not know is refused, and nothing is changed once it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def known_zone(name: str | None) -> str | None:
    """Return the name of a time zone as it is; raises ValueError if there is none of that name."""
    try:
        if name is not None:
            ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: the name of a folder, such as 'Europe'
        raise ValueError(f"unknown time zone '{name}': use a name such as Europe/Paris") from None
    return name


class ReadingsBlock(Block):
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
        if any(not is_name(text) for text in [*written, self.password] if text):
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
        return known_zone(name)
