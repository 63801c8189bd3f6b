"""The graph of a definition, checked: every input exists, and there is no cycle."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from tarkit.errors import LimitExceededError, MalformedError
from tarkit.llb.messages import BuildOp, DiffOp, ExecOp, FileOp, Input, MergeOp, Op, PassthroughOp
from tarkit.llb.vertices import digest_of
from tarkit.values import dataclass

MOST_VERTICES = 100_000
DEEPEST = 10_000
"""Vertices on the longest path from the result to a source."""


@dataclass(frozen=True, slots=True)
class Graph:
    """Operations by digest, inputs first; ``head`` is the result, None for an empty definition."""

    ops: Mapping[str, Op]
    data: Mapping[str, bytes]
    head: Input | None
    depths: Mapping[str, int]


def read_graph(vertices: Iterable[bytes], *, where: str | None = None) -> Graph:
    """Decode and check encoded *vertices*, the last of which names the result.

    Raises :class:`MalformedError`, which names the vertex, if one is malformed, an input or index
    does not exist, or vertices depend on each other; LimitExceededError if there are more than
    100,000 vertices or 10,000 on one path.
    """
    encoded = list(vertices)
    if len(encoded) > MOST_VERTICES:
        text = f"{len(encoded)} vertices exceed {MOST_VERTICES}"
        raise LimitExceededError(text, limit=MOST_VERTICES, where=where)
    data = {digest_of(vertex): vertex for vertex in encoded}
    ops = {digest: Op.decode(vertex, where=_name(digest, where)) for digest, vertex in data.items()}
    if not ops:
        return Graph({}, {}, None, {})
    last = digest_of(encoded[-1])
    head = _head(ops.pop(last), _name(last, where))
    del data[last]
    for digest, op in ops.items():
        _check(op, ops, _name(digest, where))
    if head.digest not in ops:
        raise MalformedError(f"result {head.digest[:80]!r} is missing", where=where)
    depths = measure({digest: [i.digest for i in op.inputs] for digest, op in ops.items()}, where)
    return Graph(ops, data, head, depths)


def measure(inputs: Mapping[str, list[str]], where: str | None = None) -> dict[str, int]:
    """Return the length of the longest path from each vertex to a source, given its *inputs*.

    Raises MalformedError if vertices depend on each other, and LimitExceededError for long paths.
    """
    depths: dict[str, int] = {}
    entered: set[str] = set()
    for first in inputs:
        stack = [first]
        while stack:
            digest = stack[-1]
            waiting = [] if digest in depths else [i for i in inputs[digest] if i not in depths]
            if not waiting:
                stack.pop()
                depth = 1 + max((depths[each] for each in inputs[digest]), default=0)
                if depth > DEEPEST:
                    text = f"path of more than {DEEPEST} vertices"
                    raise LimitExceededError(text, limit=DEEPEST, where=_name(digest, where))
                depths[digest] = depth
                continue
            entered.add(digest)
            if not entered.isdisjoint(waiting):
                raise MalformedError("vertex depends on itself", where=_name(digest, where))
            stack.extend(waiting)
    return depths


def _name(digest: str, where: str | None) -> str:
    name = f"vertex {digest[:19]}"
    return f"{where}: {name}" if where else name


def _head(terminal: Op, where: str) -> Input:
    if terminal.which("op") is not None or len(terminal.inputs) != 1:
        raise MalformedError("last vertex is not the name of one result", where=where)
    return terminal.inputs[0]


def _check(op: Op, known: Mapping[str, Op], where: str) -> None:
    """Check that *op* is an operation, and that its inputs and indices exist."""
    for each in op.inputs:
        if each.digest not in known:
            raise MalformedError(f"input {each.digest[:80]!r} is missing", where=where)
        if each.index < 0:
            raise MalformedError(f"input has the index {each.index}", where=where)
    name = op.which("op")
    if name is None:
        kind = "has no operation" if not op.unknown_fields else "has an unknown operation"
        raise MalformedError(f"vertex {kind}", where=where)
    for index, count in _indices(getattr(op, name), len(op.inputs)):
        if not -1 <= index < count:
            raise MalformedError(f"{name} has no input {index}", where=where)


def _indices(operation: object, count: int) -> Iterator[tuple[int, int]]:
    """Yield each index that *operation* uses for an input, and the number of inputs then."""
    if isinstance(operation, ExecOp):
        yield from ((mount.input, count) for mount in operation.mounts)
    elif isinstance(operation, FileOp):
        for number, action in enumerate(operation.actions):
            yield action.input, count + number
            yield action.secondary_input, count + number
    elif isinstance(operation, MergeOp):
        yield from ((each.input, count) for each in operation.inputs)
    elif isinstance(operation, BuildOp):
        yield operation.builder, count
        yield from ((each.input, count) for each in operation.inputs.values())
    elif isinstance(operation, DiffOp):
        sides = (operation.lower, operation.upper)
        yield from ((side.input, count) for side in sides if side is not None)
    elif isinstance(operation, PassthroughOp):
        yield from ((output, count) for output in operation.outputs)
