"""Write to root filesystems, with the changes staged in a directory."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tarkit.errors import (
    MalformedError,
    PathNotFoundError,
    RefusedError,
    TarkitError,
    UnsupportedError,
)
from tarkit.rootfs.filesystem import FileSystem
from tarkit.rootfs.writable.filesystem import WritableFileSystem
from tarkit.tar.member import MemberType
from tests.rootfs.chains import difference, files_of
from tests.rootfs.layers import directory, file, hard, link, pack, source_of, unaligned
from tests.rootfs.test_layer_writer import facts, listed

NOW = 1_800_000_000 * 10**9
BASE = [
    directory("d"), file("d/a", "a"), file("d/b", "b"), link("l", "d"), link("up", "../../d"),
    file("x", "x", pax={"SCHILY.xattr.user.k": "v"}), file("h1", "h"), hard("h2", "h1"),
    link("dangling", "d/none"), unaligned("s"),
]  # fmt: skip


@pytest.fixture
def base() -> FileSystem:
    return files_of(BASE)


@pytest.fixture
def files(base: FileSystem, tmp_path: Path) -> Iterator[WritableFileSystem]:
    with WritableFileSystem(base, tmp_path / "staged", clock=lambda: NOW) as opened:
        yield opened


def reopened(base: FileSystem, tmp_path: Path) -> WritableFileSystem:
    return WritableFileSystem(base, tmp_path / "staged", clock=lambda: NOW)


def test_a_new_file(files: WritableFileSystem, base: FileSystem) -> None:
    files.write("d/new", b"data", mode=0o600, owner=(3, 4))
    entry = files.stat("/d/new")
    assert (files.read_bytes("d/new"), entry.mode, entry.uid, entry.gid) == (b"data", 0o600, 3, 4)
    assert entry.mtime_ns == files.stat("d").mtime_ns == NOW
    assert not base.exists("d/new")
    assert listed(base, files) == ["d/", "d/new"]


def test_an_existing_file_keeps_its_metadata(files: WritableFileSystem) -> None:
    before = files.stat("x")
    files.write("x", io.BytesIO(b"longer"))
    after = files.stat("x")
    assert (after.mode, after.xattrs, after.size) == (before.mode, before.xattrs, 6)
    files.write("x", b"y", mode=0o755)
    assert files.stat("x").mode == 0o755
    assert files.read_bytes("x") == b"y"


def test_links_are_followed_inside_the_root(files: WritableFileSystem) -> None:
    files.write("l/a", b"1")
    files.write("up/b", b"2")
    files.write("/../../l/c", b"3")
    files.write("dangling", b"4")
    assert [files.read_bytes(f"d/{name}") for name in ("a", "b", "c", "none")] == [
        b"1", b"2", b"3", b"4",
    ]  # fmt: skip
    assert files.stat("dangling", follow=False).type is MemberType.SYMLINK


def test_changes_of_a_file_reach_all_its_names(files: WritableFileSystem, base: FileSystem) -> None:
    files.link("d/h3", "h2")
    files.chmod("h1", 0o600)
    files.write("d/h3", b"new")
    assert {files.stat(name).mode for name in ("h1", "h2", "d/h3")} == {0o600}
    assert {files.read_bytes(name) for name in ("h1", "h2", "d/h3")} == {b"new"}
    assert files.stat("h1").links == 3
    assert listed(base, files) == ["d/", "d/h3", "h1", "h2"]
    files.remove("h2")
    files.remove("d")
    assert files.stat("h1").links == 1


def test_metadata(files: WritableFileSystem, base: FileSystem) -> None:
    files.chmod("l", 0o700)  # follows the link
    files.chown("l", 5, 6, follow=False)
    files.utime("x", 7 * 10**9)
    files.set_xattr("d/a", b"user.n", b"\xff")
    files.remove_xattr("x", b"user.k")
    files.chmod("/", 0o711)
    assert (files.stat("d").mode, files.stat("d").uid) == (0o700, 0)
    assert (files.stat("l", follow=False).uid, files.stat("l", follow=False).gid) == (5, 6)
    assert (files.stat("x").mtime_ns, dict(files.stat("x").xattrs)) == (7 * 10**9, {})
    assert files.stat("/").mode == 0o711
    assert files.read_bytes("d/a") == b"a"  # still in its layer
    _, data = difference(base, files)
    assert facts(files_of(pack(BASE), data)) == facts(files)
    with pytest.raises(PathNotFoundError, match=r"user\.k"):
        files.remove_xattr("x", b"user.k")


def test_directories(files: WritableFileSystem) -> None:
    files.mkdir("n/m/o", parents=True, mode=0o700)
    files.mkdir("n/m/o", parents=True)
    files.mkdir("l/sub", owner=(1, 2))
    assert files.stat("n/m").mode == 0o700
    assert files.stat("d/sub").gid == 2
    files.remove("n")
    assert not files.exists("n")


def test_rename(files: WritableFileSystem, base: FileSystem) -> None:
    files.rename("d", "moved")
    files.rename("x", "moved/a")
    files.mkdir("empty")
    files.rename("moved", "empty")
    files.rename("h1", "h2")
    files.rename("h2", "h2")
    assert files.read_bytes("empty/a") == b"x"
    assert files.exists("h1")
    assert listed(base, files)[:3] == [".wh.d", "empty/", "empty/a"]
    with pytest.raises(RefusedError, match="into itself"):
        files.rename("empty", "empty/in")


@pytest.mark.parametrize(
    ("action", "error"),
    [
        (lambda f: f.write("none/x", b""), PathNotFoundError),
        (lambda f: f.write("x/y", b""), RefusedError),
        (lambda f: f.write("d", b""), RefusedError),
        (lambda f: f.write("d/.wh.x", b""), RefusedError),
        (lambda f: f.write("n" * 256, b""), RefusedError),
        (lambda f: f.mkdir("d"), RefusedError),
        (lambda f: f.mkdir("x", parents=True), RefusedError),
        (lambda f: f.mkdir("a/b"), PathNotFoundError),
        (lambda f: f.mkdir("x/a", parents=True), RefusedError),
        (lambda f: f.symlink("x", "y"), RefusedError),
        (lambda f: f.symlink("n", ""), RefusedError),
        (lambda f: f.link("n", "d"), RefusedError),
        (lambda f: f.link("x", "h1"), RefusedError),
        (lambda f: f.remove("none"), PathNotFoundError),
        (lambda f: f.remove("/"), RefusedError),
        (lambda f: f.rename("x", "d"), RefusedError),
        (lambda f: f.rename("d", "x"), RefusedError),
        (lambda f: f.chmod("none", 0), PathNotFoundError),
    ],
)
def test_what_is_refused_changes_nothing(
    files: WritableFileSystem, base: FileSystem, action: object, error: type[TarkitError]
) -> None:
    with pytest.raises(error):
        action(files)  # type: ignore[operator]
    assert listed(base, files) == []
    assert not files.is_changed


def edit(files: WritableFileSystem) -> None:
    files.write("d/new", b"n" * 2000)
    files.write("x", b"y")
    files.mkdir("e/f", parents=True)
    files.symlink("e/l", b"../\xff")
    files.make_node("e/fifo", MemberType.FIFO)
    files.make_node("e/null", MemberType.CHAR, device=(1, 3), mode=0o666)
    files.link("e/h3", "h1")
    files.chown("h1", 1, 1)
    files.rename("d/a", "e/\udcff")
    files.remove("d/b")
    files.set_xattr("s", b"user.\xfe", b"\0")


def test_staged_changes_survive(
    files: WritableFileSystem, base: FileSystem, tmp_path: Path
) -> None:
    edit(files)
    expected = facts_and_links(files)
    with reopened(base, tmp_path) as again:  # while the first still has its files open
        assert facts_and_links(again) == expected
        assert again.is_changed
        again.write("more", b"m")
    with reopened(base, tmp_path) as again:
        assert again.read_bytes("more") == b"m"
        assert again.read_bytes("d/new") == b"n" * 2000
        assert difference(base, again)[0].diff_id == difference(base, again)[0].diff_id


def facts_and_links(files: FileSystem) -> object:
    found = [
        (e.path, e.mode, e.uid, e.mtime_ns, e.links, e.major, dict(e.xattrs)) for e in files.walk()
    ]
    return found, [files.read_bytes(e.path) for e in files.walk() if e.type is MemberType.FILE]


def test_the_same_changes_give_the_same_journal_and_layer(tmp_path: Path) -> None:
    results = []
    for name in ("one", "two"):
        base = files_of(BASE)
        with WritableFileSystem(base, tmp_path / name, clock=lambda: NOW) as files:
            edit(files)
            results.append((difference(base, files)[1], (tmp_path / name / "journal").read_bytes()))
            _, data = difference(base, files)
            assert facts(files_of(pack(BASE), data)) == facts(files)
    assert results[0] == results[1]


def test_a_torn_last_line_is_dropped(base: FileSystem, tmp_path: Path) -> None:
    with reopened(base, tmp_path) as files:
        files.write("one", b"1")
        kept = (tmp_path / "staged/journal").read_bytes()
        files.write("two", b"2")
    whole = (tmp_path / "staged/journal").read_bytes()
    for end in range(len(kept) + 1, len(whole), 7):
        (tmp_path / "staged/journal").write_bytes(whole[:end])
        with reopened(base, tmp_path) as files:
            assert files.read_bytes("one") == b"1"
            files.write("three", b"3")
        with reopened(base, tmp_path) as files:
            assert files.read_bytes("three") == b"3"


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"x\n", MalformedError),
        (b'["other",1]\n', MalformedError),
        (b'["tarkit staged changes",2]\n', UnsupportedError),
        (b'["tarkit staged changes",1]\n["remove","none"]\n', MalformedError),
        (b'["tarkit staged changes",1]\n["put","a"]\n', MalformedError),
        (b'["tarkit staged changes",1]\n["dance","a"]\n', MalformedError),
        (
            b'["tarkit staged changes",1]\n["put","a",["0",420,0,0,5,0,"",0,0,{},null,512,5]]\n',
            MalformedError,
        ),
    ],
)
def test_a_damaged_journal_is_an_error(
    base: FileSystem, tmp_path: Path, content: bytes, error: type[TarkitError]
) -> None:
    (tmp_path / "staged").mkdir()
    (tmp_path / "staged/journal").write_bytes(content)
    with pytest.raises(error, match="stage"):
        reopened(base, tmp_path)


def test_a_copy_leaves_data_in_its_layer(
    files: WritableFileSystem, base: FileSystem, tmp_path: Path
) -> None:
    other = files_of(
        [*BASE, directory("d/deep", 0o700), file("d/deep/f", "deep"), file("d/a", "other")]
    )
    files.copy(other, "l", "copied", follow=True, owner=(8, 9))
    files.copy(other, "d", "d")
    files.copy(other, "s", "sparse")
    assert (tmp_path / "staged/data").read_bytes() == b""
    assert files.needed_layers == (other.contents.layers.layers[0].diff_id,)
    assert files.read_bytes("copied/deep/f") == b"deep"
    assert files.stat("copied/deep").uid == 8
    assert files.read_bytes("d/a") == b"other"
    assert files.read_bytes("d/b") == b"b"
    assert files.read_bytes("sparse") == base.read_bytes("s")
    archive = other.contents.archive(0)
    assert archive is not None
    files.close()
    with WritableFileSystem(base, tmp_path / "staged", open_layer=lambda _: archive) as again:
        assert again.read_bytes("copied/deep/f") == b"deep"
    with reopened(base, tmp_path) as again, pytest.raises(TarkitError, match="no layer"):
        again.read_bytes("copied/deep/f")


def test_a_copy_from_a_compressed_layer_is_staged(base: FileSystem, tmp_path: Path) -> None:
    with (
        source_of(tmp_path, [file("f", "packed"), unaligned("s")]) as source,
        FileSystem.of(source) as other,
        reopened(base, tmp_path) as files,
    ):
        files.copy(other, "f", "f")
        files.copy(other, "s", "d/s")
        assert files.needed_layers == ()
    with reopened(base, tmp_path) as files:
        assert files.read_bytes("f") == b"packed"
        assert files.read_bytes("d/s") == base.read_bytes("s")


def test_a_copy_of_itself_ends(files: WritableFileSystem) -> None:
    files.copy(files, "/", "d/all")
    assert files.read_bytes("d/all/d/a") == b"a"
    assert not files.exists("d/all/d/all")
    assert files.stat("d/all/h1").links == 2


def test_local_files(files: WritableFileSystem, tmp_path: Path) -> None:
    top = tmp_path / "local"
    (top / "keep/sub").mkdir(parents=True)
    (top / "keep/sub/f").write_text("f")
    (top / "keep/sub/skip.o").write_text("o")
    (top / "out/deep").mkdir(parents=True)
    (top / "out/deep/in").write_text("in")
    (top / "out/no").write_text("no")
    os.link(top / "keep/sub/skip.o", top / "one")
    os.link(top / "one", top / "two")
    (top / "ln").symlink_to("/etc/passwd")
    files.add(top, "d", owner=(1, 2), exclude=["**/*.o", "out", "!out/deep"])
    assert [e.path for e in files.walk("d")] == [
        "/d", "/d/a", "/d/b", "/d/keep", "/d/keep/sub", "/d/keep/sub/f", "/d/ln", "/d/one",
        "/d/out", "/d/out/deep", "/d/out/deep/in", "/d/two",
    ]  # fmt: skip
    assert files.stat("d/ln", follow=False).target == "/etc/passwd"
    assert (files.stat("d/one").links, files.stat("d/keep").uid) == (2, 1)
    files.add(top / "two", "file", owner=None)
    assert files.stat("file").uid == os.getuid()
    with pytest.raises(RefusedError):
        files.add(top / "two", "/")


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tarkit.rootfs.writable.filesystem import WritableFileSystem
from tests.rootfs.chains import files_of
files = WritableFileSystem(files_of([]), Path({path!r}))
for number in range(10**6):
    files.write(f"f{{number}}", b"%d" % number * 500)
    print(number, flush=True)
"""


@pytest.mark.parametrize("moment", [0, 7, 100])
def test_a_killed_process_loses_nothing_that_it_reported(tmp_path: Path, moment: int) -> None:
    root = Path(__file__).parent.parent.parent
    script = KILLED.format(root=str(root), path=str(tmp_path / "staged"))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        reported = [int(process.stdout.readline()) for _ in range(moment + 1)]
        process.kill()
        reported += map(int, process.stdout.read().splitlines(keepends=False)[:-1])
    with reopened(files_of([]), tmp_path) as files:
        for number in reported:
            assert files.read_bytes(f"f{number}") == b"%d" % number * 500


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")
def test_staged_changes_on_a_read_only_mount_can_be_read(base: FileSystem, tmp_path: Path) -> None:
    with reopened(base, tmp_path) as files:
        files.write("new", b"data")
    staged = tmp_path / "staged"
    subprocess.run(["mount", "--bind", staged, staged], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", staged], check=True)
        with reopened(base, tmp_path) as files:
            assert files.read_bytes("new") == b"data"
            with pytest.raises(RefusedError, match="read-only"):
                files.write("x", b"")
            with pytest.raises(RefusedError, match="read-only"):
                files.remove("x")
            assert files.read_bytes("x") == b"x"
    finally:
        subprocess.run(["umount", staged], check=True)
