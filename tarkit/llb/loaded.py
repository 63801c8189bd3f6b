"""Vertices of a definition that was marshalled before; they keep their bytes."""

from __future__ import annotations

from collections.abc import Sequence

from tarkit.llb import messages
from tarkit.llb.definition import Definition
from tarkit.llb.platforms import from_message
from tarkit.llb.sourcemaps import SourceLocation, SourceMap
from tarkit.llb.vertices import Context, Encoded, Output


class LoadedVertex:
    """A vertex of a definition."""

    def __init__(self, encoded: Encoded, inputs: Sequence[Output]) -> None:
        self._encoded, self._inputs = encoded, inputs

    def inputs(self) -> Sequence[Output]:
        """Return the inputs that the definition names."""
        return self._inputs

    def encode(self, context: Context) -> Encoded:
        """Return the vertex as it is; constraints given now do not apply."""
        return self._encoded


def load(definition: Definition, *, where: str | None = None) -> Output | None:
    """Return the result of *definition*, None if it is empty.

    Raises :class:`MalformedError` or LimitExceededError if the graph is invalid.
    """
    graph = definition.graph(where=where)
    if graph.head is None:
        return None
    locations = _locations(definition.source)
    made: dict[str, LoadedVertex] = {}
    for digest in sorted(graph.ops, key=graph.depths.__getitem__):
        op = graph.ops[digest]
        inputs = [Output(made[each.digest], each.index) for each in op.inputs]
        metadata = definition.metadata.get(digest, messages.OpMetadata())
        encoded = Encoded(digest, graph.data[digest], metadata, locations.get(digest, ()))
        made[digest] = LoadedVertex(encoded, inputs)
    platform = graph.ops[graph.head.digest].platform
    return Output(
        made[graph.head.digest],
        graph.head.index,
        from_message(platform) if platform is not None else None,
    )


def _locations(source: messages.Source | None) -> dict[str, list[SourceLocation]]:
    if source is None:
        return {}
    maps = [
        SourceMap(info.filename, bytes(info.data), info.language, _definition(info.definition))
        for info in source.infos
    ]
    return {
        digest: [
            SourceLocation(maps[each.source_index], each.ranges)
            for each in found.locations
            if 0 <= each.source_index < len(maps)
        ]
        for digest, found in source.locations.items()
    }


def _definition(message: messages.Definition | None) -> Definition | None:
    return None if message is None else Definition(message)
