"""A folder of Parquet files as one table: partitioned as Hive does (``year=2024/...``), or just many files."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from leakdetect.errors import MissingFileError, ReadingsError
from leakdetect.readings import files
from leakdetect.readings.files import Chunk
from leakdetect.readings.sources import HEAD, Window
from leakdetect.readings.times import Kind, limits

if TYPE_CHECKING:
    from leakdetect.blocks import ReadingsBlock

_SUFFIXES = {".parquet", ".pq"}
_CELLS = 20_000_000  # values read at once: 160 MB


class Folder:
    """All Parquet files under a folder.

    Parameters
    ----------
    path : path
    block : ReadingsBlock

    Raises
    ------
    MissingFileError
        If there is none.
    ReadingsError
        If a file is not Parquet, or a column is of several kinds.
    """

    def __init__(self, path: Path, block: ReadingsBlock) -> None:
        self.path, self.block = path, block
        found = sorted(p for p in path.rglob("*") if p.suffix.lower() in _SUFFIXES and p.is_file())
        self.paths = [p for p in found if not any(part[0] in "._" for part in p.relative_to(path).parts)]
        if not self.paths:
            raise MissingFileError(f"{path}: no Parquet file in this folder: correct glob in site.toml")
        schemas = [_schema(p) for p in self.paths]
        parts = [part.partition("=") for p in self.paths for part in p.relative_to(path).parts[:-1] if "=" in part]
        # As text, whatever they look like: sensor=007 is not sensor 7.
        keys = [(key, pa.string()) for key in dict.fromkeys(key for key, _, _ in parts)]
        self.keys = [key for key, _ in keys]
        try:
            own = pa.unify_schemas([s.remove_metadata() for s in schemas], promote_options="permissive")
            self.schema = pa.schema([*(f for f in own if f.name not in self.keys), *(pa.field(*key) for key in keys)])
            self.table = ds.dataset(
                [str(p) for p in self.paths],
                schema=self.schema,
                format="parquet",
                partitioning=ds.partitioning(pa.schema(keys), flavor="hive") if keys else None,
                partition_base_dir=str(path),
            )
        except (pa.ArrowException, OSError) as error:
            raise _broken(path, error, hide=block.is_personal) from None

    def columns(self) -> list[str]:
        """Return the columns' names; in a wide table those that folders are named by are no readings."""
        own = [n for n in self.schema.names if not n.startswith("__index_level_")]  # rows that pandas has numbered
        return [n for n in own if self.block.layout == "long" or n not in self.keys]

    def near(self, window: Window) -> Any:
        """Return the filter that a window is, None where times cannot be compared as they stand."""
        name = self.block.time if self.block.time in self.schema.names else self.block.time.split("+")[0]
        kind = _kind(self.schema.field(name).type, self.block.time_format) if name in self.schema.names else None
        if kind is None:
            return None
        found = None
        first, last = limits(kind, window.since, window.until)
        for bound, above in ((first, True), (last, False)):
            if bound is not None:
                of = self.schema.field(name).type
                if isinstance(bound, float) and pa.types.is_integer(of):
                    value = pa.scalar(math.floor(bound) if above else math.ceil(bound))
                else:
                    value = pa.scalar(bound, type=pa.timestamp("us", of.tz) if pa.types.is_timestamp(of) else None)
                part = ds.field(name) >= value if above else ds.field(name) <= value
                found = part if found is None else found & part
        return found

    @cached_property
    def sensors(self) -> list[str]:
        """All names in the column of sensors, sorted."""
        names: set[str] = set()
        for batch in self.table.to_batches(columns=[self.block.sensor], batch_size=files.CHUNK):
            names.update(str(n).strip() for n in batch.column(0).unique().to_pylist() if n is not None)
        return sorted(names)


class Fragment:
    """One file of a folder; see `sources.Source`."""

    windowed = True

    def __init__(self, folder: Folder, path: Path, rows: ds.Fragment, window: Window) -> None:
        self.folder, self.path, self.rows, self.window = folder, path, rows, window

    def __str__(self) -> str:
        return str(self.path)

    def columns(self) -> list[str]:
        """See `Source`."""
        return self.folder.columns()

    def names(self, sensor: str) -> list[str]:
        """See `Source`."""
        return self.folder.sensors

    def chunks(self, text: list[str], wanted: list[str]) -> Iterator[Chunk]:
        """See `Source`: row groups outside the window are not read."""
        names = [*text, *wanted]
        size = min(max(_CELLS // len(names), 1000), files.CHUNK)
        try:
            batches = self.rows.to_batches(
                self.folder.schema, columns=names, filter=self.folder.near(self.window), batch_size=size,
                batch_readahead=1, fragment_readahead=0,
            )  # fmt: skip
            for batch in batches:
                if batch.num_rows:
                    yield Chunk(batch.to_pandas(), None)
        except (pa.ArrowException, OSError) as error:
            raise _broken(self.path, error) from None

    def head(self, text: list[str], wanted: list[str]) -> Iterator[Chunk]:
        """Yield the first rows of the file, if it is the first that the sensors' steps can be learnt from."""
        if self.window.since is None:
            return
        rows = self.rows.scanner(self.folder.schema, columns=[*text, *wanted]).head(HEAD)
        yield Chunk(rows.to_pandas(), None)


def fragments(path: Path, block: ReadingsBlock, window: Window) -> Iterator[Fragment]:
    """Yield the files of a folder, by name; errors as `Folder`."""
    folder = Folder(path, block)
    for file, rows in zip(folder.paths, sorted(folder.table.get_fragments(), key=lambda f: Path(f.path)), strict=True):
        yield Fragment(folder, file, rows, window)


def _schema(path: Path) -> pa.Schema:
    try:
        return pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise _broken(path, error) from None


def _kind(kind: pa.DataType, time_format: str | None) -> Kind | None:
    if pa.types.is_timestamp(kind):
        return Kind.LOCAL if kind.tz is None else Kind.UTC
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return Kind.TEXT if time_format is None else None
    numeric = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    return Kind.SECONDS if numeric and time_format == "unix" else None


def _broken(path: Path, error: Exception, *, hide: bool = False) -> ReadingsError:
    """Return the error; `hide` a reason that may name a meter."""
    reason = type(error).__name__ if hide else " ".join(str(error).split())
    return ReadingsError(f"{path}: cannot be read: {reason}: is the file whole, and are all alike?")
