"""Definitions as pictures: one SVG document without scripts, fonts or other files."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from tarkit.llb.definition import Definition
from tarkit.llb.display.labels import Label, edge_labels, label
from tarkit.llb.display.layout import arrange

_WIDTH, _HEIGHT = 240, 52  # of a box, in pixels
_GAP_X, _GAP_Y, _MARGIN = 28, 44, 20
_LONGEST = 34  # characters of a line in a box
_STYLE = """
text { font: 12px sans-serif; fill: #1c2733 }
.kind { font-weight: bold } .edge { fill: none; stroke: #6b7885 }
rect { stroke: #6b7885; fill: #f3f5f7; rx: 6px } .label { font-size: 10px; fill: #51606e }
.source rect { fill: #e1eefb } .exec rect { fill: #fdeedd } .file rect { fill: #e6f4e4 }
.merge rect, .diff rect { fill: #f0e8f8 } .result rect { stroke-width: 2.5 }
"""


def to_svg(definition: Definition) -> str:
    """Return *definition* as an SVG document; raise MalformedError if it is invalid."""
    return "\n".join(_lines(definition)) + "\n"


def _lines(definition: Definition) -> Iterator[str]:
    graph = definition.graph()
    layout = arrange(graph)
    corners = {digest: _corner(*place) for digest, place in layout.places.items()}
    right, below = _corner(layout.rows, layout.columns)
    width, height = max(right - _GAP_X, 0) + _MARGIN, max(below - _GAP_Y, 0) + _MARGIN
    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
    yield f' width="{width}" height="{height}"><style>{_STYLE}</style>'
    for digest, op in graph.ops.items():
        for each, text in zip(op.inputs, edge_labels(op), strict=True):
            yield from _edge(corners[each.digest], corners[digest], text)
    for digest, op in graph.ops.items():
        is_result = graph.head is not None and digest == graph.head.digest
        found = label(op, definition.metadata.get(digest))
        yield from _box(corners[digest], digest, found, is_result=is_result)
    yield "</svg>"


def _corner(row: int, column: int) -> tuple[int, int]:
    return _MARGIN + column * (_WIDTH + _GAP_X), _MARGIN + row * (_HEIGHT + _GAP_Y)


def _box(corner: tuple[int, int], digest: str, found: Label, *, is_result: bool) -> Iterator[str]:
    x, y = corner
    kinds = f"{found.kind} result" if is_result else found.kind
    full = "\n".join(line for line in (digest, found.name, found.text) if line)
    yield f'<g class="{kinds}"><title>{escape(full)}</title>'
    yield f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}"/>'
    yield f'<text class="kind" x="{x + 10}" y="{y + 20}">{found.kind}</text>'
    text = found.name or found.text
    if found.kind == "source" and len(text) > _LONGEST:
        text = f"…{text[1 - _LONGEST :]}"  # the end tells images apart
    yield f'<text x="{x + 10}" y="{y + 40}">{escape(_shortened(text))}</text>'
    yield "</g>"


def _edge(start: tuple[int, int], end: tuple[int, int], text: str) -> Iterator[str]:
    x1, y1 = start[0] + _WIDTH // 2, start[1] + _HEIGHT
    x2, y2 = end[0] + _WIDTH // 2, end[1]
    middle = (y1 + y2) // 2
    yield f'<path class="edge" d="M{x1} {y1}C{x1} {middle} {x2} {middle} {x2} {y2}"/>'
    if text and text != "/":
        place = f'x="{(x1 + x2) // 2 + 4}" y="{middle}"'
        yield f'<text class="label" {place}>{escape(_shortened(text))}</text>'


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
