"""Test definitions: decoding, checking, limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarkit import llb
from tarkit.errors import LimitExceededError, MalformedError, VerificationError
from tarkit.llb import graph, messages
from tarkit.llb.graph import measure, read_graph
from tarkit.llb.messages import FileAction, Input, Mount, Op, SourceOp
from tarkit.llb.vertices import digest_of

SOURCE = Op(source=SourceOp(identifier="docker-image://a")).encode()


def terminal(digest: str, index: int = 0) -> bytes:
    return Op(inputs=[Input(digest=digest, index=index)]).encode()


def definition_of(*vertices: bytes) -> llb.Definition:
    return llb.Definition(messages.Definition(vertices=vertices))


def on_source(**values: Any) -> Sequence[bytes]:
    """Return a graph of SOURCE, an operation on it, and the result."""
    op = Op(inputs=[Input(digest=digest_of(SOURCE))], **values).encode()
    return [SOURCE, op, terminal(digest_of(op))]


def test_a_definition_is_read_back_with_unknown_fields() -> None:
    state = llb.image("a").run("x").root()
    encoded = state.marshal().encode() + b"\xf8\x3f\x01"
    definition = llb.Definition.decode(encoded)
    assert definition.encode() == encoded
    assert definition.head == Input(digest=definition.digests[1])
    assert {"source.image", "exec.meta.base", "platform"} <= definition.capabilities


def test_unknown_fields_of_a_vertex_keep_its_digest() -> None:
    vertex = SOURCE + b"\xf8\x3f\x01"
    definition = definition_of(vertex, terminal(digest_of(vertex)))
    state = llb.State.from_definition(definition)
    assert state.marshal().vertices == definition.vertices
    assert list(definition.graph().ops) == [digest_of(vertex)]


def test_an_empty_definition_is_scratch() -> None:
    empty = llb.Definition.decode(b"")
    assert empty.head is None
    assert empty.graph().head is None
    assert llb.State.from_definition(empty).output is None
    assert llb.scratch().marshal() == empty


def test_loaded_vertices_keep_metadata_and_origins() -> None:
    source_map = llb.SourceMap(
        "Dockerfile", b"FROM a", "Dockerfile", llb.local("src", session_id="s")
    )
    made = llb.image("a", custom_name="n", locations=[source_map.location(llb.lines(1))])
    first = made.marshal(platform="linux/arm64")
    state = llb.State.from_definition(llb.Definition.decode(first.encode()))
    assert str(state.environment.platform) == "linux/arm64"
    again = state.marshal(platform="linux/amd64", ignore_cache=True)
    digest = first.digests[0]
    assert again.vertices == first.vertices
    assert again.metadata[digest] == first.metadata[digest]
    assert again.source == first.source


@pytest.mark.parametrize(
    ("vertices", "message"),
    [
        ([b"\xff"], "malformed Op message"),
        ([SOURCE], "last vertex is not the name of one result"),
        ([Op().encode() or b""], "last vertex is not the name of one result"),
        ([terminal("sha256:0")], "result 'sha256:0' is missing"),
        (on_source(), "vertex has no operation"),
        (on_source(unknown_fields=b"\xfa\x01\x00"), "vertex has an unknown operation"),
        ([Op(inputs=[Input(digest="x")], merge=messages.MergeOp()).encode(), terminal("x")], "input 'x' is missing"),
        (on_source(exec=messages.ExecOp(mounts=[Mount(input=1)])), "exec has no input 1"),
        (on_source(exec=messages.ExecOp(mounts=[Mount(input=-2)])), "exec has no input -2"),
        (on_source(file=messages.FileOp(actions=[FileAction(input=1)])), "file has no input 1"),
        (on_source(file=messages.FileOp(actions=[FileAction(), FileAction(secondary_input=2)])), "file has no input 2"),
        (on_source(merge=messages.MergeOp(inputs=[messages.MergeInput(input=9)])), "merge has no input 9"),
        (on_source(diff=messages.DiffOp(upper=messages.DiffInput(input=1))), "diff has no input 1"),
        (on_source(build=messages.BuildOp(builder=5)), "build has no input 5"),
        (on_source(build=messages.BuildOp(inputs={"a": messages.BuildInput(input=2)})), "build has no input 2"),
        (on_source(passthrough=messages.PassthroughOp(outputs=[1])), "passthrough has no input 1"),
    ],
)  # fmt: skip
def test_invalid_graphs_are_refused(vertices: Sequence[bytes], message: str) -> None:
    with pytest.raises(VerificationError, match=message):
        read_graph(vertices, where="graph")
    with pytest.raises(VerificationError):
        llb.State.from_definition(definition_of(*vertices))


def test_an_error_names_the_vertex() -> None:
    vertices = on_source(exec=messages.ExecOp(mounts=[Mount(input=1)]))
    name = f"stdin: vertex {digest_of(vertices[1])[:19]}: exec has no input 1"
    with pytest.raises(MalformedError) as caught:
        read_graph(vertices, where="stdin")
    assert str(caught.value) == name


def test_negative_indices_are_refused() -> None:
    op = Op(inputs=[Input(digest=digest_of(SOURCE), index=-1)], merge=messages.MergeOp()).encode()
    with pytest.raises(MalformedError, match="index -1"):
        read_graph([SOURCE, op, terminal(digest_of(op))])


def test_cycles_are_refused() -> None:
    # with real digests there is none: it would need a collision of SHA-256
    assert measure({"a": [], "b": ["a"], "c": ["a", "b"]}) == {"a": 1, "b": 2, "c": 3}
    for cycle in (
        {"a": ["a"]},
        {"a": ["b"], "b": ["c"], "c": ["a"]},
        {"x": [], "a": ["x", "b"], "b": ["a"]},
    ):
        with pytest.raises(MalformedError, match=r"vertex [abc]: vertex depends on itself"):
            measure(cycle)


@given(st.dictionaries(st.integers(0, 8), st.lists(st.integers(0, 8), max_size=3), max_size=9))
def test_depths_are_longest_paths_or_there_is_a_cycle(edges: dict[int, list[int]]) -> None:
    names = {str(n): [str(m) for m in edges[n] if m in edges] for n in edges}

    def depth(name: str, path: tuple[str, ...] = ()) -> int:
        if name in path:
            raise RecursionError
        return 1 + max((depth(each, (*path, name)) for each in names[name]), default=0)

    try:
        expected = {name: depth(name) for name in names}
    except RecursionError:
        with pytest.raises(MalformedError):
            measure(names)
        return
    assert measure(names) == expected


def test_numbers_of_vertices_and_depth_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    state = llb.scratch()
    for number in range(5):
        state = state.file(llb.mkfile(f"/{number}"))
    definition = state.marshal()
    monkeypatch.setattr(graph, "DEEPEST", 5)
    assert max(definition.graph().depths.values()) == 5
    monkeypatch.setattr(graph, "DEEPEST", 4)
    with pytest.raises(LimitExceededError, match="path of more than 4 vertices"):
        definition.graph()
    monkeypatch.setattr(graph, "MOST_VERTICES", 5)
    with pytest.raises(LimitExceededError, match="6 vertices exceed 5"):
        definition.graph()
    monkeypatch.setattr("tarkit.llb.marshal.MOST_VERTICES", 5)
    with pytest.raises(LimitExceededError, match="more than 4 operations"):
        state.marshal()


def test_large_definitions_are_refused_before_decoding() -> None:
    with pytest.raises(LimitExceededError, match="exceeds 16777216"):
        llb.Definition.decode(b"\0" * (16 * 1024 * 1024 + 1))


@given(st.lists(st.binary(max_size=40), max_size=4))
def test_random_vertices_are_checked_or_refused(vertices: list[bytes]) -> None:
    try:
        definition_of(*vertices).graph()
    except VerificationError:
        return
    assert not vertices or definition_of(*vertices).head is not None
