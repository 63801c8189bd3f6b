"""Failures of steps, with the lines of source files that made them."""

from __future__ import annotations

from collections.abc import Iterator

from tarkit.errors import BuildError, SourcePosition, TarkitError
from tarkit.llb.definition import Definition
from tarkit.llb.messages import Source
from tarkit.solver.operations.making import name_of


def step_error(error: TarkitError, definition: Definition, vertex: str) -> BuildError:
    """Return *error* of the step *vertex* with the positions that *definition* has for it."""
    found = tuple(positions(definition.source, vertex))
    name = _name(definition, vertex)
    text = str(error)
    return BuildError(
        text if text.startswith(name) else f"{name}: {text}",
        reason=error,
        vertex=vertex,
        positions=found,
        exit_code=getattr(error, "exit_code", None),
    )


def _name(definition: Definition, vertex: str) -> str:
    """Return the name of a step, nothing for a step of a nested build."""
    op = definition.graph().ops.get(vertex)
    return name_of(op, definition.metadata.get(vertex)) if op is not None else ""


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
