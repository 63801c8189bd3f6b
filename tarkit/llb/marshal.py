"""Turn the graph below a tree into a definition."""

from __future__ import annotations

import os
from collections.abc import Container, Iterator

from tarkit.errors import LimitExceededError, TarkitError
from tarkit.image.platform import Platform
from tarkit.llb import messages
from tarkit.llb.constraints import Constraints, merged_metadata
from tarkit.llb.definition import Definition
from tarkit.llb.graph import MOST_VERTICES
from tarkit.llb.messages import Op, OpMetadata
from tarkit.llb.origins import Origins
from tarkit.llb.platforms import normalized
from tarkit.llb.vertices import Context, Encoded, Output, Resolve, Vertex, digest_of
from tarkit.values import dataclass, replace


@dataclass(frozen=True, slots=True)
class MarshalOptions:
    """What a definition is made for, and which origins it tells."""

    constraints: Constraints
    capabilities: Container[str] | None = None
    resolve: Resolve | None = None
    record_lines: bool = True
    include_source: bool = False


def marshal(output: Output | None, options: MarshalOptions) -> Definition:
    """Return the definition of *output* and everything that it needs.

    Raises :class:`UsageError` if an operation is invalid, RefusedError if it needs a client, and
    LimitExceededError if there are more than 100,000 vertices.
    """
    if output is None:
        return Definition(messages.Definition())
    constraints = options.constraints
    if not constraints.local_unique_id:
        constraints = replace(constraints, local_unique_id=os.urandom(13).hex())
    context = Context(
        constraints,
        platform=constraints.platform or normalized(Platform.system()),
        capabilities=options.capabilities,
        resolve=options.resolve,
    )
    origins = Origins(record_lines=options.record_lines, include_source=options.include_source)
    vertices: dict[str, bytes] = {}
    metadata: dict[str, OpMetadata] = {}
    for vertex in _inputs_first(output.vertex):
        encoded = context.encoded[vertex] = _encode(vertex, context)
        known = metadata.get(encoded.digest)
        metadata[encoded.digest] = (
            merged_metadata(known, encoded.metadata) if known else encoded.metadata
        )
        origins.add(encoded)
        vertices.setdefault(encoded.digest, encoded.data)
        if len(vertices) >= MOST_VERTICES:
            text = f"more than {MOST_VERTICES - 1} operations"
            raise LimitExceededError(text, limit=MOST_VERTICES)
    terminal = Op(inputs=[context.input(output)]).encode()
    metadata[digest_of(terminal)] = OpMetadata(caps=_terminal_caps(metadata))
    return Definition(
        messages.Definition(
            vertices=[*vertices.values(), terminal],
            metadata=metadata,
            source=origins.message(lambda state: _nested(state, options)),
        )
    )


def _inputs_first(result: Vertex) -> Iterator[Vertex]:
    """Yield each vertex once, after its inputs; without recursion, because chains are long."""
    done: set[Vertex] = set()
    stack = [(result, iter(result.inputs()))]
    while stack:
        vertex, inputs = stack[-1]
        following = next((each.vertex for each in inputs if each.vertex not in done), None)
        if following is not None:
            stack.append((following, iter(following.inputs())))
            continue
        stack.pop()
        if vertex not in done:
            done.add(vertex)
            yield vertex


def _encode(vertex: Vertex, context: Context) -> Encoded:
    try:
        return vertex.encode(context)
    except TarkitError as error:
        caller = getattr(vertex, "caller", None)
        if caller is not None and error.where is None:
            error.where = f"{caller.filename}:{caller.line}"
        raise


def _terminal_caps(metadata: dict[str, OpMetadata]) -> dict[str, bool]:
    caps = {"constraints": True, "platform": True}
    for facts in metadata.values():
        if facts.ignore_cache:
            caps["meta.ignorecache"] = True
        if facts.description:
            caps["meta.description"] = True
        if facts.export_cache is not None:
            caps["meta.exportcache"] = True
    return caps


def _nested(state: object, options: MarshalOptions) -> messages.Definition:
    """Return the definition of the state that contains a source file."""
    if isinstance(state, Definition):
        return state.message
    return marshal(state.output, options).message  # type: ignore[attr-defined]
