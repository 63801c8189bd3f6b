"""Blobs: ingest that continues, verified reads, labels, leases, garbage collection, quarantine."""

from __future__ import annotations

import io
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from tarkit.errors import (
    BlobNotFoundError,
    DigestMismatchError,
    RefusedError,
    SizeMismatchError,
    TransportError,
    VerificationError,
)
from tarkit.image.digest import Digest
from tarkit.store import gc
from tarkit.store.record import Record
from tarkit.store.store import Store
from tarkit.store.verification import verify_store

DATA = os.urandom(5000)
DIGEST = Digest.of(DATA)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store") as opened:
        yield opened


def read(store: Store, digest: Digest) -> bytes:
    with store.content.reader(digest) as reader:
        return reader.read()


def leftovers(store: Store) -> list[str]:
    return [path.name for path in (store.root / "ingest").glob("*")]


class Server:
    """Serves DATA from any offset, and breaks off after a number of bytes."""

    def __init__(self, most: float = math.inf, data: bytes = DATA) -> None:
        self.most = most
        self.data = data
        self.offsets: list[int] = []

    def __call__(self, offset: int) -> BinaryIO:
        self.offsets.append(offset)
        return _Breaking(self.data[offset:], self.most)


class _Breaking(io.BytesIO):
    def __init__(self, data: bytes, most: float) -> None:
        super().__init__(data)
        self.left = most

    def read(self, size: int | None = -1, /) -> bytes:
        if self.left <= 0:
            raise TransportError("connection lost")
        data = super().read(int(min(size or -1, self.left, 700)))
        self.left -= len(data)
        return data


def test_a_blob_reads_back_verified(store: Store) -> None:
    assert store.content.size(DIGEST) is None
    assert store.content.add(DATA) == DIGEST
    assert store.content.size(DIGEST) == len(DATA)
    assert read(store, DIGEST) == DATA
    assert list(store.content.walk()) == [DIGEST]
    assert leftovers(store) == []


def test_a_broken_download_continues_at_its_byte(tmp_path: Path) -> None:
    server = Server(most=2100)
    with Store.open(tmp_path) as store:
        with pytest.raises(TransportError):
            store.content.fetch(DIGEST, len(DATA), server)
        assert store.content.size(DIGEST) is None
    with Store.open(tmp_path) as store:
        with pytest.raises(TransportError):
            store.content.fetch(DIGEST, len(DATA), server)
        store.content.fetch(DIGEST, len(DATA), server)
        assert read(store, DIGEST) == DATA
        store.content.fetch(DIGEST, len(DATA), server)
        assert leftovers(store) == []
    assert server.offsets == [0, 2100, 4200]


def test_a_download_without_ranges_starts_over(store: Store) -> None:
    with pytest.raises(TransportError):
        store.content.fetch(DIGEST, len(DATA), Server(most=2100))
    with store.content.ingest(DIGEST, len(DATA)) as ingest:
        assert ingest.offset == 2100
        ingest.restart()
        ingest.write(io.BytesIO(DATA))
        ingest.commit()
    assert read(store, DIGEST) == DATA


def test_wrong_content_is_never_visible_and_never_continued(store: Store) -> None:
    wrong = bytes(len(DATA))
    with pytest.raises(DigestMismatchError):
        store.content.fetch(DIGEST, len(DATA), Server(data=wrong))
    assert store.content.size(DIGEST) is None
    assert leftovers(store) == []
    with pytest.raises(SizeMismatchError):
        store.content.fetch(DIGEST, len(DATA), Server(data=DATA + b"x"))
    assert leftovers(store) == []
    with pytest.raises(SizeMismatchError):
        store.content.fetch(DIGEST, len(DATA), Server(data=DATA[:4000]))
    store.content.fetch(DIGEST, len(DATA), Server())
    assert read(store, DIGEST) == DATA


def test_damaged_remains_of_a_download_are_noticed(store: Store) -> None:
    with pytest.raises(TransportError):
        store.content.fetch(DIGEST, len(DATA), Server(most=2100))
    [path] = (store.root / "ingest").iterdir()
    path.write_bytes(b"x" + path.read_bytes()[1:])
    with pytest.raises(DigestMismatchError):
        store.content.fetch(DIGEST, len(DATA), Server())
    store.content.fetch(DIGEST, len(DATA), Server())
    assert read(store, DIGEST) == DATA


def test_remains_longer_than_the_blob_are_dropped(store: Store) -> None:
    (store.root / "ingest").mkdir()
    (store.root / "ingest" / f"sha256-{DIGEST.hex}").write_bytes(DATA + b"more")
    store.content.fetch(DIGEST, len(DATA), Server())
    assert read(store, DIGEST) == DATA


def test_threads_that_want_one_blob_download_it_once(store: Store) -> None:
    server = Server()
    threads = [
        threading.Thread(target=store.content.fetch, args=(DIGEST, len(DATA), server))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.offsets == [0]
    assert leftovers(store) == []


def test_a_corrupt_blob_is_quarantined_and_fetched_again(store: Store) -> None:
    store.content.add(DATA)
    path = store.content.path(DIGEST)
    assert store.content.quarantine(DIGEST) is None
    path.write_bytes(DATA[:100] + b"!" + DATA[101:])
    with pytest.raises(VerificationError):
        read(store, DIGEST)
    moved = store.content.quarantine(DIGEST)
    assert moved is not None
    assert moved.is_file()
    with pytest.raises(BlobNotFoundError):
        read(store, DIGEST)
    store.content.fetch(DIGEST, len(DATA), Server())
    assert read(store, DIGEST) == DATA


def test_the_row_of_a_blob_goes_after_its_file(store: Store) -> None:
    store.content.add(DATA)
    store.content.set_label(DIGEST, "a", "1")
    store.content.path(DIGEST).unlink()  # as a process that was killed while removing it
    assert [problem.message for problem in verify_store(store)] == ["its file is missing"]
    gc.collect(store)
    assert list(verify_store(store)) == []
    assert store.content.labels(DIGEST) == {}


def test_the_last_use_is_that_of_the_file(store: Store) -> None:
    store.content.add(DATA)
    os.utime(store.content.path(DIGEST), (1000, 1000))
    assert [blob.used for blob in store.content.blobs()] == [1000]
    store.content.hold(DIGEST)
    [blob] = store.content.blobs()
    assert blob.used > 1000


def test_labels_belong_to_blobs(store: Store) -> None:
    with pytest.raises(BlobNotFoundError):
        store.content.set_label(DIGEST, "a", "1")
    store.content.add(DATA)
    store.content.set_label(DIGEST, "a", "1")
    store.content.set_label(DIGEST, "a", "2")
    store.content.set_label(DIGEST, "b", "3")
    store.content.set_label(DIGEST, "b", None)
    assert store.content.labels(DIGEST) == {"a": "2"}
    store.content.remove(DIGEST)
    store.content.add(DATA)
    assert store.content.labels(DIGEST) == {}


def test_gc_keeps_what_a_root_needs(store: Store) -> None:
    digests = {name: store.content.add(name.encode()) for name in ("record", "lease", "root", "x")}
    lease = store.leases.create("mine", seconds=math.inf)
    store.leases.add(lease, str(digests["lease"]))
    with store.records.transaction() as change:
        change.put(Record("r", contents=frozenset({str(digests["record"])})))
    assert gc.collect(store).blobs == ()  # this process has just added them all
    store.close()
    with Store.open(store.root) as again:
        planned = gc.plan(again, roots=[str(digests["root"])])
        assert gc.collect(again, roots=[str(digests["root"])]) == planned
        assert [blob.digest for blob in planned.blobs] == [digests["x"]]
        with again.records.transaction() as change:
            change.mark_deleted("r")
        again.leases.drop("mine", str(digests["lease"]))
        gone = gc.collect(again)
        assert {blob.digest for blob in gone.blobs} == {*digests.values()} - {digests["x"]}
        assert gone.bytes == sum(map(len, ("record", "lease", "root")))
        assert list(again.content.walk()) == []


def test_a_held_blob_stays_until_the_store_is_closed(tmp_path: Path) -> None:
    with Store.open(tmp_path) as first:
        first.content.add(DATA)
        with Store.open(tmp_path) as second:
            first.close()
            assert second.content.hold(DIGEST) == len(DATA)
            with Store.open(tmp_path) as third:
                assert gc.collect(third).blobs == ()
    with Store.open(tmp_path) as store:
        assert len(gc.collect(store).blobs) == 1
        assert store.content.hold(DIGEST) is None


ADDING = """
import os, sys
from tarkit.store.store import Store
store = Store.open(sys.argv[1])
store.content.add(b"content of a killed process")
os._exit(9)
"""


def test_what_a_killed_process_added_is_garbage(store: Store) -> None:
    subprocess.run([sys.executable, "-c", ADDING, str(store.root)], check=False)
    assert len(list(store.content.walk())) == 1
    assert len(gc.collect(store).blobs) == 1
    assert store.leases.all() == []
    assert [path.name for path in (store.root / "holders").iterdir()] == [store.holder()]


def test_a_lease_ends_after_its_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.leases.create("short", seconds=100)
    now, boot = time.time(), time.clock_gettime(time.CLOCK_BOOTTIME)
    assert [lease.id for lease in store.leases.all()] == ["short"]
    # the wall clock jumps by years, in either direction: the lease still lasts 100 seconds
    for jump in (1e8, -1e8):
        monkeypatch.setattr(time, "time", lambda jump=jump: now + jump)
        assert [lease.id for lease in store.leases.all()] == ["short"]
    monkeypatch.setattr(time, "clock_gettime", lambda _: boot + 101)
    assert store.leases.all() == []
    monkeypatch.setattr("tarkit.store.leases._now_in_boot", lambda: ("another boot", 5.0))
    monkeypatch.setattr(time, "time", lambda: now + 99)
    assert [lease.id for lease in store.leases.all()] == ["short"]
    monkeypatch.setattr(time, "time", lambda: now + 101)
    assert store.leases.all() == []
    store.leases.sweep()
    assert store.database.rows("SELECT * FROM leases") == []


def test_a_lease_is_a_context_manager(store: Store) -> None:
    with store.leases.held() as lease:
        store.leases.add(lease, "layer:x")
        assert [each.items for each in store.leases.all()] == [frozenset({"layer:x"})]
    assert store.leases.all() == []


def test_a_read_only_store_reads_and_refuses_to_write(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.content.add(DATA)
    with store.records.transaction() as change:
        change.put(Record("a"))
    monkeypatch.setattr(os, "access", lambda *_: False)
    with Store.open(store.root) as reading:
        assert read(reading, DIGEST) == DATA
        assert reading.records.get("a") == Record("a")
        for write in (lambda: reading.content.add(b"x"), lambda: gc.collect(reading)):
            with pytest.raises(RefusedError, match="read-only"):
                write()
        with pytest.raises(RefusedError, match="read-only"), reading.records.transaction():
            pass
