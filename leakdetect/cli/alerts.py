"""What people were told, and what waits to be: `alerts`."""

from __future__ import annotations

from typing import Annotated

import typer

from leakdetect.cli import app
from leakdetect.cli.options import Folder


@app.command(epilog="Example: leakdetect alerts town --test")
def alerts(
    folder: Folder,
    *,
    trial: Annotated[bool, typer.Option("--test", help="Send a trial by every way, and nothing else.")] = False,
    last: Annotated[int, typer.Option(min=1, help="Only the newest so many.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="All that is kept of them, as one JSON array.")] = False,
) -> None:
    """Send what waits; print what was sent and what still waits.

    Exit code 2 where a trial fails.
    """
    import json
    from dataclasses import asdict

    from leakdetect.alerts import deliver, test
    from leakdetect.cli.console import log, table
    from leakdetect.cli.times import local
    from leakdetect.errors import InputError
    from leakdetect.events import parse_time
    from leakdetect.site import load_site
    from leakdetect.store import open_store

    site = load_site(folder)
    if not site.alerts:
        raise InputError(f"{folder / 'site.toml'}: nobody to tell: write an [[alerts]] block")
    if trial:
        failed = [f"{name}: {why}" for name, why in test(site) if why is not None]
        if failed:
            raise InputError(f"not delivered: {'; '.join(failed)}")
        log(f"{len(site.alerts)} trials sent")
        return
    for line in deliver(site).failed:
        log(f"not delivered, tried again later: {line}")
    store = open_store(site, make=False)
    found = []
    if store is not None:
        with store:
            found = store.messages()[-last:]
    if as_json:
        typer.echo(json.dumps([asdict(message) for message in found], indent=1, ensure_ascii=False))
        return
    rows = [
        [
            m.alert, m.key, local(parse_time(m.made), site.timezone), local(parse_time(m.sent), site.timezone),
            "" if m.sent else local(parse_time(m.due), site.timezone), str(m.attempts), m.error,
        ]
        for m in found
    ]  # fmt: skip
    table("", ["alert", "what", "since", "sent", "next attempt", "attempts", ""], rows, right=("attempts",))
