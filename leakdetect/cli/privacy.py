"""The command `privacy`: what is held of households' meters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from leakdetect.cli import app
from leakdetect.cli.options import Folder, Language
from leakdetect.cli.privacy_words import WORDS

if TYPE_CHECKING:
    from leakdetect.privacy import Held


@app.command(epilog="Example: leakdetect privacy town --enforce")
def privacy(
    folder: Folder,
    *,
    enforce: Annotated[bool, typer.Option("--enforce", help="First remove what is kept for too long.")] = False,
    make_key: Annotated[bool, typer.Option("--make-key", help="Make the key file, unless it is there.")] = False,
    meter: Annotated[str | None, typer.Option(metavar="ID", help="Print this meter's pseudonym, no more.")] = None,
    lang: Annotated[Language, typer.Option(help="Language of the table.")] = Language.EN,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Say what is held of households' meters: where, since when, until when, and how."""
    import json

    import numpy as np

    from leakdetect import privacy as about
    from leakdetect.cli.console import log
    from leakdetect.site import load_site
    from leakdetect.vault import Vault

    site, words = load_site(folder), WORDS[lang]
    vault = Vault.of(site)
    if make_key:
        log(f"{vault.path}: {'made; keep a copy in a safe place' if vault.make() else 'is there already'}")
    if meter is not None:
        typer.echo(vault.pseudonym(meter))
        return
    if enforce:
        removed = about.enforce(site, np.datetime64("now"))
        for holding in removed:
            log(words["enforced"].format(where=holding.where, until=holding.until))
        if not removed:
            log(words["nothing_old"].format(days=site.privacy.keep_days))
    found = about.held(site)
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=1, ensure_ascii=False))
    else:
        _show(found, lang)


def _show(found: Held, lang: Language) -> None:
    from leakdetect.cli.console import table

    words = WORDS[lang]
    if found.key is None:
        typer.echo(words["no_meters"])
        return
    typer.echo(words["key"].format(name=found.key_name, where=found.key))
    typer.echo(words["group"].format(k=found.smallest_group, days=found.keep_days))
    rows = [
        [h.where, words[h.kind], "" if h.meters is None else str(h.meters), h.since or "", h.until or "",
         h.keep_until or "", words[h.how]]
        for h in found.holdings
    ]  # fmt: skip
    table("", words["header"].split("|"), rows)
