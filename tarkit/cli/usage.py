"""Errors of the parser, in the words of the other errors."""

from __future__ import annotations

from typing import Any

from tarkit.cli.familiar import HIDDEN
from tarkit.cli.manual import Page, page_of
from tarkit.errors import UsageError

_EXTRA = "Got unexpected extra argument"


def usage_error(error: Any) -> UsageError:
    """Return typer's *error* as one of this program, with an example if something is missing."""
    message: str = error.format_message().removesuffix(".")
    context = getattr(error, "ctx", None)
    if context is not None:
        page = page_of(context.command, context)
        if message.startswith(("Missing argument", "Missing command")):
            return UsageError(f"missing {_missing(error, context)}", hint=_example(page))
        if message.startswith(_EXTRA):
            words = message.partition(" (")[2].removesuffix(")")
            return UsageError(f"unexpected arguments: {words}", hint=f"usage: {page.usage}")
    for kind in ("int range", "int"):
        message = message.replace(f"is not a valid {kind}", "is not a whole number")
    for name in HIDDEN:
        message = message.replace(f" / '{name}'", "")
    return UsageError(message[:1].lower() + message[1:])


def _missing(error: Any, context: Any) -> str:
    parameter = getattr(error, "param", None)
    if parameter is None:
        return "COMMAND"
    name: str = parameter.make_metavar(context)
    return name.strip("{}").removesuffix("...")


def _example(page: Page) -> str:
    return f"example: {page.examples[0][1]}" if page.examples else f"usage: {page.usage}"
