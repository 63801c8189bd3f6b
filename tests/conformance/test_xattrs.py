"""Extended attributes that the kernel accepts, and those that each output keeps."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tarkit.artifacts.build import build_ext4
from tarkit.ext4 import Ext4Node, Ext4Options, Ext4Writer
from tarkit.rootfs.output.directory import write_directory
from tarkit.rootfs.output.mkfs import write_squashfs
from tarkit.rootfs.output.xattrs import sort_xattrs
from tarkit.tar.member import Member, MemberType
from tests.conformance.ext4_images import MIB, check, mounted
from tests.conformance.tools import Tool
from tests.rootfs.layers import Item, block, char, directory, fifo, file, link, pack, source_of
from tests.rootfs.xattrs import NOBODY, acl, attributed, capability

ACLS = ["system.posix_acl_access", "system.posix_acl_default"]
KINDS = {
    "file": MemberType.FILE,
    "directory": MemberType.DIRECTORY,
    "link": MemberType.SYMLINK,
    "fifo": MemberType.FIFO,
    "char": MemberType.CHAR,
    "block": MemberType.BLOCK,
}


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a mounted filesystem with a file of every kind."""
    image = tmp_path_factory.mktemp("xattrs") / "disk.ext4"
    with Ext4Writer.open(image, Ext4Options(size=16 * MIB)) as fs:
        fs.finish(Ext4Node(mode=stat.S_IFDIR | 0o755))
    with mounted(image) as place:
        (place / "file").touch()
        (place / "directory").mkdir()
        (place / "link").symlink_to("target")
        os.mkfifo(place / "fifo")
        os.mknod(place / "char", stat.S_IFCHR | 0o600, os.makedev(1, 3))
        os.mknod(place / "block", stat.S_IFBLK | 0o600, os.makedev(7, 200))
        yield place


def is_taken(path: Path, name: str, value: bytes) -> bool:
    """Return whether Linux accepts the attribute and, unless it is an empty list, returns it."""
    try:
        os.setxattr(path, name, value, follow_symlinks=False)
        if name not in ACLS:
            os.getxattr(path, name, follow_symlinks=False)
    except OSError:
        return False
    finally:
        if name in os.listxattr(path, follow_symlinks=False):
            os.removexattr(path, name, follow_symlinks=False)
    return True


tags = st.sampled_from([1, 2, 2, 4, 8, 16, 32, 64, 3])
entries = st.lists(
    st.tuples(tags, st.integers(0, 8), st.sampled_from([0, 1000, NOBODY])), max_size=7
)
ordered = entries.map(sorted)
minimal = st.just([(1, 6, NOBODY), (4, 4, NOBODY), (32, 0, NOBODY)])
masked = ordered.map(lambda some: sorted([(1, 6, 0), (4, 4, 0), (16, 7, 0), (32, 0, 0), *some]))
acls = (entries | ordered | minimal | masked).map(acl)
capabilities = st.builds(capability, st.integers(0, 4), st.integers(2, 7), st.integers(0, 3))
values = (
    st.tuples(st.sampled_from(ACLS), acls)
    | st.tuples(st.just("security.capability"), capabilities | st.just(b""))
    | st.tuples(st.sampled_from(["user.a", "trusted.a", "security.a"]), st.binary(max_size=9))
)


@settings(max_examples=500, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(list(KINDS)), attribute=values)
def test_linux_takes_what_is_kept(disk: Path, kind: str, attribute: tuple[str, bytes]) -> None:
    name, value = attribute
    member = Member(b"x", KINDS[kind], xattrs={name.encode(): value})
    kept, lost = sort_xattrs(member)
    if kept or lost:
        assert is_taken(disk / kind, name, value) == bool(kept)
    else:
        assert value in (b"", acl([]))


def layer() -> list[Item]:
    """Return one file of every kind, each with attributes of every kind."""
    bare = [directory("d"), file("f"), link("l", "f"), fifo("p"), char("c", 1, 3), block("b", 7, 9)]
    text = {
        name: value.decode("utf-8", "surrogateescape")
        for name, value in (("cap", capability()), ("acl", acl()))
    }
    xattrs = {
        "user__a": "1",
        "trusted__a": "2",
        "security__a": "3",
        "security__capability": text["cap"],
        "system__posix_acl_access": text["acl"],
        "system__posix_acl_default": text["acl"],
    }
    return [attributed(replace(item, mode=0o644), **xattrs) for item in bare]


def shown(place: Path) -> dict[str, dict[str, bytes]]:
    """Return all attributes that Linux lists below *place*; it must return the value of each."""
    return {
        name: {
            each: os.getxattr(place / name, each, follow_symlinks=False)
            for each in os.listxattr(place / name, follow_symlinks=False)
        }
        for name in "dflpcb"
    }


def test_every_output_keeps_the_same(require_tool: Callable[[str], Tool], tmp_path: Path) -> None:
    mount, umount = require_tool("mount"), require_tool("umount")
    require_tool("mksquashfs")
    with source_of(tmp_path, pack(layer())) as source:
        unpacked = write_directory(source, tmp_path / "out")
        built = build_ext4(source, tmp_path / "out.ext4")
        squashed = write_squashfs(source, tmp_path / "out.squashfs")
    note = "extended attributes of {} entries were not kept"
    assert unpacked.notes == built.notes == (note.format(5),)
    assert note.format(6) in squashed.notes  # squashfs has no access control lists
    expected = shown(tmp_path / "out")
    assert set(expected["d"]) == set(expected["f"]) | {"system.posix_acl_default"}
    assert set(expected["l"]) == {"trusted.a", "security.a", "security.capability"}
    check(tmp_path / "out.ext4")
    with mounted(tmp_path / "out.ext4", "ro") as place:
        assert shown(place) == expected
    (tmp_path / "place").mkdir()
    mount("-o", "loop,ro", tmp_path / "out.squashfs", tmp_path / "place")
    try:
        squashfs = shown(tmp_path / "place")
    finally:
        umount(tmp_path / "place")
    for name, xattrs in expected.items():
        assert squashfs[name] == {k: v for k, v in xattrs.items() if not k.startswith("system.")}
