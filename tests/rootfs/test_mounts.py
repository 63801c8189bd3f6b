"""Real directories for processes, and the changes made in them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tarkit.errors import LockedError, RefusedError, UsageError
from tarkit.rootfs.filesystem import FileSystem
from tarkit.rootfs.mounts.mounts import Mounts
from tarkit.rootfs.mounts.recorded import RecordedDirectory
from tarkit.rootfs.output.directory import unpack
from tarkit.rootfs.writable.filesystem import WritableFileSystem
from tests.rootfs.chains import difference, files_of
from tests.rootfs.layers import char, directory, file, hard, link, pack
from tests.rootfs.random_changes import Step, change_directory, change_staged, steps
from tests.rootfs.test_layer_writer import facts, listed
from tests.rootfs.trees import Facts, facts_of_directory, facts_of_image

pytestmark = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root to mount and to chown"
)

BASE = [
    directory("d", 0o750, uid=3), file("d/a", "a", uid=4, gid=5), directory("d/sub"), file("d/sub/f", "f"),
    file("x", "x" * 5000, pax={"SCHILY.xattr.user.k": "v", "SCHILY.xattr.security.capability":
        b"\x00\x00\x00\x02".ljust(20, b"\0").decode()}),
    file("h1", "h"), hard("h2", "h1"), link("l", "d"), char("null", 1, 3), file("suid", "s", 0o4755),
]  # fmt: skip


@pytest.fixture(params=["overlay", "copy"])
def mounts(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Mounts:
    """Return mounts of both kinds; overlays that the machine cannot mount are copies, too."""
    if request.param == "copy":
        monkeypatch.setattr(Mounts, "_overlay", lambda *_, **__: False)
    return Mounts(tmp_path / "m:o,u\\nts")


@pytest.fixture
def base() -> FileSystem:
    return files_of(BASE)


@pytest.fixture
def staged(base: FileSystem, tmp_path: Path) -> Iterator[WritableFileSystem]:
    with WritableFileSystem(base, tmp_path / "staged") as files:
        yield files


def comparable(found: Facts) -> Facts:
    """Return *found* without what the kernel changes by itself.

    That is the time of directories, and in overlays the number of names of hard links, whose first
    change makes them separate files.
    """
    return {
        path: {
            key: value
            for key, value in fact.items()
            if key != "nlink" and (key != "mtime_ns" or fact["type"] != "dir")
        }
        for path, fact in found.items()
    }


def changed(
    mounts: Mounts, base: FileSystem, staged: WritableFileSystem, command: str
) -> list[str]:
    """Run *command* in a writable mount; return the names of the layer with its changes."""
    with mounts.mount(base, "key", writable=True) as mounted:
        subprocess.run(command, shell=True, cwd=mounted.path, check=True)
        mounted.capture(staged)
        assert comparable(facts_of_image(staged)) == comparable(facts_of_directory(mounted.path))
    _, data = difference(base, staged)
    assert facts(files_of(pack(BASE), data)) == facts(staged)
    return listed(base, staged)


@pytest.mark.parametrize(
    ("command", "names"),
    [
        ("true", []),
        ("cat x >/dev/null; ls -lR >/dev/null", []),
        ("touch d; touch d/new; rm d/new", []),
        ("echo new > d/a", ["d/", "d/a"]),
        ("rm -r d", [".wh.d"]),
        ("rm -r d; mkdir d", ["d/", "d/.wh.a", "d/.wh.sub"]),
        ("rm -r d; mkdir -p d/sub; echo g > d/sub/g", ["d/", "d/.wh.a", "d/sub/", "d/sub/.wh.f", "d/sub/g"]),
        ("rm -r d; echo file > d", ["d"]),
        ("rm x; mkdir x", ["x/"]),
        ("rm l; mkdir l; echo > l/in", ["l/", "l/in"]),
        ("chown 9:9 x; chmod 600 d/sub", ["d/", "d/sub/", "x"]),
        ("touch -d @5 h1", ["h1"]),
        ("chmod 700 .", []),
        ("mkfifo p; mknod z b 7 8; ln -s nowhere s", ["p", "s", "z"]),
        ("echo 1 > n1; ln n1 n2", ["n1", "n2"]),
        ("setfattr -n user.n -v 1 d/a; setfattr -x user.k x", ["d/", "d/a", "x"]),
        ("sed -i s/a/b/ d/a", ["d/", "d/a"]),
        ("mv d/sub/f moved", [".wh.none"]),
    ],
)  # fmt: skip
def test_changes_become_a_layer(
    mounts: Mounts, base: FileSystem, staged: WritableFileSystem, command: str, names: list[str]
) -> None:
    found = changed(mounts, base, staged, command)
    if command.startswith("touch -d"):  # an overlay copies one name; elsewhere both change
        assert found in (["h1"], ["h1", "h2"])
    elif command.startswith("mv"):
        assert found == ["d/", "d/sub/", "d/sub/.wh.f", "moved"]
    else:
        assert found == names


def test_a_new_name_of_an_unchanged_file(
    mounts: Mounts, base: FileSystem, staged: WritableFileSystem
) -> None:
    assert "y" in changed(mounts, base, staged, "ln x y")
    assert staged.read_bytes("y") == b"x" * 5000


def test_data_that_changes_without_its_time(
    mounts: Mounts, base: FileSystem, staged: WritableFileSystem
) -> None:
    command = "touch -r d/a /tmp/$$; printf b > d/a; touch -r /tmp/$$ d/a; rm /tmp/$$"
    assert changed(mounts, base, staged, command) == ["d/", "d/a"]


@given(steps())
@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_random_changes(
    mounts: Mounts, base: FileSystem, tmp_path: Path, changes: list[Step]
) -> None:
    with (
        WritableFileSystem(base, tmp_path / os.urandom(8).hex()) as staged,
        mounts.mount(base, "key", writable=True) as mounted,
    ):
        for step in changes:
            change_directory(mounted.path, step)
        mounted.capture(staged)
        assert comparable(facts_of_image(staged)) == comparable(facts_of_directory(mounted.path))


@given(steps())
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_staged_changes_are_those_of_the_kernel(
    base: FileSystem, tmp_path: Path, changes: list[Step]
) -> None:
    name = os.urandom(8).hex()
    top = tmp_path / f"{name}.real"
    unpack(base, top)
    with WritableFileSystem(base, tmp_path / name) as staged:
        for step in changes:
            assert change_staged(staged, step) == change_directory(top, step), step
            ours, theirs = facts_of_image(staged), facts_of_directory(top)
            assert without_times(ours) == without_times(theirs), step
        before = facts_of_image(staged)
        with WritableFileSystem(base, tmp_path / name) as again:
            assert facts_of_image(again) == before


def without_times(found: Facts) -> Facts:
    return {path: {**fact, "mtime_ns": 0} for path, fact in found.items()}


def test_a_read_only_mount(mounts: Mounts, base: FileSystem) -> None:
    with mounts.mount(base, "key") as mounted:
        assert facts_of_directory(mounted.path) == facts_of_image(base)
        if mounted.is_overlay:
            with pytest.raises(OSError, match="Read-only"):
                (mounted.path / "new").touch()
        else:
            (mounted.path / "x").unlink()
    with mounts.mount(base, "key") as mounted:
        assert (mounted.path / "x").exists()


def test_staged_changes_can_be_mounted_and_changed_again(
    mounts: Mounts, base: FileSystem, staged: WritableFileSystem
) -> None:
    staged.write("first", b"1")
    staged.remove("d")
    with mounts.mount(staged, writable=True) as mounted:
        assert (mounted.path / "first").read_text() == "1"
        (mounted.path / "second").write_text("2")
        (mounted.path / "first").write_text("1+")
        mounted.capture(staged)
    assert listed(base, staged) == [".wh.d", "first", "second"]


def test_an_unpacked_directory_is_kept_and_can_be_discarded(
    base: FileSystem, tmp_path: Path
) -> None:
    mounts = Mounts(tmp_path / "mounts")
    with mounts.mount(base, "sha256:1") as mounted:
        if not mounted.is_overlay:
            pytest.skip("no overlays here")
        with pytest.raises(LockedError):
            mounts.discard("sha256:1")
        inode = (tmp_path / "mounts/trees/sha256:1/x").stat().st_ino
    with mounts.mount(base, "sha256:1", writable=True) as mounted:
        (mounted.path / "x").write_text("changed")
        assert (tmp_path / "mounts/trees/sha256:1/x").stat().st_ino == inode
        assert (tmp_path / "mounts/trees/sha256:1/x").read_text() == "x" * 5000
    assert mounts.keys() == ["sha256:1"]
    mounts.discard("sha256:1")
    mounts.discard("sha256:1")
    assert mounts.keys() == []
    with pytest.raises(UsageError, match="key"), mounts.mount(base, "../x"):
        pass


@pytest.mark.parametrize("failure", [KeyboardInterrupt, OSError])
def test_everything_is_removed_after_a_failure(
    mounts: Mounts, base: FileSystem, tmp_path: Path, failure: type[BaseException]
) -> None:
    with pytest.raises(failure), mounts.mount(base, writable=True):
        raise failure
    assert left(tmp_path) == []


def left(tmp_path: Path) -> list[str]:
    """Return the entries of ``active``, and what is mounted below *tmp_path*."""
    table = Path("/proc/self/mounts").read_text()
    mounted = [line for line in table.splitlines() if str(tmp_path) in line]
    return mounted + os.listdir(next(tmp_path.glob("*/active")))  # noqa: PTH208


KILLED = """
import sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.rootfs.chains import files_of
from tests.rootfs.layers import file
from tarkit.rootfs.mounts.mounts import Mounts
with Mounts(Path({path!r})).mount(files_of([file("x")]), {key!r}, writable=True) as mounted:
    (mounted.path / "y").touch()
    print("mounted", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("key", ["key", None])
def test_what_a_killed_process_left_is_removed(tmp_path: Path, key: str | None) -> None:
    root = Path(__file__).parent.parent.parent
    script = KILLED.format(root=str(root), path=str(tmp_path / "mounts"), key=key)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"mounted\n"
        mounts = Mounts(tmp_path / "mounts")
        mounts.sweep()
        assert len(left(tmp_path)) >= 1  # a living process keeps its mount
        process.send_signal(signal.SIGKILL)
        process.wait()
    mounts.sweep()
    assert left(tmp_path) == []


def test_hostile_layers_do_not_escape(mounts: Mounts, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    canary.mkdir()
    (canary / "file").write_text("unharmed")
    before = facts_of_directory(canary)
    target = str(canary)
    hostile = files_of(
        [
            link("out", target), file("out/file", "broken"), file("../../../canary/file", "broken"),
            file(f"{target}/file", "broken"), link("up", "../../../../.."), file(f"up{target}/file", "b"),
            link("s", "out"), file("s/new", "x"), file("out/.wh.file"),
        ],
        [file("out/.wh..wh..opq"), directory("out"), file("out/x")],
    )  # fmt: skip
    with (
        WritableFileSystem(hostile, tmp_path / "staged") as staged,
        mounts.mount(hostile, writable=True) as mounted,
    ):
        (mounted.path / "link").symlink_to(target)
        (mounted.path / "out/x").unlink()
        (mounted.path / "out").rmdir()
        (mounted.path / "out").symlink_to(target)
        mounted.capture(staged)
        assert staged.stat("out", follow=False).target == target
        with mounts.mount(staged, writable=True) as again:
            again.capture(staged)
    assert facts_of_directory(canary) == before
    assert left(tmp_path) == []


def test_names_that_no_layer_can_have_and_sockets(
    mounts: Mounts, base: FileSystem, staged: WritableFileSystem
) -> None:
    with mounts.mount(base, writable=True) as mounted:
        with socket.socket(socket.AF_UNIX) as listener:
            before = Path.cwd()
            os.chdir(mounted.path)
            listener.bind("socket")
            os.chdir(before)
        mounted.capture(staged)
        assert listed(base, staged) == []
        (mounted.path / ".wh.x").touch()
        with pytest.raises(RefusedError, match=r"\.wh\."):
            mounted.capture(staged)


def test_a_record_of_attributes(base: FileSystem, tmp_path: Path) -> None:
    unpack(base, tmp_path / "top")
    recorded = RecordedDirectory.of(tmp_path / "top")
    recorded.save(tmp_path / "attributes")
    assert RecordedDirectory.load(tmp_path / "attributes").attributes == recorded.attributes
    (tmp_path / "attributes").write_text("[]\n")
    with pytest.raises(Exception, match="record of attributes"):
        RecordedDirectory.load(tmp_path / "attributes")
