"""Opens the feed that the user names."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from leakdetect.watch.sources import Dropped, Lines, Source, site_folder
from leakdetect.watch.watching import Watch


def open_source(
    watched: Watch,
    tell: Callable[[str], None],
    *,
    dropped: Path | None = None,
    mqtt: str | None = None,
    opcua: bool = False,
) -> Source:
    """Return a feed: a folder, an MQTT broker (its URL, '' for that of site.toml), OPC UA servers, else stdin.

    Raises
    ------
    LeakdetectError
        If it cannot be opened.
    """
    refuse = watched.decoder.refuse
    if dropped is not None:
        return Dropped(site_folder(watched.site, dropped), tell, refuse)
    if mqtt is not None:
        from leakdetect.watch.mqtt import Broker

        return Broker(watched.site, mqtt, tell, refuse)
    if opcua:
        from leakdetect.watch.opcua import Servers

        return Servers(watched.site, watched.newest, tell)
    return Lines(sys.stdin.fileno(), refuse)
