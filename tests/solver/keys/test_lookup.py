"""Keys of a build: looked up in the local store and in imported caches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tarkit.solver.keys.digests import content_record, record_digest
from tarkit.solver.keys.key import Alternative, Key
from tarkit.solver.keys.lookup import Keys
from tarkit.solver.keys.memory import MemoryStore
from tarkit.solver.keys.stores import KeyStore, Result
from tests.solver.keys.stored import KINDS, opened, tree


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[KeyStore]:
    with opened(request.param, tmp_path) as store:
        yield store


def names(keys: Keys, key: Key) -> list[str]:
    """Return the results of a key, newest first."""
    return [found.result.id for found in keys.results(key)]


def chain(keys: Keys, *records: str) -> list[Key]:
    """Return keys on top of each other, the lowest first."""
    made: list[Key] = []
    for record in records:
        made.append(keys.key(record, [[Alternative(key)] for key in made[-1:]]))
    return made


def test_a_saved_result_is_found_by_the_next_build(store: KeyStore) -> None:
    keys = Keys(store)
    top = chain(keys, "a", "b", "c")[-1]
    assert not top.is_known
    assert keys.save(top, Result("ref", 1))
    assert top.is_known

    again = Keys(store)
    found = chain(again, "a", "b", "c")
    assert names(again, found[-1]) == ["ref"]
    assert [key.is_known for key in found] == [True, True, True]
    assert [names(again, key) for key in found[:2]] == [[], []]
    assert not chain(again, "a", "c")[-1].is_known


def test_the_newest_result_comes_first(store: KeyStore) -> None:
    keys = Keys(store)
    (key,) = chain(keys, "a")
    for created, name in ((2, "second"), (9, "third"), (1, "first")):
        keys.save(key, Result(name, created))
    assert names(keys, key) == ["third", "second", "first"]
    keys.drop(keys.results(key)[0])
    assert names(keys, key) == ["second", "first"]


def test_a_content_key_finds_what_another_definition_made(store: KeyStore) -> None:
    keys = Keys(store)
    old, new = chain(keys, "old")[0], chain(keys, "new")[0]
    content = keys.content_key("sha256:1")
    assert content.record == content_record("sha256:1")
    keys.save(keys.key("copy", [[Alternative(old, "s"), Alternative(content)]]), Result("ref", 1))

    by_definition = keys.key("copy", [[Alternative(new, "s")]])
    assert not by_definition.is_known
    content = keys.content_key("sha256:1")
    by_content = keys.key("copy", [[Alternative(new, "s"), Alternative(content)]])
    assert names(keys, by_content) == ["ref"]
    assert not keys.key("copy", [[Alternative(content, "s")]]).is_known

    keys.save(by_content)  # links the other definition to the same key
    assert names(keys, keys.key("copy", [[Alternative(new, "s")]])) == ["ref"]
    assert names(keys, keys.key("copy", [[Alternative(old, "s")]])) == ["ref"]


def test_keys_of_a_session_are_never_stored(store: KeyStore) -> None:
    keys = Keys(store)
    local = keys.key(record_digest("random:1", 0))
    assert local.is_random
    assert not keys.save(local, Result("ref", 1))
    only = keys.key("run", [[Alternative(local)]])
    assert not keys.save(only, Result("ref", 1))
    assert not only.is_known
    assert store.get("run") is None
    both = keys.key("copy", [[Alternative(local, "s"), Alternative(keys.content_key("c"))]])
    assert keys.save(both, Result("ref", 1))
    (stored,) = both.ids[store]
    assert tree(store, stored) == (
        "copy",
        [[("", str((content_record("c"), [], [])))]],
        [("ref", 1)],
    )


def test_an_input_without_alternatives_never_matches(store: KeyStore) -> None:
    keys = Keys(store)
    (root,) = chain(keys, "a")
    keys.save(keys.key("k", [[Alternative(root)], [Alternative(root)]]), Result("ref", 1))
    assert not keys.key("k", [[Alternative(root)], []]).is_known


def test_imports_are_read_but_not_changed(store: KeyStore) -> None:
    imported = MemoryStore()
    elsewhere = Keys(imported)
    elsewhere.save(chain(elsewhere, "a", "b")[-1], Result("remote", 1))
    count = len(imported)

    keys = Keys(store, imported)
    top = chain(keys, "a", "b")[-1]
    assert names(keys, top) == ["remote"]
    assert keys.save(top, Result("local", 2))
    assert names(keys, top) == ["local", "remote"]
    assert len(imported) == count
    alone = Keys(store)
    assert names(alone, chain(alone, "a", "b")[-1]) == ["local"]


def test_a_match_has_all_its_inputs_in_one_store(store: KeyStore) -> None:
    imported = MemoryStore()
    local, remote = Keys(store), Keys(imported)
    for keys, known, other in ((local, "a", "x"), (remote, "y", "b")):
        inputs = [[Alternative(chain(keys, name)[0])] for name in (known, other)]
        keys.save(keys.key("merge", inputs), Result("ref", 1))
    both = Keys(store, imported)
    inputs = [[Alternative(chain(both, name)[0])] for name in ("a", "b")]
    assert all(each.key.is_known for links in inputs for each in links)
    assert not both.key("merge", inputs).is_known


def test_a_long_chain_is_saved_without_recursion() -> None:
    keys = Keys(MemoryStore())
    top = chain(keys, *(f"k{number}" for number in range(5000)))[-1]
    keys.save(top, Result("ref", 1))
    again = chain(keys, *(f"k{number}" for number in range(5000)))[-1]
    assert names(keys, again) == ["ref"]


def test_saving_a_key_does_not_visit_stored_keys_again() -> None:
    class Counting(MemoryStore):
        puts = gets = 0

        def put(self, key):  # type: ignore[no-untyped-def]
            self.puts += 1
            super().put(key)

        def get(self, key_id):  # type: ignore[no-untyped-def]
            self.gets += 1
            return super().get(key_id)

    store = Counting()
    keys = Keys(store)
    made = chain(keys, *(f"k{number}" for number in range(100)))
    for key in made[:-1]:
        keys.save(key)
    store.puts = store.gets = 0
    keys.save(made[-1], Result("ref", 1))
    assert store.puts == 1
    assert store.gets <= 5


def test_keys_that_were_removed_meanwhile_are_stored_again(store: KeyStore) -> None:
    keys = Keys(store)
    below, top = chain(keys, "a", "b")
    keys.save(below, Result("ref", 1))
    keys.drop(keys.results(below)[0])
    assert keys.results(below) == []
    keys.save(top, Result("top", 1))
    again = Keys(store)
    assert names(again, chain(again, "a", "b")[-1]) == ["top"]


def test_two_processes_that_save_the_same_key_share_it(tmp_path: Path) -> None:
    with opened("kept", tmp_path) as one, opened("kept", tmp_path) as two:
        both = [Keys(store) for store in (one, two)]
        tops = [chain(keys, "a", "b")[-1] for keys in both]  # neither knows of the other
        for number, (keys, top) in enumerate(zip(both, tops, strict=True)):
            assert keys.save(top, Result(f"ref {number}", number))
        assert tops[0].ids[one] == tops[1].ids[two]
        again = Keys(one)
        assert names(again, chain(again, "a", "b")[-1]) == ["ref 1", "ref 0"]
