"""The origin of vertices in source files, so that errors can point at the user's code."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import field
from typing import Any

from tarkit.llb.messages import Position, Range
from tarkit.values import dataclass

OWN = "tarkit."
"""Frames of modules below this name are not the user's code."""


@dataclass(frozen=True, slots=True)
class SourceMap:
    """A source file: its name, ``data``, language, and the state that contains it if any.

    :meth:`location` makes a position in the file for the option ``locations`` of an operation.
    A definition contains equal maps once, with the state of the first.
    """

    filename: str
    data: bytes = b""
    language: str = ""
    state: Any = field(default=None, compare=False)

    def location(self, *ranges: Range) -> SourceLocation:
        """Return a location with *ranges* of this file; see :func:`lines` for whole lines."""
        return SourceLocation(self, ranges)


@dataclass(frozen=True, slots=True)
class SourceLocation:
    """Ranges of one source file."""

    source: SourceMap
    ranges: Sequence[Range]


def lines(first: int, last: int | None = None) -> Range:
    """Return the range of the lines from *first* to *last*, counted from 1."""
    return Range(start=Position(line=first), end=Position(line=last or first))


@dataclass(frozen=True, slots=True)
class Caller:
    """A line of the user's Python code."""

    filename: str
    line: int


def caller() -> Caller | None:
    """Return the line that called into tarkit, or None if there is none."""
    frame = sys._getframe(1)
    while frame is not None:
        if not frame.f_globals.get("__name__", "").startswith(OWN):
            return Caller(frame.f_code.co_filename, frame.f_lineno)
        frame = frame.f_back  # type: ignore[assignment]
    return None
