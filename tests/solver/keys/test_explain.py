"""Explanations: what changed between two keys of the same vertex."""

from __future__ import annotations

from pathlib import Path

import pytest

from tarkit import llb
from tarkit.errors import MalformedError
from tarkit.solver.keys.explain import Difference, InputFacts, KeyFacts, differences, roles
from tarkit.solver.keys.history import History
from tarkit.solver.keys.key import Key
from tarkit.solver.keys.operations import operation_map
from tarkit.store.store import Store


def facts(state: llb.State, *, keys: str = "", content: str = "") -> KeyFacts:
    """Return the facts of the vertex that made *state*."""
    graph = state.marshal(platform="linux/amd64").graph()
    assert graph.head is not None
    op = graph.ops[graph.head.digest]
    count = len(op.inputs)
    known = [[Key(f"sha256:{keys or at}")] for at in range(count)]
    return KeyFacts.of(operation_map(op), known, [content] * count)


def told(before: KeyFacts, after: KeyFacts) -> list[str]:
    return [str(difference) for difference in differences(before, after)]


BASE = llb.image("example.com/base:1")


def test_equal_keys_have_no_differences() -> None:
    assert told(facts(BASE.run("a b").root()), facts(BASE.run("a b").root())) == []


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("make test", "make all", ['Exec.meta.args[1] changed: "test" -> "all"']),
        ("make all", "make -j all", ['Exec.meta.args[1] added: "-j"']),
        ("a b c", "a c", ['Exec.meta.args[1] removed: "b"']),
        ("a a", "a a a", ['Exec.meta.args[2] added: "a"']),
    ],
)
def test_arguments_are_compared_between_what_is_equal(
    before: str, after: str, expected: list[str]
) -> None:
    assert told(facts(BASE.run(before).root()), facts(BASE.run(after).root())) == expected


def test_fields_that_appear_are_named() -> None:
    before = facts(BASE.run("a").root())
    after = facts(BASE.run("a", network=llb.NetMode.NONE).root())
    assert differences(before, after) == [Difference("Exec.network", None, "2")]
    assert told(after, before) == ["Exec.network removed: 2"]


def test_actions_of_files_are_readable() -> None:
    before = facts(llb.scratch().file(llb.mkfile("/a", b"one", mode=0o644)))
    after = facts(llb.scratch().file(llb.mkfile("/a", b"two", mode=0o600)))
    assert told(before, after) == [
        "Actions[0].mode changed: 420 -> 384",
        'Actions[0].data changed: "3 bytes, sha256:7692c3ad3540" -> "3 bytes, sha256:3fc4ccfe7458"',
    ]


def test_long_values_are_cut() -> None:
    before, after = facts(BASE.run("a").root()), facts(BASE.run(["a", "x" * 9000]).root())
    (difference,) = differences(before, after)
    assert difference.part == "Exec.meta.args[1]"
    assert difference.after is not None
    assert len(difference.after) < 250
    assert difference.after.endswith("(9002 characters)")


def copied(path: str = "/a") -> llb.State:
    return BASE.file(llb.copy(llb.local("context"), path, "/"))


def test_an_input_has_changed_only_if_its_content_has() -> None:
    before = facts(copied(), keys="1", content="sha256:c")
    after = facts(copied(), keys="2", content="sha256:c")
    assert told(before, after) == []
    changed = facts(copied(), keys="1", content="sha256:d")
    assert told(before, changed)[-1] == "content of input 1 (/a) changed: sha256:c -> sha256:d"


def test_an_input_without_content_is_compared_by_definition() -> None:
    state = BASE.run("a").root()
    before, after = facts(state, keys="1"), facts(state, keys="2")
    assert told(before, after) == ["definition of input 0 changed: sha256:1 -> sha256:2"]
    shared = KeyFacts(after.document, (InputFacts(("sha256:1", "sha256:2")),))
    assert told(shared, after) == []


def test_read_paths_and_the_number_of_inputs_are_compared() -> None:
    found = told(facts(copied("/a")), facts(copied("/b")))
    assert 'paths read from input 1 changed: ["/a"] -> ["/b"]' in found
    found = told(facts(BASE.run("a").root()), facts(llb.scratch().file(llb.mkdir("/a"))))
    assert "input 0 removed: sha256:0" in found


def test_keys_of_a_session_are_not_recorded() -> None:
    graph = copied().marshal(platform="linux/amd64").graph()
    assert graph.head is not None
    cache_map = operation_map(graph.ops[graph.head.digest])
    found = KeyFacts.of(cache_map, [[Key("k")], [Key("random:1")]], ["", "sha256:c"])
    assert found.inputs == (InputFacts(("k",)), InputFacts((), "sha256:c", ("/a",)))


def test_facts_are_read_back() -> None:
    before = facts(copied(), content="sha256:c")
    assert KeyFacts.from_json(before.to_json()) == before


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"document": 7, "inputs": []}', '{"document": {}, "inputs": [7]}']
)
def test_damaged_facts_are_an_error(text: str) -> None:
    with pytest.raises(MalformedError, match="not the facts"):
        KeyFacts.from_json(text)


def test_roles_stay_when_digests_change() -> None:
    def named(argument: str) -> list[str]:
        base = BASE.file(llb.mkdir(f"/{argument}"))
        state = llb.merge([base.run("x").root(), base])
        graph = state.marshal(platform="linux/amd64").graph()
        return sorted(roles(graph).values())

    assert named("a") == named("b") == ["exec 0/0", "file 0/1", "merge 0", "source 0/1/0"]
    assert roles(llb.scratch().marshal().graph()) == {}


def test_the_history_of_a_build_outlives_the_process(tmp_path: Path) -> None:
    one, two = facts(BASE.run("a").root()), facts(BASE.run("b").root())
    with Store.open(tmp_path / "store") as store:
        history = History(store.records, "hello.py:build")
        assert history.get("exec 0") is None
        history.update({"exec 0": one, "exec 0/1": one})
        history.update({"exec 0": two})
    with Store.open(tmp_path / "store") as store:
        history = History(store.records, "hello.py:build")
        assert (history.get("exec 0"), history.get("exec 0/1")) == (two, one)
        assert History(store.records, "other.py:build").get("exec 0") is None
        with store.records.transaction() as change:
            (record,) = (each for each in store.records.all() if each.id.startswith("explain:"))
            change.set_external(record.id, "exec 0", b"{")
        assert history.get("exec 0") is None
