"""Definitions as graphs in the language of Graphviz."""

from __future__ import annotations

from collections.abc import Iterator

from tarkit.llb.definition import Definition
from tarkit.llb.display.labels import edge_labels, label

_SHAPES = {"source": "ellipse", "file": "note", "build": "component"}


def to_dot(definition: Definition) -> str:
    """Return *definition* as a graph for ``dot``; raise MalformedError if it is invalid."""
    return "\n".join(["digraph {", *_lines(definition), "}"]) + "\n"


def _lines(definition: Definition) -> Iterator[str]:
    graph = definition.graph()
    names = {digest: f"v{number}" for number, digest in enumerate(graph.ops)}
    yield "  node [shape=box]"
    for digest, op in graph.ops.items():
        found = label(op, definition.metadata.get(digest))
        lines = [line for line in (found.name, f"{found.kind} {found.text}".rstrip()) if line]
        shape = _SHAPES.get(found.kind, "box")
        text = "\\n".join(map(_escaped, lines))
        yield f'  {names[digest]} [label="{text}", tooltip="{digest}", shape={shape}]'
        for each, text in zip(op.inputs, edge_labels(op), strict=True):
            yield f'  {names[each.digest]} -> {names[digest]} [label="{_escaped(text)}"]'
    if graph.head is not None:
        yield '  result [label="result", shape=doublecircle]'
        yield f"  {names[graph.head.digest]} -> result"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
