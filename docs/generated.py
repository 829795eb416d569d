"""What pages take from elsewhere, as Markdown: the commands' help, the keys of site.toml, files above docs/."""

from __future__ import annotations

import ast
import inspect
import os
import re
import typing
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from leakdetect import site
from leakdetect.cli import app

PROJECT = Path(__file__).parents[1]
_ABOVE = {
    "README.md": "/readme.md",
    "README.fr.md": "/lisezmoi.md",
    "CHANGELOG.md": "/changelog.md",
    "CONTRIBUTING.md": "/contributing.md",
    "benchmarks/README.md": "/benchmarks.md",
}
"""Pages of the site that are files above docs/."""


def above(name: str) -> str:
    """Return a file of the folder above docs/, its links as this site has them."""

    def place(link: re.Match[str]) -> str:
        text, target, anchor = link["text"], link["target"], link["anchor"] or ""
        if "://" in target or not target:
            return link[0]
        target = os.path.relpath((PROJECT / name).parent / target, PROJECT)
        if (PROJECT / target).is_dir():
            return text
        inside = target.startswith("docs/")
        return f"[{text}]({_ABOVE.get(target) or (target.removeprefix('docs') if inside else f'../{target}')}{anchor})"

    text = (PROJECT / name).read_text(encoding="utf-8")
    return re.sub(r"\[(?P<text>[^\]]+)\]\((?P<target>[^)#\s]*)(?P<anchor>#[^)]*)?\)", place, text)


def filled(text: str) -> str:
    """Return a page's text with what its lines ``<!-- generated: FUNCTION [ARGUMENT] -->`` ask for in their place."""

    def made(mark: re.Match[str]) -> str:
        name, *rest = mark[1].split()
        return {"commands": commands, "keys": keys, "above": above}[name](*rest)

    return re.sub(r"^<!-- generated: (.*) -->$", made, to_pages(text), flags=re.MULTILINE)


def to_pages(text: str) -> str:
    """Return a page's text, its links to files above docs/ that are pages too leading there."""
    return re.sub(r"\]\((?:\.\./)+((?:\w+/)?README(?:\.fr)?\.md|[A-Z]+\.md)", lambda link: f"]({_ABOVE[link[1]]}", text)


def commands() -> str:
    """Return a section a command, with what its ``--help`` prints; groups with a section a member."""
    group = typer.main.get_command(app)
    parts = []
    for name, command, context in _walk(group, typer.Context(group, info_name="leakdetect"), ""):
        parts += [f"## {name}", "```text", command.get_help(context).rstrip(), "```", ""]
    return "\n".join(parts)


def _walk(group: Any, above: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    for name in group.list_commands(above):
        command = group.commands[name]
        context = typer.Context(command, info_name=name, parent=above)
        context.max_content_width = context.terminal_width = 94
        if hasattr(command, "commands"):
            yield from _walk(command, context, f"{path}{name} ")
        else:
            yield path + name, command, context


def keys() -> str:
    """Return a table a block of site.toml: key, type, default, meaning."""
    return "\n".join(_block(site.Site, ""))


def _block(model: type[BaseModel], path: str) -> list[str]:
    told = meanings(model)
    rows, below = [], []
    for name, field in model.model_fields.items():
        if field.exclude:
            continue
        inner, many = _inner(field.annotation)
        if inner:
            opening = {list: "[[{}]]", dict: "[{}.NAME]"}.get(many, "[{}]").format(path + name)
            below += [f"## {opening}", told[name], "", *_block(inner, f"{path}{name}.")]
        else:
            rows.append(f"| `{name}` | {kind(field)} | {default(field)} | {told[name]} |")
    head = ["| key | type | default | meaning |", "|---|---|---|---|"]
    return [*head, *rows, "", *below]


def _inner(annotation: Any) -> tuple[type[BaseModel] | None, Any]:
    """Return the model of a block and whether there may be many, as a list or by name."""
    many = typing.get_origin(annotation)
    last = typing.get_args(annotation)[-1] if many in (list, dict) else annotation
    return (last, many) if inspect.isclass(last) and issubclass(last, BaseModel) else (None, None)


def kind(field: FieldInfo) -> str:
    """Return what a value must be, as TOML has it, with its bounds."""
    words = {str: "text", int: "whole number", float: "number", bool: "true or false"}
    words |= {list[str]: "list of texts", dict[str, str]: "table of texts"}
    members = [a for a in typing.get_args(field.annotation) if a is not type(None)]
    if typing.get_origin(field.annotation) is typing.Literal:
        return " ".join(f"`{value}`" for value in members if value)
    wanted = members[0] if type(None) in typing.get_args(field.annotation) else field.annotation
    if typing.get_origin(wanted) is typing.Annotated:
        wanted = typing.get_args(wanted)[0]
    if typing.get_origin(wanted) is dict and typing.get_origin(typing.get_args(wanted)[0]) is typing.Literal:
        names = ", ".join(f"`{name}`" for name in typing.get_args(typing.get_args(wanted)[0]))
        return f"table of texts: {names}"
    if hasattr(wanted, "__members__"):  # an enumeration
        return " ".join(f"`{value}`" for value in wanted)
    bounds = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
    limits = [
        f"{sign} {getattr(m, name)}" for m in _constraints(field) for name, sign in bounds.items() if hasattr(m, name)
    ]
    return ", ".join([words[wanted], *limits])


def _constraints(field: FieldInfo) -> list[Any]:
    inside = [m for part in typing.get_args(field.annotation) for m in getattr(part, "__metadata__", ())]
    return [*field.metadata, *(m for found in inside for m in getattr(found, "metadata", [found]))]


def default(field: FieldInfo) -> str:
    """Return a key's default as TOML has it; what must be given is told of."""
    value = field.get_default(call_default_factory=True)
    if field.is_required():
        return "must be given"
    if value is None or value in ("", [], {}):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def meanings(model: type[BaseModel]) -> dict[str, str]:
    """Return what stands beneath each field of a model and of what it is made of.

    Raises
    ------
    LookupError
        If a field has nothing beneath it.
    """
    told: dict[str, str] = {}
    for part in reversed(model.__mro__):
        if not (issubclass(part, BaseModel) and part.__module__.startswith("leakdetect.")):
            continue
        body = ast.parse(inspect.getsource(part)).body[0].body  # type: ignore[attr-defined]
        for line, following in pairwise(body):
            text = getattr(getattr(following, "value", None), "value", None)
            if isinstance(line, ast.AnnAssign) and isinstance(following, ast.Expr) and isinstance(text, str):
                told[line.target.id] = " ".join(text.split()).replace("``", "`")
    missing = [name for name, field in model.model_fields.items() if name not in told and not field.exclude]
    if missing:
        raise LookupError(f"{model.__name__}.{missing[0]}: say what it means, in a docstring beneath it")
    return told
