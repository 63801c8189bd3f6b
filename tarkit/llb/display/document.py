"""Definitions as JSON."""

from __future__ import annotations

from typing import Any

from tarkit.llb.definition import Definition
from tarkit.llb.messages import OpMetadata
from tarkit.llb.wire import to_json


def to_document(definition: Definition) -> dict[str, Any]:
    """Return *definition* as a JSON object: head, vertices with digests and metadata, and origins.

    Operations have the form of protobuf's JSON. Raises :class:`MalformedError` if the graph is
    invalid.
    """
    graph = definition.graph()
    vertices = []
    for digest, op in graph.ops.items():
        metadata = definition.metadata.get(digest, OpMetadata())
        vertex = {"digest": digest, "op": to_json(op), "metadata": to_json(metadata)}
        vertices.append(vertex)
    document: dict[str, Any] = {
        "head": None if graph.head is None else to_json(graph.head),
        "vertices": vertices,
    }
    if definition.source is not None:
        document["source"] = to_json(definition.source)
    return document
