"""Readings as they arrive: `watch`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from leakdetect.cli import app
from leakdetect.cli.listing import NEW
from leakdetect.cli.options import Folder


@app.command(epilog="Example: leakdetect watch town --mqtt mqtts://broker.example.org")
def watch(
    folder: Folder,
    *,
    stdin: Annotated[
        bool,
        typer.Option("--stdin", help='JSON lines: {"time": "2019-01-01T00:05:00Z", "sensor": "n105", "value": 50.8}.'),
    ] = False,
    dropped: Annotated[
        Path | None, typer.Option("--folder", metavar="DIR", help="Files that are dropped there.", show_default=False)
    ] = None,
    mqtt: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="A broker: mqtt://host or mqtts://host; '' for that of site.toml.", show_default=False
        ),
    ] = None,
    opcua: Annotated[
        bool, typer.Option("--opcua", help="What the nodes of the OPC UA blocks of site.toml say.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object a line for each new event.")] = False,
) -> None:
    """Take readings as they arrive, and find leaks as detect does; print each event when it is raised.

    What was received is in DIR/stream before it is acknowledged: stop it, or kill it, at any time.
    It ends with stdin, or when it is interrupted. Values are in the units of site.toml.

    Exit code: 0 nothing new was raised, 10 new events, 2 input that you can mend, 1 an error of ours.
    """
    import json
    import signal

    from leakdetect.alerts import Sender
    from leakdetect.cli.console import log
    from leakdetect.cli.listing import Format, listing, summary
    from leakdetect.errors import InputError
    from leakdetect.watch import watch as watching
    from leakdetect.watch.open import open_source

    if sum((stdin, dropped is not None, mqtt is not None, opcua)) != 1:
        raise InputError("where do readings come from? Give one of --mqtt, --opcua, --folder and --stdin")
    stopped: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda got, _: stopped.append(got))
    new = 0
    with watching(folder, log, lambda: bool(stopped)) as watched, Sender(lambda: watched.site, log) as sender:
        source = open_source(watched, log, dropped=dropped, mqtt=mqtt, opcua=opcua)
        log(f"watching {folder}")
        for taken in watched.follow(source, lambda: bool(stopped)):
            sender.look()
            new += len(taken.raised)
            for event in taken.raised:
                if as_json:
                    typer.echo(json.dumps(event.to_dict(), ensure_ascii=False))
                else:
                    [row] = listing(watched.site, [event], Format.TABLE).rows
                    typer.echo("  ".join(cell for cell in row.values() if cell))
            if taken.raised or taken.outcome.restarted is not None:
                log(summary(watched.site, taken.outcome))
    if new:
        raise typer.Exit(NEW)
