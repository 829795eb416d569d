"""Takes a site's rows over from the file in its folder into a database that sites share."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from leakdetect.store.layout import CHANGES, CHECKPOINTS, DAYS, EVENTS, OUTBOX, PROGRESS, RUNS, SENSORS

_ORDER = {CHANGES: CHANGES.c.number, RUNS: RUNS.c.number, OUTBOX: OUTBOX.c.number}


def adopt(source: sa.Connection, target: sa.Connection, site: str) -> None:
    """Copy all rows of the one site of a file, in the target's transaction; numbers are given anew.

    Parameters
    ----------
    source, target : Connection
    site : str
        As it is known in the target.
    """
    numbers: dict[int | None, int | None] = {None: None}
    for table in (RUNS, EVENTS, CHANGES, PROGRESS, CHECKPOINTS, DAYS, SENSORS, OUTBOX):
        for row in source.execute(sa.select(table).order_by(_ORDER.get(table, table.c.site))):
            values: dict[str, Any] = {**row._mapping, "site": site}
            number = values.pop("number", None)
            if "run" in values:
                values["run"] = numbers[values["run"]]
            done = target.execute(table.insert().values(values))
            if table is RUNS and done.inserted_primary_key is not None:
                numbers[number] = done.inserted_primary_key[0]
