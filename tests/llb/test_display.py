"""Test definitions for people."""

from __future__ import annotations

import json
from xml.etree import ElementTree

from tarkit import llb
from tarkit.llb.display.document import to_document
from tarkit.llb.display.dot import to_dot
from tarkit.llb.display.layout import arrange
from tarkit.llb.display.svg import to_svg

HOSTILE = '</text><script>alert("x")</script>\x1b[31m\u202e'


def example() -> llb.Definition:
    source = llb.local("context", session_id="s")
    base = llb.image("busybox").run(
        ["sh", "-c", HOSTILE], mounts=[llb.bind("/m", source, readonly=True)]
    )
    actions = llb.mkdir("/a").copy(source, "/x", "/y").symlink("t", "/l").rm("/z")
    changed = base.file(actions, custom_name=HOSTILE)
    return llb.merge([changed, llb.diff(base, changed), llb.image("b")]).marshal(
        platform="linux/amd64"
    )


def test_json_has_every_vertex_with_digest_and_metadata() -> None:
    definition = example()
    document = json.loads(json.dumps(to_document(definition)))
    assert [vertex["digest"] for vertex in document["vertices"]] == list(definition.digests[:-1])
    assert document["head"]["digest"] == definition.digests[-2]
    kinds = [
        set(vertex["op"]) & {"source", "exec", "file", "diff", "merge"}
        for vertex in document["vertices"]
    ]
    assert kinds == [{"source"}, {"source"}, {"exec"}, {"file"}, {"diff"}, {"source"}, {"merge"}]
    assert document["vertices"][3]["metadata"]["description"] == {"llb.customname": HOSTILE}
    assert document["source"]["infos"][0]["language"] == "Python"
    assert to_document(llb.scratch().marshal()) == {"head": None, "vertices": []}


def test_dot_has_nodes_and_edges_with_escaped_text() -> None:
    text = to_dot(example())
    assert text.startswith("digraph {\n")
    assert text.endswith("}\n")
    assert 'v1 -> v2 [label="/m"]' in text
    assert "v6 -> result" in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert '\\"x\\"' in text
    assert "\\\\x1b[31m\\\\u202e" in text
    assert "file mkdir /a, copy /x /y, symlink /l -> t, rm /z" in text


def test_svg_is_one_document_without_foreign_elements() -> None:
    text = to_svg(example())
    root = ElementTree.fromstring(text)
    tags = {element.tag.removeprefix("{http://www.w3.org/2000/svg}") for element in root.iter()}
    assert tags == {"svg", "style", "g", "title", "rect", "text", "path"}
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert len(list(root.iter("{http://www.w3.org/2000/svg}rect"))) == 7
    assert len(list(root.iter("{http://www.w3.org/2000/svg}path"))) == 9
    assert ">…mage://docker.io/library/b:latest<" in to_svg(llb.image("b").marshal())
    assert "href" not in text
    assert "url(" not in text
    assert ElementTree.fromstring(to_svg(llb.scratch().marshal())) is not None


def test_edges_go_down_and_boxes_do_not_overlap() -> None:
    graph = example().graph()
    layout = arrange(graph)
    assert len(set(layout.places.values())) == len(graph.ops)
    for digest, op in graph.ops.items():
        row, column = layout.places[digest]
        assert row < layout.rows
        assert column < layout.columns
        assert all(layout.places[each.digest][0] < row for each in op.inputs)
