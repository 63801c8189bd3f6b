"""Text that fits in the terminal's width; without a terminal nothing is cut."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence

from tarkit.cli.common import table
from tarkit.errors import one_line

Row = tuple[str, ...]
_NARROWEST = 12  # characters of a column that is cut
_GAP = 2


def terminal_width() -> int | None:
    """Return the width of the terminal on standard output, or None if it is none."""
    if sys.stdout is None or not sys.stdout.isatty():
        return None
    return max(shutil.get_terminal_size().columns, 2 * _NARROWEST)


def facts_text(facts: Sequence[tuple[str, str]], width: int | None) -> str:
    """Align names and values; values wider than *width* continue below their beginning."""
    keys = [one_line(key) for key, _ in facts]
    left = max(map(len, keys), default=0)
    if width is not None:
        left = min(left, width // 2)
    lines: list[str] = []
    for key, (_, value) in zip(keys, facts, strict=True):
        parts = _wrapped(one_line(value), None if width is None else width - left - _GAP)
        lines.append(f"{_cut(key, left).ljust(left)}  {parts[0]}".rstrip())
        lines += [" " * (left + _GAP) + part for part in parts[1:]]
    return "\n".join(lines)


def fitted_table(rows: Sequence[Row], width: int | None) -> str:
    """Align *rows* as :func:`~tarkit.cli.common.table`, and cut the widest columns to fit *width*."""
    rows = [tuple(map(one_line, row)) for row in rows]
    if width is not None:
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        while sum(widths) + _GAP * (len(widths) - 1) > width and max(widths) > _NARROWEST:
            widths[widths.index(max(widths))] -= 1
        rows = [tuple(map(_cut, row, widths)) for row in rows]
    return table(rows)


def _wrapped(text: str, width: int | None) -> list[str]:
    if width is None or len(text) <= width:
        return [text]
    return textwrap.wrap(text, width, break_on_hyphens=False) or [""]


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
