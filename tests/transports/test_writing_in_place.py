"""Writers and existing directories: links in them, failures midway, and syncing to disk."""

from __future__ import annotations

import errno
import os
import resource
import signal
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tarkit.artifacts.store import ArtifactStore
from tarkit.cli.app import run
from tarkit.copying.engine import copy_image
from tarkit.errors import NoSpaceError, RefusedError, TarkitError, UnsafePathError
from tarkit.ext4 import Ext4Options
from tarkit.layout.layout import INDEX_FILE
from tarkit.streams.directory import Directory
from tarkit.transports.location import Location, open_source, open_writer
from tarkit.transports.oci_layout import writer as oci_writer
from tests.builders import (
    check_layout,
    copy,
    image_of,
    layout_of,
    leftovers,
    listing,
    make_image,
    names_in,
    noise,
    read_files,
    tar,
    write_files,
)

pytestmark = pytest.mark.skipif(os.name != "posix", reason="symlinks need rights elsewhere")

OLD, NEW = make_image("old"), make_image("base", "new")
SMALL = Ext4Options(profile="ro", free=0, align=4096)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A layout to add to; the image to add is in the layout ``in`` beside it."""
    write_files(tmp_path / "in", layout_of(NEW, "new"))
    return write_files(tmp_path / "out", layout_of(OLD, "old"))


def snapshot(directory: Path) -> dict[str, tuple[int, bytes | str]]:
    """Return the types, modes and contents of all entries of *directory*."""
    found: dict[str, tuple[int, bytes | str]] = {}
    for path in sorted(directory.rglob("*")):
        mode = path.lstat().st_mode
        data: bytes | str = b""
        if stat.S_ISLNK(mode):
            data = str(path.readlink())
        elif stat.S_ISREG(mode):
            data = path.read_bytes()
        found[str(path.relative_to(directory))] = mode, data
    return found


def replaced_by_link(path: Path, kept: Path, target: str | Path | None = None) -> None:
    """Move *path* to *kept*, and replace it by a link to that, or to *target*."""
    if path.exists():
        path.rename(kept)
    else:
        kept.mkdir()
    path.symlink_to(target or kept)


OUTSIDE = ["blobs", "blobs/sha256", "blobs/sha512", "index.json", "oci-layout"]


@pytest.mark.parametrize("form", ["absolute", "relative", "chain", "dangling"])
@pytest.mark.parametrize("name", OUTSIDE)
def test_a_link_out_of_a_layout_is_refused_before_anything_is_written(
    tmp_path: Path, out: Path, name: str, form: str
) -> None:
    kept = tmp_path / "kept"
    targets: dict[str, str | Path] = {
        "absolute": kept,
        "relative": Path(os.path.relpath(kept, (out / name).parent)),
        "chain": "step",
        "dangling": tmp_path / "nowhere",
    }
    replaced_by_link(out / name, kept, targets[form])
    if form == "chain":
        (out / name).with_name("step").symlink_to(kept)
    before = snapshot(tmp_path)
    assert run(["copy", "-q", f"oci:{tmp_path / 'in'}", f"oci:{out}:new"]) == 6
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("name", ["blobs", "blobs/sha256"])
def test_a_link_inside_a_layout_is_followed(tmp_path: Path, out: Path, name: str) -> None:
    replaced_by_link(out / name, out / "kept")
    copy(f"oci:{tmp_path / 'in'}", f"oci:{out}:new")
    assert (out / name).is_symlink()
    assert run(["verify", "-q", f"oci:{out}:new"]) == 0
    assert run(["verify", "-q", f"oci:{out}:old"]) == 0


@pytest.mark.parametrize("name", ["blobs", "blobs/sha256"])
@pytest.mark.parametrize("target", ["nowhere", "sha256", "blobs"])
def test_dangling_and_circular_links_are_refused(
    tmp_path: Path, out: Path, name: str, target: str
) -> None:
    replaced_by_link(out / name, tmp_path / "kept", target)
    before = snapshot(tmp_path)
    assert run(["copy", "-q", f"oci:{tmp_path / 'in'}", f"oci:{out}:new"]) == 6
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("kind", ["file", "dangling"])
def test_a_blob_that_is_a_link_out_is_not_written_through(
    tmp_path: Path, out: Path, kind: str
) -> None:
    digest = NEW.digest[7:]
    victim = tmp_path / "victim"
    if kind == "file":
        victim.write_bytes(b"theirs")
    (out / "blobs" / "sha256" / digest).symlink_to(victim)
    before = snapshot(tmp_path / "out") if kind == "file" else {}
    code = run(["copy", "-q", f"oci:{tmp_path / 'in'}", f"oci:{out}:new"])
    if kind == "file":
        assert code == 6
        assert snapshot(out) == before
        assert victim.read_bytes() == b"theirs"
    else:
        assert not victim.exists()
        assert code == 0
        assert not (out / "blobs" / "sha256" / digest).is_symlink()


def test_a_dir_behind_a_link_out_of_its_directory_is_refused(tmp_path: Path, out: Path) -> None:
    copy(f"oci:{tmp_path / 'in'}", f"dir:{tmp_path / 'elsewhere'}")
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / "image").symlink_to(tmp_path / "elsewhere")
    before = snapshot(tmp_path)
    assert run(["copy", "-q", f"oci:{out}:old", f"dir:{tmp_path / 'place' / 'image'}"]) == 6
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("name", ["version", "manifest.json", NEW.digest[7:]])
def test_links_in_a_dir_are_not_written_through(tmp_path: Path, out: Path, name: str) -> None:
    copy(f"oci:{tmp_path / 'in'}", f"dir:{tmp_path / 'image'}")
    (tmp_path / "victim").write_bytes(b"theirs")
    (tmp_path / "image" / name).unlink()
    (tmp_path / "image" / name).symlink_to("../victim")
    code = run(["copy", "-q", f"oci:{out}:old", f"dir:{tmp_path / 'image'}"])
    assert code == (6 if name == "version" else 0)
    assert (tmp_path / "victim").read_bytes() == b"theirs"


@pytest.mark.parametrize("name", [".locks", ".locks/a", "a", "a/image.ext4", "a/artifact.json"])
def test_links_out_of_a_store_are_refused(tmp_path: Path, out: Path, name: str) -> None:
    store = ArtifactStore.open(tmp_path / "store")
    source = f"oci:{out}:old"
    store.build_ext4(source, SMALL, artifact_id="a")
    replaced_by_link(store.root / name, tmp_path / "kept")
    before = snapshot(tmp_path)
    with pytest.raises(UnsafePathError):
        store.build_ext4(source, SMALL, artifact_id="a")
    assert snapshot(tmp_path) == before


# failures


class Failure:
    """Makes one call of a function fail."""

    def __init__(self, patch: pytest.MonkeyPatch, owner: object, name: str, at: int) -> None:
        really = getattr(owner, name)
        self.calls = 0

        def failing(*arguments: object, **options: object) -> object:
            self.calls += 1
            if self.calls == at:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return really(*arguments, **options)

        patch.setattr(owner, name, failing)


def calls_of(out: Path, owner: object, name: str) -> int:
    with pytest.MonkeyPatch.context() as patch:
        counter = Failure(patch, owner, name, at=-1)
        copy(f"oci:{out.parent / 'in'}", f"oci:{out}:new")
    return counter.calls


POINTS = [(Directory, "move"), (Directory, "publish"), (Directory, "sync"), (os, "fsync")]


@pytest.mark.parametrize(("owner", "name"), POINTS)
def test_a_copy_that_fails_anywhere_leaves_no_blob(
    tmp_path: Path, out: Path, owner: object, name: str
) -> None:
    trial = write_files(tmp_path / "trial", layout_of(OLD, "old"))
    calls = calls_of(trial, owner, name)
    assert calls
    before = read_files(out)
    failed = 0
    for at in range(1, calls + 1):
        with pytest.MonkeyPatch.context() as patch:
            Failure(patch, owner, name, at)
            try:
                copy(f"oci:{tmp_path / 'in'}", f"oci:{out}:new")
            except NoSpaceError:
                failed += 1
        after = read_files(out)
        if after["index.json"] == before["index.json"]:
            assert after == before, at
        else:  # the index is published, so the whole image is
            assert names_in(check_layout(after)) == ["old", "new"], at
            break
    assert failed
    assert leftovers(out) == []


def test_existing_blobs_survive_a_failed_copy(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unreferenced blobs stay too: another writer may be about to list them."""
    layer = next(p for p in (tmp_path / "in" / "blobs" / "sha256").iterdir())
    (out / "blobs" / "sha256" / layer.name).write_bytes(layer.read_bytes())
    before = read_files(out)
    Failure(monkeypatch, oci_writer, "write_file", at=1)
    with pytest.raises(NoSpaceError):
        copy(f"oci:{tmp_path / 'in'}", f"oci:{out}:new")
    assert read_files(out) == before


def test_blobs_another_writer_needs_survive_a_failed_copy(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer that ignores the lock may list an image of the new blobs before the copy fails."""
    theirs = layout_of(NEW, "theirs")

    def listed_by_others(directory: Directory, name: str, data: bytes) -> None:
        (out / name).write_bytes(theirs[INDEX_FILE])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(oci_writer, "write_file", listed_by_others)
    with pytest.raises(NoSpaceError):
        copy(f"oci:{tmp_path / 'in'}", f"oci:{out}:new")
    assert run(["verify", "-q", f"oci:{out}:theirs"]) == 0


def test_the_copy_fails_if_a_reused_blob_is_removed(tmp_path: Path, out: Path) -> None:
    copy(f"oci:{tmp_path / 'in'}", f"oci:{out}:first")
    blob = out / "blobs" / "sha256" / NEW.digest[7:]
    before = (out / "index.json").read_bytes()
    with ExitStack() as stack:
        writer = stack.enter_context(open_writer(Location.parse(f"oci:{out}")))
        source = stack.enter_context(open_source(f"oci:{tmp_path / 'in'}:new"))
        copy_image(source, writer.destination("second"))
        blob.unlink()
        with pytest.raises(RefusedError, match="another process removed blob"):
            stack.close()
    assert (out / "index.json").read_bytes() == before
    assert leftovers(out) == []


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("kind", ["oci", "dir"])
def test_a_file_size_limit_leaves_everything_unchanged(
    tmp_path: Path, out: Path, kind: str
) -> None:
    large = image_of([tar({"large": noise(300_000)})])
    write_files(tmp_path / "large", layout_of(large, "large"))
    if kind == "dir":
        copy(f"oci:{out}:old", f"dir:{tmp_path / 'place'}")
        target = f"dir:{tmp_path / 'place'}"
    else:
        target = f"oci:{out}:large"
    before = snapshot(tmp_path)
    with file_size_limit(100_000), pytest.raises(TarkitError):
        copy(f"oci:{tmp_path / 'large'}", target)
    assert snapshot(tmp_path) == before


# syncing


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The inodes that were synced, in order."""
    inodes: list[tuple[int, int]] = []
    really = os.fsync

    def fsync(descriptor: int) -> None:
        status = os.fstat(descriptor)
        inodes.append((status.st_dev, status.st_ino))
        really(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return inodes


def inode(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


@pytest.mark.parametrize("kind", ["new", "existing", "vacant"])
def test_a_layout_is_synced_with_its_directories(
    tmp_path: Path, out: Path, synced: list[tuple[int, int]], kind: str
) -> None:
    target = {"new": tmp_path / "fresh", "existing": out, "vacant": tmp_path / "vacant"}[kind]
    (tmp_path / "vacant").mkdir()
    known = set(target.rglob("*")) if kind == "existing" else set()
    copy(f"oci:{tmp_path / 'in'}", f"oci:{target}:new")
    made = [path for path in target.rglob("*") if path not in known or path.name == "index.json"]
    for path in [target, *made, *{path.parent for path in made}]:
        assert inode(path) in synced, path
    if kind == "new":
        assert synced[-1] == inode(tmp_path)
        assert synced.count(inode(target / "blobs" / "sha256")) == 1


@pytest.mark.parametrize("kind", ["dir", "oci-archive", "ext4"])
def test_other_outputs_are_synced_with_their_directories(
    tmp_path: Path, out: Path, synced: list[tuple[int, int]], kind: str
) -> None:
    target = tmp_path / "target"
    if kind == "ext4":
        assert run(["ext4", "-q", f"oci:{out}:old", str(target)]) == 0
    else:
        copy(f"oci:{out}:old", f"{kind}:{target}")
    for path in [target, *target.rglob("*")]:
        assert inode(path) in synced, path
    assert synced[-1] == inode(tmp_path)


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EOPNOTSUPP])
def test_directories_that_cannot_be_synced_are_tolerated(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    really = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        really(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    copy(f"oci:{tmp_path / 'in'}", f"oci:{out}:new")
    assert run(["verify", "-q", f"oci:{out}:new"]) == 0


# modes


@pytest.mark.parametrize("unnamed", [True, False])
@pytest.mark.parametrize("parent_mode", [0o755, 0o2775, 0o1777])
@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_modes_are_the_same_under_any_umask_in_any_directory(
    tmp_path: Path,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    umask: int,
    parent_mode: int,
    unnamed: bool,
) -> None:
    if not unnamed:
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    place = tmp_path / "place"
    place.mkdir()
    place.chmod(parent_mode)
    before = os.umask(umask)
    try:
        for kind in ("oci", "dir", "oci-archive"):
            copy(f"oci:{tmp_path / 'in'}", f"{kind}:{place / kind}")
        copy(f"oci:{tmp_path / 'in'}", f"oci:{out}:new")
    finally:
        os.umask(before)
    assert leftovers(place) == []
    for path in [*place.iterdir(), *place.rglob("*/**"), *(place / "oci").rglob("*")]:
        expected = 0o755 if path.is_dir() else 0o644
        assert stat.S_IMODE(path.stat().st_mode) == expected, path
    assert listing(place) == ["dir", "oci", "oci-archive"]
