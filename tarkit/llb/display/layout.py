"""Place the vertices of a graph in rows, so that edges go down."""

from __future__ import annotations

from collections.abc import Mapping

from tarkit.llb.graph import Graph
from tarkit.values import dataclass


@dataclass(frozen=True, slots=True)
class Grid:
    """The row and the column of each vertex, and the size of the grid."""

    places: Mapping[str, tuple[int, int]]
    rows: int
    columns: int


def arrange(graph: Graph) -> Grid:
    """Return the places of the vertices of *graph*.

    A vertex is in the row below its deepest input, and within a row in the order of its inputs'
    columns, which avoids most crossings.
    """
    rows: list[list[str]] = []
    for digest in sorted(graph.ops, key=graph.depths.__getitem__):
        row = graph.depths[digest] - 1
        if row == len(rows):
            rows.append([])
        rows[row].append(digest)
    places: dict[str, tuple[int, int]] = {}
    for number, row_of in enumerate(rows):
        inputs = {
            digest: [places[each.digest][1] for each in graph.ops[digest].inputs]
            for digest in row_of
        }
        row_of.sort(key=lambda digest: _mean(inputs[digest]))
        places |= {digest: (number, column) for column, digest in enumerate(row_of)}
    return Grid(places, len(rows), max(map(len, rows), default=0))


def _mean(columns: list[int]) -> float:
    return sum(columns) / len(columns) if columns else 0.0
