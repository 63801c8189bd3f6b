"""Complete a command line for a shell; the scripts of ``tarkit completion`` call this."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from typer._click.shell_completion import (
    _resolve_context,
    _resolve_incomplete,
    split_arg_string,
)
from typer.core import TyperGroup

from tarkit.cli.candidates import image_paths, list_files, locations, platforms
from tarkit.cli.familiar import HIDDEN
from tarkit.errors import one_line

_SPECIAL = re.compile(r"[^\w@%+=:,./~-]")  # characters that bash must not interpret
_WITH_CHOICES = re.compile(r"[a-z-]+(?:\|[A-Za-z-]+)+")

_COMPLETERS: dict[str, Callable[[Any, str], Iterable[str]]] = {
    **dict.fromkeys(
        ("source", "sources", "destination", "old", "new", "layout"),
        lambda context, text: locations(text),
    ),
    "path": image_paths,
    "platform": platforms,
    "names": lambda context, text: _command_names(context) if context.info_name == "help" else (),
}
"""The function for each parameter; it gets the context of the command and the incomplete word."""


def complete(app: Any, shell: str, line: str, breaks: str = "") -> None:
    """Print the completions of *line*, which ends at the cursor: a value and a tab, then its help.

    bash treats the characters *breaks* as the ends of words, and replaces only the text after them.
    """
    words = split_arg_string(line)
    incomplete = "" if not words or line[-1:].isspace() else words.pop()
    found = list(completions(app, words[1:], incomplete))
    cut = max((incomplete.rfind(mark) + 1 for mark in ":=" if mark in breaks), default=0)
    for value, text in found:
        if shell == "bash":
            value = _SPECIAL.sub(r"\\\g<0>", value[cut:])
        print(f"{value}\t{one_line(text)}")


def completions(app: Any, words: Sequence[str], incomplete: str) -> Iterator[tuple[str, str]]:
    """Yield each completion of *incomplete* after *words*, and its help."""
    context = _resolve_context(app, {}, "tarkit", list(words))
    arguments = list(words)
    subject, value = _resolve_incomplete(context, arguments, incomplete)
    option = incomplete[: len(incomplete) - len(value)]  # --option= of --option=value
    if getattr(subject, "param_type_name", None) is None:
        for item in subject.shell_complete(context, value):
            if item.value not in HIDDEN:
                yield item.value, item.help or ""
        return
    for candidate in _values(subject, context, value):
        if candidate.startswith(value) and candidate.isprintable():
            yield option + candidate, ""


def _values(parameter: Any, context: Any, text: str) -> Iterable[str]:
    """Return values of *parameter* that may begin with *text*."""
    if parameter.name in _COMPLETERS:
        return _COMPLETERS[parameter.name](context, text)
    if choices := getattr(parameter.type, "choices", None):
        return [str(getattr(choice, "value", choice)) for choice in choices]
    if _WITH_CHOICES.fullmatch(parameter.metavar or ""):
        return [choice for choice in parameter.metavar.split("|") if choice.islower()]
    if parameter.type.name in ("path", "file", "directory"):
        return list_files(text)
    return ()


def _command_names(context: Any) -> Iterable[str]:
    """Return the commands in the command that the line names so far, for ``tarkit help``."""
    above = context.parent
    command = above.command
    for name in context.params["names"] or ():
        command = command.get_command(above, name)
        if not isinstance(command, TyperGroup):
            return ()
    names: list[str] = command.list_commands(above)
    return names
