"""Failures of steps, with the lines of source files that made them."""

from __future__ import annotations

from collections.abc import Iterator

from tarkit.errors import BuildError, SourcePosition, TarkitError
from tarkit.llb.definition import Definition
from tarkit.llb.messages import Source


def step_error(error: TarkitError, definition: Definition, vertex: str) -> BuildError:
    """Return *error* of the step *vertex* with the positions that *definition* has for it."""
    found = tuple(positions(definition.source, vertex))
    return BuildError(
        str(error),
        reason=error,
        vertex=vertex,
        positions=found,
        exit_code=getattr(error, "exit_code", None),
    )


def positions(source: Source | None, vertex: str) -> Iterator[SourcePosition]:
    """Yield the positions of a vertex in source files."""
    if source is None or vertex not in source.locations:
        return
    for location in source.locations[vertex].locations:
        if 0 <= location.source_index < len(source.infos):
            info = source.infos[location.source_index]
            for each in location.ranges:
                first = each.start.line if each.start else 0
                last = each.end.line if each.end else first
                yield SourcePosition(info.filename, first, max(first, last), bytes(info.data))
