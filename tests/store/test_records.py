"""Records: values, indexes, holds, transactions, and the files that survive the database."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tarkit.errors import MalformedError, NotFoundError, UsageError
from tarkit.store.record import Record
from tarkit.store.store import Store
from tarkit.values import replace


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store") as opened:
        yield opened


def files(store: Store) -> list[str]:
    return sorted(path.stem for path in store.root.glob("records/*/*.json"))


def put(store: Store, *records: Record) -> None:
    with store.records.transaction() as change:
        for record in records:
            change.put(record)


def test_a_record_reads_back_as_it_was_put(store: Store) -> None:
    record = Record(
        "r1",
        {"text": "ü\n", "number": -3, "float": 1.5, "flag": True, "list": ["a", ""]},
        {"chainID": "chain:x"},
        ("p1", "p2"),
        frozenset({"layer:k"}),
    )
    put(store, record)
    assert store.records.get("r1") == record
    assert type(store.records.get("r1").values["flag"]) is bool  # type: ignore[union-attr]
    assert store.records.get("r2") is None


def test_put_replaces_indexes_parents_and_contents(store: Store) -> None:
    put(store, Record("a", {"x": 1}, {"i": "one"}, ("p",), frozenset({"c"})))
    put(store, Record("a", {"y": 2}, {"i": "two"}))
    assert store.records.get("a") == Record("a", {"y": 2}, {"i": "two"})
    assert store.records.find("one") == []
    assert store.records.children("p") == []


def test_find_returns_records_in_the_order_of_creation(store: Store) -> None:
    put(store, *(Record(name, {}, {"k": "chain:1"}) for name in "cab"))
    put(store, Record("c", {"new": 1}, {"k": "chain:1"}), Record("d", {}, {"k": "chain:2"}))
    assert [each.id for each in store.records.find("chain:1")] == ["c", "a", "b"]
    assert [each.id for each in store.records.find("chain:", prefix=True)] == ["c", "a", "b", "d"]
    assert store.records.find("chain:") == []


def test_update_sets_and_removes_single_values(store: Store) -> None:
    put(store, Record("a", {"x": 1, "y": 2}, {"i": "t", "j": "u"}))
    with store.records.transaction() as change:
        change.update("a", {"x": None, "z": 3}, {"i": None})
    assert store.records.get("a") == Record("a", {"y": 2, "z": 3}, {"j": "u"})
    with pytest.raises(NotFoundError), store.records.transaction() as change:
        change.update("b", {"x": 1})


def test_a_transaction_that_raises_changes_nothing(store: Store) -> None:
    put(store, Record("a", {"x": 1}, committed=True))

    def fail() -> None:
        with store.records.transaction() as change:
            change.update("a", {"x": 2})
            change.put(Record("b", committed=True))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert store.records.all() == [Record("a", {"x": 1}, committed=True)]
    assert files(store) == ["a"]


def test_a_transaction_that_fails_to_commit_restores_the_files(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, Record("a", {"x": 1}, committed=True))
    write = type(store.records._files).write

    def failing(self: object, record: Record, externals: dict[str, bytes]) -> None:
        write(self, record, externals)  # type: ignore[arg-type]
        if record.id == "b":
            monkeypatch.undo()
            raise OSError("disk")

    monkeypatch.setattr(type(store.records._files), "write", failing)
    with pytest.raises(OSError, match="disk"):
        put(store, Record("a", {"x": 2}, committed=True), Record("b", committed=True))
    assert files(store) == ["a"]
    [(_, record, _)] = store.records._files.read_all()
    assert record == Record("a", {"x": 1}, committed=True)


def test_nested_transactions_commit_together(store: Store) -> None:
    def fail() -> None:
        with store.records.transaction() as outer:
            with store.records.transaction() as inner:
                inner.put(Record("a", committed=True))
                assert inner is outer
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert store.records.get("a") is None
    assert files(store) == []


def test_committed_records_have_files_and_others_have_none(store: Store) -> None:
    put(store, Record("a"), Record("b", committed=True))
    assert files(store) == ["b"]
    put(store, Record("a", committed=True), Record("b"))
    assert files(store) == ["a"]
    with store.records.transaction() as change:
        change.set_external("a", "key", b"\0value")
    [(_, record, externals)] = store.records._files.read_all()
    assert (record, externals) == (Record("a", committed=True), {"key": b"\0value"})
    with store.records.transaction() as change:
        change.remove("a")
    assert files(store) == []


def test_external_values_go_with_their_record(store: Store) -> None:
    put(store, Record("a"))
    with store.records.transaction() as change:
        change.set_external("a", "k", b"1")
        change.set_external("a", "l", b"2")
        change.set_external("a", "l", None)
    put(store, Record("a", {"x": 1}))
    assert store.records.external("a", "k") == b"1"
    assert store.records.external("a", "l") is None
    with store.records.transaction() as change:
        change.remove("a")
    put(store, Record("a"))
    assert store.records.external("a", "k") is None


def test_a_deleted_record_is_only_found_for_its_removal(store: Store) -> None:
    put(store, Record("a", {}, {"i": "t"}, committed=True), Record("b", {}, {}, ("a",)))
    assert files(store) == ["a"]
    with store.records.transaction() as change:
        change.mark_deleted("b")
        change.mark_deleted("a")
    assert store.records.get("a") is None
    assert store.records.find("t") == store.records.all() == store.records.children("a") == []
    assert [each.id for each in store.records.deleted()] == ["a", "b"]
    assert files(store) == []  # so that a repair does not bring it back


def test_a_hold_lasts_until_its_release(store: Store) -> None:
    put(store, Record("a"), Record("b"))
    with store.records.transaction() as change:
        first, second = change.hold("a", "note"), change.hold("a")
        other = change.hold("b")
    assert {hold.id for hold in store.records.holds("a")} == {first.id, second.id}
    assert len(store.records.holds()) == 3
    with store.records.transaction() as change:
        change.release(first, other)
        change.release(first)
    assert [hold.id for hold in store.records.holds()] == [second.id]
    with pytest.raises(NotFoundError), store.records.transaction() as change:
        change.hold("c")


HOLDING = """
import os, sys
from tarkit.store.record import Record
from tarkit.store.store import Store
store = Store.open(sys.argv[1])
with store.records.transaction() as change:
    change.put(Record("a"))
    change.hold("a", "held")
print("held", flush=True)
sys.stdin.read()
os._exit(9)  # without any cleanup, as after kill -9
"""


def test_the_holds_of_a_killed_process_are_dead(store: Store) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(store.root)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as child:  # fmt: skip
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        assert [hold.note for hold in store.records.holds("a")] == ["held"]
        assert store.records.dead_holds() == []
    assert store.records.holds("a") == []
    dead = store.records.dead_holds()
    assert [hold.note for hold in dead] == ["held"]
    with store.records.transaction() as change:
        change.release(*dead)
    store.sweep()
    assert [path.name for path in store.root.glob("holders/*")] == [store.holder()]


def test_transactions_of_threads_exclude_each_other(store: Store) -> None:
    put(store, Record("a", {"n": 0}))

    def count() -> None:
        for _ in range(50):
            with store.records.transaction() as change:
                old = change.get("a").values["n"]
                assert isinstance(old, int)
                change.update("a", {"n": old + 1})

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.records.get("a") == Record("a", {"n": 200})


@pytest.mark.parametrize("text", ["", "/", "../a", "a/b", "-a", "a" * 201, "a\n", "ä"])
def test_ids_cannot_leave_their_directory(text: str) -> None:
    with pytest.raises(UsageError):
        Record(text)


@pytest.mark.parametrize(
    "change",
    [
        {"id": "../x"}, {"values": {"a": {}}}, {"values": [1]}, {"parents": ["/"]},
        {"contents": [1]}, {"indexes": {"a": 1}}, {"values": {"a": None}},
    ],
)  # fmt: skip
def test_a_document_that_is_no_record_is_refused(change: dict[str, object]) -> None:
    document = json.loads(Record("a").to_json())
    with pytest.raises(MalformedError):
        Record.from_json(json.dumps(document | change))
    with pytest.raises(MalformedError):
        Record.from_json("[" * 100_000)


def test_records_are_values() -> None:
    record = Record("a", {"x": 1})
    assert Record.from_json(record.to_json()) == record
    assert replace(record, deleted=True) != record
