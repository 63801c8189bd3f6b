"""Faults: killed processes, full disks, damaged databases, many processes, jumping clocks."""

from __future__ import annotations

import errno
import io
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tarkit.errors import (
    MalformedError,
    NoSpaceError,
    PathNotFoundError,
    TarkitError,
    UnsupportedError,
)
from tarkit.rootfs.filesystem import FileSystem
from tarkit.store import gc
from tarkit.store.database import Database
from tarkit.store.migration import migrate_store
from tarkit.store.record import Record
from tarkit.store.removal import remove_image
from tarkit.store.repair import repair_store
from tarkit.store.schema import VERSION
from tarkit.store.store import Store
from tarkit.store.verification import verify_store
from tarkit.transports.store.reader import StoreReader
from tests.store.images import content_of, copy_in, layout_at

POINTS = 20  # places of each operation at which it is interrupted
FILES = {"etc/name": b"kept", "bin/tool": os.urandom(3000)}

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store with an image, its plain layer, and a committed record with a layer of its own."""
    root = tmp_path / "store"
    copy_in(root, layout_at(tmp_path / "kept", "kept", FILES), "kept")
    assert content_of(root, "kept") == FILES
    with Store.open(root) as store:
        layer = store.layers.write("own", io.BytesIO(bytes(1024)), derived=False)
        with store.records.transaction() as change:
            change.put(Record("r", {"x": 1}, {"i": "t"}, (), frozenset({layer.item}), True))
            change.set_external("r", "k", b"v")
    return root


def require_kept(root: Path) -> None:
    """Check what the store held before the fault."""
    assert content_of(root, "kept") == FILES
    with Store.open(root) as store:
        record = store.records.get("r")
        assert record is not None
        assert (record.values, record.indexes) == ({"x": 1}, {"i": "t"})
        assert store.records.external("r", "k") == b"v"
        assert store.layers.path("own").read_bytes() == bytes(1024)
        assert list(verify_store(store, deep=True)) == []


# What is interrupted: each changes a store in several steps and reports when one is done.


def ingest(root: Path, report: Callable[[str], object]) -> None:
    copy_in(root, root.parent / "new", "new")
    report("new")


def read(root: Path, report: Callable[[str], object]) -> None:
    content_of(root, "fresh")


def remove(root: Path, report: Callable[[str], object]) -> None:
    remove_image(root, "fresh")
    report("no fresh")
    with Store.open(root) as store:
        gc.collect(store)


def commit(root: Path, report: Callable[[str], object]) -> None:
    with Store.open(root) as store:
        layer = store.layers.write("mine", io.BytesIO(bytes(2048)), derived=False)
        with store.records.transaction() as change:
            for name in ("a", "b"):
                change.put(Record(name, {}, {}, (), frozenset({layer.item}), True))
        report("records")
        with store.records.transaction() as change:
            change.mark_deleted("a")
            change.remove("a")


def migrate(root: Path, report: Callable[[str], object]) -> None:
    migrate_store(root, root.parent / "migrated")
    report("migrated")


OPERATIONS = [ingest, read, remove, commit, migrate]


class _Faults:
    """Counts what a process does with files, and calls *strike* at one of the events.

    If *writing*, only events count that may need space on a disk.
    """

    EVENTS = frozenset({"open", "os.rename", "os.link", "os.remove", "os.mkdir", "fcntl.flock"})
    WRITING = frozenset({"os.rename", "os.link", "os.mkdir"})

    def __init__(self, at: int, strike: Callable[[], object], *, writing: bool) -> None:
        self.count = 0
        self._at = at
        self._strike = strike
        self._writing = writing

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if self._counts(event, arguments):
            self.count += 1
            if self.count == self._at:
                self._strike()

    def _counts(self, event: str, arguments: tuple[object, ...]) -> bool:
        if event == "open" and isinstance(arguments[0], int):
            return False  # a descriptor that is open already
        if not self._writing:
            return event in self.EVENTS
        flags = arguments[2] if event == "open" else 0
        return event in self.WRITING or (isinstance(flags, int) and bool(flags & os.O_CREAT))


def run_child(
    operation: Callable[[Path, Callable[[str], object]], None],
    root: Path,
    at: int,
    strike: Callable[[], object] = lambda: None,
    *,
    writing: bool = False,
) -> list[str]:
    """Run *operation* in a child and return its reports; the last is the number of events."""
    receive, send = os.pipe()
    child = os.fork()
    if not child:
        faults = _Faults(at, strike, writing=writing)
        try:
            sys.addaudithook(faults)
            operation(root, lambda text: os.write(send, f"{text}\n".encode()))
            os.write(send, b"done\n")
        except BaseException as error:  # noqa: BLE001  the parent reports it
            kind = "clean" if isinstance(error, TarkitError) else "unclean"
            os.write(send, f"{kind} {error!r} {_origin(error)}\n".encode())
        finally:
            os.write(send, f"{faults.count}\n".encode())
            os._exit(0)
    os.close(send)
    with os.fdopen(receive, "rb") as pipe:
        reports = pipe.read().decode().splitlines()
    os.waitpid(child, 0)
    return reports


def _origin(error: BaseException) -> str:
    lines = traceback.extract_tb(error.__traceback__)
    return " < ".join(f"{Path(line.filename).name}:{line.lineno}" for line in lines[::-1])


def points(
    operation: Callable[[Path, Callable[[str], object]], None],
    root: Path,
    tmp_path: Path,
    *,
    writing: bool = False,
) -> Iterator[tuple[int, Path]]:
    """Yield points of *operation*, each with a copy of the store at *root*."""
    layout_at(tmp_path / "new", "new", {"a": b"new", "b": os.urandom(2000)})
    copy_in(root, layout_at(tmp_path / "fresh", "fresh", {"c": b"fresh"}), "fresh")
    total = POINTS
    for at in [0, *range(1, 10_000)]:
        if at > total:
            return
        work = tmp_path / "work"
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(root, work / "store", symlinks=True)
        (work / "new").symlink_to(tmp_path / "new")
        if at == 0:
            reports = run_child(operation, work / "store", 0, writing=writing)
            assert reports[-2] == "done", reports
            total = int(reports[-1])
            step = max(1, total // POINTS)
        elif not (at - 1) % step:
            yield at, work / "store"


def require_reported(root: Path, reports: list[str]) -> None:
    if "new" in reports:
        assert content_of(root, "new")["a"] == b"new"
    if "records" in reports:
        with Store.open(root) as store:
            assert store.records.get("b") is not None
            assert store.layers.path("mine").read_bytes() == bytes(2048)
    if "migrated" in reports:
        require_kept(root.parent / "migrated")


@needs_fork
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_killed_process_loses_nothing(
    operation: Callable[[Path, Callable[[str], object]], None], root: Path, tmp_path: Path
) -> None:
    struck = 0
    for at, store in points(operation, root, tmp_path):
        reports = run_child(operation, store, at, lambda: os.kill(os.getpid(), signal.SIGKILL))
        struck += "done" not in reports
        # another process goes on: whatever was complete is there, and the rest goes on, too
        assert content_of(store, "kept") == FILES
        require_reported(store, reports)
        assert run_child(operation, store, 0)[-2] == "done" or operation is remove
        assert repair_store(store).lost == ()
        require_kept(store)
        require_reported(store, reports)
        with Store.open(store) as opened:
            gc.collect(opened)
            assert list((store / "holders").iterdir()) == [store / "holders" / opened.holder()]
        require_kept(store)
    assert struck >= 10


@needs_fork
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_full_disk_is_one_error_and_loses_nothing(
    operation: Callable[[Path, Callable[[str], object]], None], root: Path, tmp_path: Path
) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for at, store in points(operation, root, tmp_path, writing=True):
        reports = run_child(operation, store, at, full, writing=True)
        assert not reports[-2].startswith("unclean"), (at, reports)
        require_reported(store, reports)
        with suppress(TarkitError):
            run_child(operation, store, 0)
        require_kept_after_error(store)


def require_kept_after_error(root: Path) -> None:
    assert content_of(root, "kept") == FILES
    repair_store(root)
    require_kept(root)


# The database


def damage(root: Path, kind: str) -> None:
    path = root / "tarkit.db"
    data = bytearray(path.read_bytes())
    match kind:
        case "missing":
            path.unlink()
            return
        case "empty":
            data.clear()
        case "truncated":
            del data[len(data) // 2 :]
        case "header":
            data[0:16] = b"not SQLite at al"
        case "page":
            data[4096:8192] = bytes(4096)
        case "all pages":
            data[100:] = os.urandom(len(data) - 100)
        case "other":
            path.unlink()
            with sqlite3.connect(path) as other:
                other.execute("CREATE TABLE x (y)")
            other.close()
            return
    path.write_bytes(data)


DAMAGES = ["missing", "empty", "truncated", "header", "page", "all pages", "other"]


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_database_is_one_error_until_it_is_repaired(root: Path, kind: str) -> None:
    damage(root, kind)
    # reading images needs no database
    assert content_of(root, "kept") == FILES
    before = sorted(path for path in root.rglob("*") if path.is_file())
    with Store.open(root) as store:
        with pytest.raises((MalformedError, PathNotFoundError), match="repair") as caught:
            gc.collect(store)
        assert "\n" not in str(caught.value)
        with pytest.raises((MalformedError, PathNotFoundError)):
            gc.collect(store)
        assert list(verify_store(store))
    with pytest.raises(TarkitError):
        remove_image(root, "kept")
    kept = {path for path in before if "holders" not in path.parts and "journal" not in path.name}
    assert kept <= {path for path in root.rglob("*") if path.is_file()}
    result = repair_store(root)
    assert (result.rebuilt, result.records, result.lost) == (True, 1, ())
    require_kept(root)
    with Store.open(root) as store:
        gc.collect(store)
    require_kept(root)


def test_flipped_bytes_never_give_wrong_content(root: Path, tmp_path: Path) -> None:
    size = (root / "tarkit.db").stat().st_size
    for offset in range(0, size, size // 60):
        copy = tmp_path / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(root, copy)
        data = bytearray((copy / "tarkit.db").read_bytes())
        data[offset : offset + 40] = bytes(byte ^ 0xFF for byte in data[offset : offset + 40])
        (copy / "tarkit.db").write_bytes(data)
        assert content_of(copy, "kept") == FILES
        with suppress(TarkitError), Store.open(copy) as store:
            list(verify_store(store, deep=True))
            store.records.all()
        repair_store(copy)
        assert content_of(copy, "kept") == FILES


def test_a_newer_database_is_refused_and_left_alone(root: Path) -> None:
    path = root / "tarkit.db"
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    data = path.read_bytes()
    assert content_of(root, "kept") == FILES
    for change in (lambda: remove_image(root, "kept"), lambda: repair_store(root)):
        with pytest.raises(UnsupportedError, match=f"schema {VERSION + 1}.*newer tarkit"):
            change()
    assert path.read_bytes() == data
    assert content_of(root, "kept") == FILES


def test_the_database_is_not_rebuilt_under_another_process(root: Path) -> None:
    damage(root, "page")
    with Store.open(root) as other:
        other.holder()
        with pytest.raises(TarkitError, match="another process has the store open"):
            repair_store(root)
    repair_store(root)
    require_kept(root)


SCHEMAS = Path(__file__).parent / "schemas"


@pytest.mark.parametrize("version", range(1, VERSION + 1))
def test_every_older_schema_is_migrated(version: int, tmp_path: Path) -> None:
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    with sqlite3.connect(old) as connection:
        connection.executescript((SCHEMAS / f"{version}.sql").read_text(encoding="utf-8"))
    connection.close()
    with Database(new) as fresh, Database(old) as migrated:
        fresh.create()
        query = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name"
        assert migrated.rows(query) == fresh.rows(query)
        assert migrated.version == fresh.version == VERSION
        assert migrated.rows("SELECT data FROM records") == [('{"old":1}',)]


# Content


@pytest.mark.parametrize("kind", ["flip", "truncate", "empty", "directory"])
def test_a_damaged_blob_is_found_and_fetched_again(root: Path, tmp_path: Path, kind: str) -> None:
    with Store.open(root) as store:
        layer = max(store.content.blobs(), key=lambda blob: blob.size).digest
        path = store.content.path(layer)
        data = path.read_bytes()
        for each in (path, root / "blobs" / "sha256" / layer.hex):
            each.unlink()
            match kind:
                case "flip":
                    each.write_bytes(data[:1000] + bytes([data[1000] ^ 1]) + data[1001:])
                case "truncate":
                    each.write_bytes(data[:1000])
                case "empty":
                    each.write_bytes(b"")
                case "directory":
                    each.mkdir()
        for plain in store.layers.all():
            if plain.derived:
                store.layers.remove(plain.key)
    with pytest.raises(TarkitError):
        content_of(root, "kept")
    lost = repair_store(root).lost
    assert any(str(layer) in f"{problem.subject} {problem.message}" for problem in lost)
    copy_in(root, tmp_path / "kept", "kept")
    require_kept(root)


def test_a_corrupt_plain_layer_is_noticed_removed_and_made_again(root: Path) -> None:
    with Store.open(root) as store:
        [layer] = [each for each in store.layers.all() if each.derived]
        path = store.layers.path(layer.key)
    data = bytearray(path.read_bytes())
    data[600] ^= 1  # in the data of etc/name, which is at byte 512
    path.write_bytes(data)
    with StoreReader.open(root) as reader, FileSystem.of(reader.source("kept")) as files:
        assert not files.contents.is_intact(files.file("etc/name")) or data[600] == 1
        assert files.contents.is_intact(files.file("bin/tool"))
        with pytest.raises(TarkitError, match="try again"):
            FileSystem.of(reader.source("kept"), verified=True)
    assert content_of(root, "kept") == FILES
    require_kept(root)


OPENING = """
import sys
from tarkit.store.record import Record
from tarkit.store.store import Store
root, number = sys.argv[1], sys.argv[2]
with Store.open(root) as store:
    store.content.add(b"shared")
    store.content.add(number.encode())
    with store.records.transaction() as change:
        change.put(Record(f"process{number}", committed=True))
        found = store.records.get("count")
        count = found.values["n"] if found else 0
        change.put(Record("count", {"n": count + 1}))
"""


def test_32_processes_open_one_new_store(tmp_path: Path) -> None:
    root = tmp_path / "store"
    children = [
        subprocess.Popen([sys.executable, "-c", OPENING, str(root), str(number)])
        for number in range(32)
    ]
    assert [child.wait() for child in children] == [0] * 32
    with Store.open(root) as store:
        assert store.records.get("count") == Record("count", {"n": 32})
        assert len(store.records.all()) == 33
        assert list(verify_store(store)) == []
        assert store.leases.all() == []
        assert len(gc.collect(store).blobs) == 33


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="mounts a small tmpfs")
def test_a_store_on_a_full_disk(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "none", disk], check=False
    ).returncode:
        pytest.skip("cannot mount")
    try:
        root = disk / "store"
        copy_in(root, layout_at(tmp_path / "kept", "kept", FILES), "kept")
        large = layout_at(tmp_path / "large", "large", {"f": os.urandom(4 << 20)})
        with pytest.raises(NoSpaceError):
            copy_in(root, large, "large")
        assert content_of(root, "kept") == FILES
        with Store.open(root) as store:
            gc.collect(store)
            assert list(verify_store(store, deep=True)) == []
        # removing works although nothing is left to write to
        with (disk / "filler").open("wb", buffering=0) as filler, suppress(OSError):
            while filler.write(bytes(4096)):
                pass
        with suppress(TarkitError):
            remove_image(root, "kept")
        (disk / "filler").unlink()
        with suppress(TarkitError):
            remove_image(root, "kept")
        with Store.open(root) as store:
            gc.collect(store)
            assert list(store.content.walk()) == []
    finally:
        subprocess.run(["umount", disk], check=True)
