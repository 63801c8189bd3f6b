"""The blob store: blobs are verified, and never outside the store."""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tarkit.blobs.store import BlobStore
from tarkit.blobs.writing import BlobWriter
from tarkit.errors import (
    BlobNotFoundError,
    DigestMismatchError,
    MalformedError,
    TransportError,
    UnsafePathError,
)
from tarkit.image.digest import Digest
from tarkit.streams.directory import Directory
from tarkit.streams.verify import VerifyingReader
from tests.builders import listing, noise, read_files

DATA = noise(100_000)
DIGEST = Digest.of(DATA)

needs_symlinks = pytest.mark.skipif(os.name != "posix", reason="symlinks need rights elsewhere")


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "layout")


def put(store: BlobStore, data: bytes, digest: Digest | None = None) -> Digest:
    blob = VerifyingReader(io.BytesIO(data), digest=digest)
    store.root.mkdir(exist_ok=True)
    with writer(store.root) as blobs:
        blobs.put(blob)
    return blob.digest


@contextmanager
def writer(root: Path) -> Iterator[BlobWriter]:
    with Directory.open(root) as directory, BlobWriter(directory) as blobs:
        yield blobs


def plant(store: BlobStore, digest: Digest = DIGEST) -> Path:
    """Return the path of a blob after creating its directories."""
    path = store.path(digest)
    path.parent.mkdir(parents=True)
    return path


def test_a_stored_blob_is_found(store: BlobStore) -> None:
    assert put(store, DATA) == DIGEST
    assert store.size(DIGEST) == len(DATA)
    with store.open(DIGEST) as blob:
        assert blob.read() == DATA
    assert read_files(store.root) == {f"blobs/sha256/{DIGEST.hex}": DATA}


def test_another_algorithm(store: BlobStore) -> None:
    digest = Digest.of(DATA, "sha512")
    assert put(store, DATA, digest) == digest
    assert list(store.digests()) == [digest]


def test_a_failing_blob_leaves_nothing(store: BlobStore) -> None:
    with pytest.raises(DigestMismatchError):
        put(store, DATA + b"x", DIGEST)
    assert read_files(store.root) == {}
    assert store.size(DIGEST) is None


def test_a_truncated_blob_is_rewritten(store: BlobStore) -> None:
    plant(store).write_bytes(DATA[:10])
    assert store.size(DIGEST) == 10
    put(store, DATA)
    assert store.size(DIGEST) == len(DATA)


def test_a_missing_blob(store: BlobStore) -> None:
    assert store.size(DIGEST) is None
    assert list(store.digests()) == []
    with pytest.raises(BlobNotFoundError, match=str(DIGEST)):
        store.open(DIGEST)


def test_a_file_in_place_of_a_directory(store: BlobStore) -> None:
    store.root.mkdir()
    (store.root / "blobs").write_bytes(b"")
    assert store.size(DIGEST) is None


@needs_symlinks
def test_a_link_inside_is_followed(store: BlobStore) -> None:
    path = plant(store)
    (store.root / "data").write_bytes(DATA)
    path.symlink_to("../../data")
    with store.open(DIGEST) as blob:
        assert blob.read() == DATA


@needs_symlinks
@pytest.mark.parametrize("target", ["../../../secret", "/etc/hostname"])
def test_a_link_out_is_refused(store: BlobStore, tmp_path: Path, target: str) -> None:
    (tmp_path / "secret").write_bytes(DATA)
    plant(store).symlink_to(target)
    for look in (store.size, store.open):
        with pytest.raises(UnsafePathError, match="leads out of"):
            look(DIGEST)


@needs_symlinks
def test_a_directory_that_is_a_link_out_is_refused(store: BlobStore, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / DIGEST.hex).write_bytes(DATA)
    (store.root / "blobs").mkdir(parents=True)
    (store.root / "blobs" / "sha256").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafePathError):
        store.open(DIGEST)


@needs_symlinks
def test_a_dangling_link_is_no_blob(store: BlobStore) -> None:
    plant(store).symlink_to("nowhere")
    assert store.size(DIGEST) is None
    with pytest.raises(BlobNotFoundError):
        store.open(DIGEST)


@needs_symlinks
def test_a_loop_of_links_is_refused(store: BlobStore) -> None:
    plant(store).symlink_to(DIGEST.hex)
    for look in (store.size, store.open):
        with pytest.raises(UnsafePathError, match="loop of links"):
            look(DIGEST)


def test_a_directory_is_no_blob(store: BlobStore) -> None:
    plant(store).mkdir()
    for look in (store.size, store.open):
        with pytest.raises(MalformedError, match="not a regular file"):
            look(DIGEST)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no fifos here")
def test_a_fifo_is_not_opened(store: BlobStore) -> None:
    os.mkfifo(plant(store))
    for look in (store.size, store.open):
        with pytest.raises(MalformedError, match="not a regular file"):
            look(DIGEST)


@needs_symlinks
def test_a_device_is_refused(store: BlobStore) -> None:
    plant(store).symlink_to(os.devnull)
    for look in (store.size, store.open):
        with pytest.raises(UnsafePathError, match="leads out of"):
            look(DIGEST)


@pytest.mark.skipif(os.name != "posix", reason="names are longer elsewhere")
def test_system_errors_are_translated(tmp_path: Path) -> None:
    store = BlobStore(tmp_path / ("n" * 300))
    for look in (store.size, store.open):
        with pytest.raises(TransportError, match="too long"):
            look(DIGEST)


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_an_unreadable_blob(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store, DATA)

    def denied(*_: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "open", denied)  # root may read everything
    with pytest.raises(TransportError, match="Permission denied"):
        store.open(DIGEST)


def test_adopting_moves_every_blob(store: BlobStore, tmp_path: Path) -> None:
    staged = BlobStore(tmp_path / "staged")
    first, second = put(staged, b"one"), put(staged, b"two")
    put(store, b"one")
    (staged.root / "blobs" / "sha256" / ".hidden.tmp").write_bytes(b"")
    with writer(store.root) as ours, writer(staged.root) as theirs:
        ours.adopt(theirs)
    assert sorted(store.digests()) == sorted([first, second])
    assert list(staged.digests()) == []


def test_removing(store: BlobStore) -> None:
    digest = put(store, DATA)
    with writer(store.root) as blobs:
        blobs.remove(digest)
        blobs.remove(digest)
    assert store.size(digest) is None


def test_names_that_are_not_digests_are_skipped(store: BlobStore) -> None:
    digest = put(store, DATA)
    (store.root / "blobs" / "sha256" / "README").write_bytes(b"")
    (store.root / "blobs" / "md5").mkdir()
    (store.root / "blobs" / "md5" / ("a" * 32)).write_bytes(b"")
    assert list(store.digests()) == [digest]


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_modes_do_not_depend_on_the_umask(store: BlobStore, tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        put(store, DATA)
        adopting = BlobStore(tmp_path / "adopting")
        adopting.root.mkdir(mode=0o755)
        with writer(adopting.root) as ours, writer(store.root) as theirs:
            ours.adopt(theirs)
    finally:
        os.umask(before)
    for path in adopting.root.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o755 if path.is_dir() else 0o644)
    assert listing(store.root / "blobs") == ["sha256"]
    assert stat.S_IMODE((store.root / "blobs").stat().st_mode) == 0o755
