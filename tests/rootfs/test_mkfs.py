"""Write squashfs and erofs files: publication and errors.

Fake programs replace the real ones, which tests/conformance runs.
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tarkit.errors import NoSpaceError, RefusedError, TarkitError, TransportError
from tarkit.protocols import Source
from tarkit.rootfs.output.mkfs import write_erofs, write_squashfs
from tests.builders import listing
from tests.rootfs.layers import Item, directory, fifo, file, link, pack, source_of
from tests.rootfs.xattrs import acl, attributed

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")

LAST_TWO = "while [ $# -gt 2 ]; do shift; done"
WRITERS = {
    "mksquashfs": (write_squashfs, 'cat > "$2"'),
    "mkfs.erofs": (write_erofs, f'[ "$1" = --help ] && echo --tar && exit\n{LAST_TWO}\ncat > "$2"'),
}
OLD_EROFS = f'[ "$1" = --help ] && exit\n{LAST_TWO}\ntar -cf "$1" -C "$2" .'


@pytest.fixture(autouse=True)
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The first directory of ``PATH``; the umask denies others all access."""
    path = tmp_path / "bin"
    path.mkdir()
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "out")
    monkeypatch.setenv("PATH", f"{path}{os.pathsep}{os.environ['PATH']}")
    for name, (_, script) in WRITERS.items():
        install(path / name, script)
    before = os.umask(0o077)
    yield path
    os.umask(before)


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Source]:
    with source_of(tmp_path / "image", pack([file("name", "data")])) as source:
        yield source


def install(program: Path, script: str) -> None:
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


@pytest.mark.parametrize("name", WRITERS)
def test_the_file_is_published_like_other_outputs(source: Source, name: str) -> None:
    write, _ = WRITERS[name]
    write(source, Path("a.img"))
    assert stat.S_IMODE(Path("a.img").stat().st_mode) == 0o644
    Path("a.img").write_bytes(b"before")
    Path("a.img").chmod(0o600)
    write(source, Path("a.img"))
    assert stat.S_IMODE(Path("a.img").stat().st_mode) == 0o600
    assert listing(Path()) == ["a.img"]
    with tarfile.open("a.img") as tar:
        assert tar.getnames() == [".", "name"]


def test_an_erofs_of_a_directory(programs: Path, source: Source) -> None:
    install(programs / "mkfs.erofs", OLD_EROFS)
    result = write_erofs(source, Path("a.img"))
    assert "unpacked the image first" in result.notes[0]
    assert stat.S_IMODE(Path("a.img").stat().st_mode) == 0o644
    assert listing(Path()) == ["a.img"]
    with tarfile.open("a.img") as tar:
        assert sorted(tar.getnames()) == [".", "./name"]


@pytest.mark.parametrize("name", WRITERS)
def test_a_program_that_fails_says_why(programs: Path, source: Source, name: str) -> None:
    write, _ = WRITERS[name]
    install(programs / name, "echo first; echo the last word >&2; exit 1")
    with pytest.raises(TransportError, match="the last word"):
        write(source, Path("a.img"))
    assert listing(Path()) == []


@pytest.mark.parametrize("name", WRITERS)
def test_a_destination_taken_meanwhile_is_an_error(
    programs: Path, source: Source, name: str
) -> None:
    write, script = WRITERS[name]
    install(programs / name, f"{script}\nmkdir a.img")
    with pytest.raises(TarkitError, match=r"a\.img: Is a directory"):
        write(source, Path("a.img"))
    assert listing(Path()) == ["a.img"]


def test_a_failed_unpack_is_an_error(programs: Path, source: Source) -> None:
    install(programs / "mkfs.erofs", "for inner in .tarkit-*/.wh*; do touch $inner/root; done")
    with pytest.raises(RefusedError, match="root: exists already"):
        write_erofs(source, Path("a.img"))
    assert listing(Path()) == []


def test_a_full_disk_is_reported(programs: Path, source: Source) -> None:
    install(programs / "mksquashfs", "echo Failed to write: No space left on device; exit 1")
    with pytest.raises(NoSpaceError, match="Failed to write"):
        write_squashfs(source, Path("a.img"))
    assert listing(Path()) == []


def sparse(name: str, size: int, *places: int, **pax: str) -> Item:
    """Return a sparse file of *size* bytes with 512 bytes of data at each of *places*."""
    table = ",".join(f"{at},512" for at in places)
    keys = {"major": "0", "minor": "1", "name": name, "size": str(size), "map": table}
    headers = {f"GNU.sparse.{key}": value for key, value in keys.items()}
    data = b"".join(bytes([65 + n]) * 512 for n in range(len(places)))
    return file(f"GNUSparseFile.0/{name}", data, pax=headers | pax)


def content(size: int, *places: int) -> bytes:
    whole = bytearray(size)
    for n, at in enumerate(places):
        whole[at : at + 512] = bytes([65 + n]) * 512
    return bytes(whole)


@pytest.mark.parametrize("name", WRITERS)
def test_sparse_members_are_expanded(tmp_path: Path, name: str) -> None:
    write, _ = WRITERS[name]
    layer = [
        file("before", b"b" * 700),
        sparse("empty", 5_000_000),
        sparse("large", 3_000_000, 0, 1_000_000, 2_999_488),
        sparse("odd", 70_001, 512),
        file("then", b"t"),
    ]
    with source_of(tmp_path / "sparse", pack(layer)) as source:
        write(source, Path("a.img"))
    with tarfile.open("a.img") as tar:
        assert tar.getnames() == [".", "before", "empty", "large", "odd", "then"]
        assert not any("GNU.sparse.size" in member.pax_headers for member in tar)
        held = {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}  # type: ignore[union-attr]
    assert held == {
        "before": b"b" * 700,
        "empty": bytes(5_000_000),
        "large": content(3_000_000, 0, 1_000_000, 2_999_488),
        "odd": content(70_001, 512),
        "then": b"t",
    }


def test_the_error_of_a_program_that_stops_reading_is_reported(
    programs: Path, tmp_path: Path
) -> None:
    install(programs / "mksquashfs", "head -c 100 >/dev/null; echo enough >&2; exit 3")
    layer = pack([sparse("large", 50_000_000, 0)])
    with (
        source_of(tmp_path / "sparse", layer) as source,
        pytest.raises(TransportError, match="enough"),
    ):
        write_squashfs(source, Path("a.img"))
    assert listing(Path()) == []


@pytest.mark.parametrize(("name", "lost"), [("mksquashfs", 5), ("mkfs.erofs", 3)])
def test_lost_attributes_are_counted(tmp_path: Path, name: str, lost: int) -> None:
    write, _ = WRITERS[name]
    list_ = acl().decode("utf-8", "surrogateescape")
    layer = [
        attributed(directory("."), user__root="r"),  # mksquashfs ignores these
        attributed(directory("d"), user__a="1", trusted__b="2"),
        attributed(directory("e"), system__posix_acl_default=list_),  # squashfs cannot store it
        attributed(file("f"), user__a="1"),
        attributed(file("g"), system__posix_acl_default=list_, user__b="kept"),
        attributed(link("l", "f"), user__a="1", trusted__b="2"),
        attributed(fifo("p"), user__a="1"),
    ]
    with source_of(tmp_path / "attributes", pack(layer)) as source:
        result = write(source, Path("a.img"))
    assert f"extended attributes of {lost} entries were not kept" in result.notes
    with tarfile.open("a.img") as tar:
        found = {
            member.name: sorted(k for k in member.pax_headers if k.startswith("SCHILY.xattr."))
            for member in tar
        }
    prefix = "SCHILY.xattr."
    assert found["l"] == [f"{prefix}trusted.b"]
    assert found["g"] == [f"{prefix}user.b"]
    assert found["p"] == []
    assert found["d"] == [f"{prefix}trusted.b", f"{prefix}user.a"]
