"""Stores of keys: equal keys become one, and results keep what leads to them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tarkit.errors import MalformedError
from tarkit.solver.keys.kept import KeptStore
from tarkit.solver.keys.memory import MemoryStore
from tarkit.solver.keys.stores import (
    KeyStore,
    Link,
    Result,
    StoredKey,
    drop_result,
    matching,
    unite,
)
from tarkit.store.record import Record
from tarkit.store.store import Store
from tests.solver.keys.stored import KINDS, add_result, opened, stored


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[KeyStore]:
    with opened(request.param, tmp_path) as store:
        yield store


def test_a_key_without_inputs_is_its_record(store: KeyStore) -> None:
    assert matching(store, "a", []) == frozenset()
    assert unite(store, "a", []) == unite(store, "a", []) == "a"
    assert store.get("a") == StoredKey("a", "a")
    assert matching(store, "a", []) == {"a"}


def test_keys_are_equal_if_each_input_shares_an_alternative(store: KeyStore) -> None:
    for root in "abcd":
        unite(store, root, [])
    first = unite(store, "k", [[Link("", "a"), Link("s", "b")], [Link("", "c")]])
    equal = unite(store, "k", [[Link("s", "b"), Link("", "d")], [Link("", "c")]])
    assert equal == first
    assert stored(store, first).inputs == (
        frozenset({Link("", "a"), Link("s", "b"), Link("", "d")}),
        frozenset({Link("", "c")}),
    )
    assert matching(store, "k", [[Link("", "d")], [Link("", "c")]]) == {first}


@pytest.mark.parametrize(
    ("record", "inputs"),
    [
        ("other", [[Link("s", "a")], [Link("", "b")]]),
        ("k", [[Link("", "a")], [Link("", "b")]]),
        ("k", [[Link("t", "a")], [Link("", "b")]]),
        ("k", [[Link("", "b")], [Link("s", "a")]]),
        ("k", [[Link("s", "a")], []]),
        ("k", [[Link("s", "a")], [Link("", "c")]]),
        ("k", [[Link("s", "a")]]),
    ],
    ids=[
        "record",
        "no selector",
        "another selector",
        "positions",
        "no alternative",
        "second input",
        "count",
    ],
)
def test_other_keys_do_not_match(store: KeyStore, record: str, inputs: list[list[Link]]) -> None:
    known = unite(store, "k", [[Link("s", "a")], [Link("", "b")]])
    assert matching(store, "k", [[Link("s", "a")], [Link("", "b")]]) == {known}
    assert matching(store, record, inputs) == frozenset()


def test_inputs_split_over_two_keys_do_not_match(store: KeyStore) -> None:
    unite(store, "k", [[Link("", "a")], [Link("", "b")]])
    unite(store, "k", [[Link("", "c")], [Link("", "d")]])
    assert matching(store, "k", [[Link("", "a")], [Link("", "d")]]) == frozenset()


def test_a_result_is_attached_once_with_its_latest_time(store: KeyStore) -> None:
    key = unite(store, "k", [])
    for created in (1, 5, 5):
        add_result(store, key, Result("r", created))
    add_result(store, key, Result("q", 3))
    assert stored(store, key).results == {Result("r", 5), Result("q", 3)}
    assert set(store.having("r")) == {key}
    assert not set(store.having("missing"))


def chain(store: KeyStore, length: int) -> list[str]:
    """Store keys on top of each other, lowest first."""
    keys = [unite(store, "root", [])]
    for number in range(length):
        keys.append(unite(store, f"k{number}", [[Link("", keys[-1])]]))
    return keys


def test_a_dropped_result_takes_along_what_only_led_to_it(store: KeyStore) -> None:
    keys = chain(store, 4)
    side = unite(store, "side", [[Link("", keys[1])]])
    add_result(store, keys[-1], Result("top", 1))
    add_result(store, side, Result("side", 1))
    drop_result(store, "top")
    assert [store.get(key) is not None for key in keys] == [True, True, False, False, False]
    drop_result(store, "side")
    assert not any(store.get(key) for key in [*keys, side])


def test_a_dropped_result_spares_keys_with_results_and_consumers(store: KeyStore) -> None:
    keys = chain(store, 2)
    for key in keys:
        add_result(store, key, Result("shared", 1))
    add_result(store, keys[1], Result("own", 1))
    drop_result(store, "shared")
    assert store.get(keys[2]) is None
    assert stored(store, keys[1]).results == {Result("own", 1)}
    assert stored(store, keys[0]).results == frozenset()
    drop_result(store, "shared")


def test_a_key_that_is_its_own_input_can_be_dropped(store: KeyStore) -> None:
    key = unite(store, "k", [[Link("", unite(store, "content", []))]])
    assert unite(store, "k", [[Link("", "content"), Link("", key)]]) == key
    add_result(store, key, Result("r", 1))
    drop_result(store, "r")
    assert store.get(key) is None
    assert store.get("content") is None


def test_kept_keys_are_found_by_the_next_process(tmp_path: Path) -> None:
    with opened("kept", tmp_path) as store:
        keys = chain(store, 2)
        add_result(store, keys[-1], Result("ref", 17))
        expected = stored(store, keys[-1])
    with opened("kept", tmp_path) as store:
        assert store.get(keys[-1]) == expected
        assert matching(store, "k1", [[Link("", keys[1])]]) == {keys[-1]}
        assert set(store.having("ref")) == {keys[-1]}


def test_changes_of_a_transaction_are_undone_together(tmp_path: Path) -> None:
    with opened("kept", tmp_path) as store:
        with suppress(KeyboardInterrupt), store.transaction():
            unite(store, "a", [])
            assert store.get("a") is not None
            raise KeyboardInterrupt
        assert store.get("a") is None


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"record": "r", "links": ["x"], "results": []},
        {"record": "r", "links": ["one  two"], "results": []},
        {"record": "r", "links": [], "results": ["late ref"]},
    ],
)
def test_a_damaged_key_is_an_error(tmp_path: Path, values: dict[str, str | list[str]]) -> None:
    with Store.open(tmp_path / "store") as store:
        with store.records.transaction() as change:
            change.put(Record("key:k", dict(values)))
        with pytest.raises(MalformedError, match="key:k: not a cache key"):
            KeptStore(store.records).get("k")


KEYS = st.lists(
    st.tuples(
        st.sampled_from("rst"),
        st.lists(
            st.sets(
                st.tuples(st.sampled_from(["", "s"]), st.integers(0, 9)), min_size=1, max_size=3
            ),
            max_size=2,
        ),
        st.sampled_from([None, "p", "q"]),
    ),
    min_size=1,
    max_size=10,
)
"""Records, alternatives as numbers of earlier keys, and results."""


def store_all(
    store: KeyStore, keys: list[tuple[str, list[set[tuple[str, int]]], str | None]]
) -> list[str]:
    ids: list[str] = []
    for record, inputs, result in keys:
        links = [{Link(s, ids[at % len(ids)]) for s, at in each} for each in inputs] if ids else []
        ids.append(unite(store, record, links))
        if result is not None:
            unite(store, record, links, Result(result, len(ids)))
    return ids


@settings(max_examples=150, deadline=None)
@given(KEYS)
def test_a_stored_key_equals_itself_and_is_stored_once(
    keys: list[tuple[str, list[set[tuple[str, int]]], str | None]],
) -> None:
    store = MemoryStore()
    ids = store_all(store, keys)
    count = len(store)
    for key in [stored(store, each) for each in ids]:
        assert key.id in matching(store, key.record, key.inputs)
        assert unite(store, key.record, key.inputs) in ids
    assert len(store) == count


@settings(max_examples=25, deadline=None)
@given(KEYS, st.sampled_from("pq"))
def test_both_stores_agree(
    keys: list[tuple[str, list[set[tuple[str, int]]], str | None]], dropped: str
) -> None:
    memory = MemoryStore()
    ids = store_all(memory, keys)
    with tempfile.TemporaryDirectory() as directory, opened("kept", Path(directory)) as kept:
        with kept.transaction():
            assert store_all(kept, keys) == ids
        for store in (memory, kept):
            drop_result(store, dropped)
            assert not set(store.having(dropped))
        for key_id in ids:
            assert kept.get(key_id) == memory.get(key_id)
            assert set(kept.consumers(key_id)) == set(memory.consumers(key_id))
