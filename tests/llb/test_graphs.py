"""Test random graphs of all operations: they survive every way through a definition."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tarkit import llb
from tarkit.llb.display.document import to_document
from tarkit.llb.display.dot import to_dot
from tarkit.llb.display.svg import to_svg
from tarkit.llb.messages import Op

NAMES = st.text(min_size=1, max_size=6)
SOURCES = st.one_of(
    st.builds(llb.scratch),
    st.builds(lambda tag: llb.image(f"app:{tag}"), st.sampled_from("abc")),
    st.builds(lambda name: llb.local(name, session_id="s"), NAMES),
    st.builds(lambda name: llb.http(f"https://example.com/{name}"), NAMES),
)


def grown(states: st.SearchStrategy[llb.State]) -> st.SearchStrategy[llb.State]:
    """Return states with one more operation on *states*."""
    return st.one_of(
        st.builds(lambda s, word: s.run([word]), states, NAMES),
        st.builds(
            lambda s, t: s.run(["x"], mounts=[llb.bind("/m", t)]).mount("/m"), states, states
        ),
        st.builds(lambda s, name, data: s.file(llb.mkfile(name, data)), states, NAMES, st.binary()),
        st.builds(lambda s, t: s.file(llb.copy(t, "/a", "b/")), states, states),
        st.builds(lambda *given: llb.merge(given), states, states, states),
        st.builds(llb.diff, states, states),
        st.builds(lambda s, t: s.file(llb.mkdir("/d")).dir("w").requires("id", t), states, states),
    )


STATES = st.recursive(SOURCES, grown, max_leaves=8)


@given(STATES)
def test_a_graph_survives_every_way_through_a_definition(state: llb.State) -> None:
    definition = state.marshal(platform="linux/arm64")
    again = llb.Definition.decode(definition.encode())
    assert again == definition
    loaded = llb.State.from_definition(again).marshal(platform="linux/amd64")
    assert loaded.vertices == definition.vertices
    assert loaded.metadata == definition.metadata
    for vertex in definition.vertices:
        assert Op.decode(vertex).encode() == vertex


@given(STATES)
def test_inputs_come_first_and_every_graph_is_valid_and_displayed(state: llb.State) -> None:
    definition = state.marshal()
    graph = definition.graph()
    seen: set[str] = set()
    for digest, op in graph.ops.items():
        assert {each.digest for each in op.inputs} <= seen
        seen.add(digest)
    for text in (str(to_document(definition)), to_dot(definition), to_svg(definition)):
        assert text


@given(STATES)
def test_marshalling_twice_gives_the_same_bytes(state: llb.State) -> None:
    assert state.marshal().encode() == state.marshal().encode()
