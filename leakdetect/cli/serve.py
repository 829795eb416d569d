"""The web page: `serve`, and its users: `users`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leakdetect.cli import app

if TYPE_CHECKING:
    import socket
    from types import FrameType

    import uvicorn

    from leakdetect.web.live import Marks
    from leakdetect.web.users import Users

users = typer.Typer(
    help="The users of the web page: list, add, remove.",
    epilog="Example: leakdetect users users.json add anne --role operator",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(users, name="users")


@app.command(epilog="Example: leakdetect serve town village, then open http://127.0.0.1:8000")
def serve(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="The site folders.")],
    *,
    host: Annotated[
        str, typer.Option(help="Address to listen at; any but this machine's own needs users.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for any that is free.")] = 8000,
    users_file: Annotated[
        Path | None, typer.Option("--users", metavar="FILE", help="Who may log in; see 'leakdetect users'.")
    ] = None,
    audit: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Who did what; beside --users if not given.", show_default=False),
    ] = None,
    certificate: Annotated[Path | None, typer.Option(metavar="FILE", help="For HTTPS: PEM, with its chain.")] = None,
    key: Annotated[Path | None, typer.Option(metavar="FILE", help="Its private key.")] = None,
    proxy: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Of the server in front of this one that speaks HTTPS.")
    ] = "",
) -> None:
    """Show sites in a browser: events, map, series, data quality, key figures; events can be confirmed and so on.

    On this machine alone it needs nothing more. Anywhere else it needs users, and HTTPS.
    """
    from leakdetect.errors import InputError, MissingExtraError

    try:
        import uvicorn

        from leakdetect.web.app import create_app
        from leakdetect.web.binding import check_binding, listening
        from leakdetect.web.users import Users
    except ImportError as error:
        raise MissingExtraError(f"the web page needs {error.name}: pip install 'leakdetect[web]'") from None

    hosts = check_binding(host, users=users_file, certificate=certificate, key=key, proxy=proxy)
    known = Users(users_file) if users_file is not None else None
    if known is not None and not known.known():
        raise InputError(f"{known.path}: holds no user: add one with 'leakdetect users {known.path} add NAME'")
    log = audit or (users_file.with_name(f"{users_file.stem}.audit.jsonl") if users_file is not None else None)
    secure = certificate is not None or bool(proxy)
    page = create_app(folders, users=known, audit=log, secure=secure, hosts=hosts)
    with listening(host, port) as place:
        config = uvicorn.Config(
            page, log_level="warning", access_log=False, server_header=False, lifespan="off",
            proxy_headers=bool(proxy), forwarded_allow_ips=proxy or None,
            ssl_certfile=certificate, ssl_keyfile=key, timeout_graceful_shutdown=2,
        )  # fmt: skip
        typer.echo(f"http{'s' if certificate else ''}://{_shown(host)}:{place.getsockname()[1]}/")
        _run(uvicorn.Server(config), place, page.state.page.marks)


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _run(server: uvicorn.Server, place: socket.socket, marks: Marks) -> None:
    from contextlib import suppress

    leave = server.handle_exit

    def handle_exit(number: int, frame: FrameType | None) -> None:
        marks.closing = True  # or those who listen for changes would keep the server
        leave(number, frame)

    server.handle_exit = handle_exit  # type: ignore[assignment,method-assign]
    with suppress(KeyboardInterrupt):  # it is how one ends it
        server.run(sockets=[place])


@users.callback()
def _users(context: typer.Context, file: Annotated[Path, typer.Argument(metavar="FILE", help="Of users.")]) -> None:
    context.obj = file


def _load(context: typer.Context, *, make: bool = False) -> Users:
    from leakdetect.web.users import Users

    path: Path = context.obj
    return Users(path, make=make)


@users.command("list", epilog="Example: leakdetect users users.json list")
def list_(context: typer.Context) -> None:
    """Print who may log in, and as what."""
    from leakdetect.cli.console import table

    table("", ["name", "role"], [[name, str(user.role)] for name, user in sorted(_load(context).known().items())])


@users.command(epilog="Example: leakdetect users users.json add anne --role operator")
def add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Letters, digits and . _ @ -.")],
    *,
    role: Annotated[
        str, typer.Option(help="reader looks, operator says what becomes of events, admin sees the audit too.")
    ] = "reader",
) -> None:
    """Add a user, or give one another role and password; asks for the password, or reads it from a pipe."""
    import sys

    from leakdetect.errors import InputError
    from leakdetect.web.users import Role

    if role not in list(Role):
        raise InputError(f"'{role}' is none of {', '.join(Role)}: write one of these")
    known = _load(context, make=True)
    if sys.stdin.isatty():
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    known.add(name, Role(role), password)
    typer.echo(f"{name}: {role}")


@users.command(epilog="Example: leakdetect users users.json remove anne")
def remove(context: typer.Context, name: Annotated[str, typer.Argument(help="As list shows it.")]) -> None:
    """Remove a user; what they have open ends at once."""
    _load(context).remove(name)
    typer.echo(f"{name}: removed")
