"""The end of a failed step's output, and the lines of the source file that made the step."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tarkit.cli.steps import Step
from tarkit.errors import BuildError, SourcePosition, one_line

_LOG_LINES = 20
_AROUND = 2  # lines of source before and after
_LARGEST = 1 << 20  # bytes of a source file
_RULE = "-" * 20


def failure_text(error: BuildError, step: Step | None, program: str | None) -> list[str]:
    """Return the lines to print before the message of *error*.

    *program* is the user's file; the text of others is only shown if the definition contains it.
    """
    lines = []
    log = step.tail()[-_LOG_LINES:] if step is not None else []
    if step is not None and log:
        lines += ["------", f" > {one_line(step.event.name)}:", *log, "------"]
    if error.positions:
        lines += _excerpt(error.positions[0], program)
    return lines


def _excerpt(position: SourcePosition, program: str | None) -> list[str]:
    source = _source(position, program)
    if not source:
        return []
    return [one_line(str(position)), _RULE, *_numbered(source, position), _RULE]


def _numbered(source: list[str], position: SourcePosition) -> Iterator[str]:
    last = min(position.last, position.first + 10)
    first = max(1, position.first - _AROUND)
    for number, line in enumerate(source[first - 1 : last + _AROUND], first):
        mark = ">>>" if position.first <= number <= last else "   "
        yield f"{number:4} | {mark} {one_line(line.expandtabs())}".rstrip()


def _source(position: SourcePosition, program: str | None) -> list[str]:
    data = position.data
    if not data and program is not None:
        path = Path(program)
        if path.name != position.filename:  # another file of the same program
            path = path.parent / Path(position.filename).name
        try:
            with path.open("rb") as file:
                data = file.read(_LARGEST)
        except OSError:
            return []
    return data.decode("utf-8", "replace").splitlines()
