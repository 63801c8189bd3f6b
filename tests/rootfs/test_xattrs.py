"""Which extended attributes are kept; tests/conformance compares with the kernel."""

from __future__ import annotations

import pytest

from tarkit.rootfs.output.xattrs import sort_xattrs
from tarkit.tar.member import Member, MemberType
from tests.rootfs.xattrs import ENTRIES, NOBODY, acl, capability

ACCESS, DEFAULT = b"system.posix_acl_access", b"system.posix_acl_default"
KINDS = {
    "file": MemberType.FILE,
    "directory": MemberType.DIRECTORY,
    "link": MemberType.SYMLINK,
    "fifo": MemberType.FIFO,
    "char": MemberType.CHAR,
    "block": MemberType.BLOCK,
}


def fate(kind: str, name: bytes, value: bytes) -> str:
    kept, lost = sort_xattrs(Member(b"x", KINDS[kind], xattrs={name: value}))
    assert not (kept and lost)
    return "kept" if kept else "lost" if lost else "nothing"


@pytest.mark.parametrize(
    ("name", "value", "kinds"),
    [
        (b"user.a", b"1", "file directory"),
        (b"trusted.a", b"1", " ".join(KINDS)),
        (b"security.a", b"1", " ".join(KINDS)),
        (b"security.capability", capability(), " ".join(KINDS)),
        (ACCESS, acl(), "file directory fifo char block"),
        (DEFAULT, acl(), "directory"),
    ],
)
def test_the_file_type_decides(name: bytes, value: bytes, kinds: str) -> None:
    expected = {kind: "kept" if kind in kinds.split() else "lost" for kind in KINDS}
    assert {kind: fate(kind, name, value) for kind in KINDS} == expected


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [ACCESS, DEFAULT])
@pytest.mark.parametrize("value", [b"", acl([])])
def test_an_empty_acl_counts_as_absent(kind: str, name: bytes, value: bytes) -> None:
    assert fate(kind, name, value) == "nothing"


OWNER, USER, GROUP, MASK, OTHER = ENTRIES


@pytest.mark.parametrize(
    "value",
    [
        acl(version=1),
        acl(version=3),
        acl([], version=1),
        acl()[:-1],
        acl() + b"\0",
        b"\2\0",
        acl([OWNER, GROUP]),
        acl([OTHER, GROUP, OWNER]),
        acl([OWNER, USER, GROUP, OTHER]),
        acl([OWNER, (2, 4, NOBODY), GROUP, MASK, OTHER]),
        acl([OWNER, (4, 8, NOBODY), OTHER]),
        acl([OWNER, GROUP, OTHER, (64, 0, 0)]),
        acl([OWNER, GROUP, (0x120, 0, NOBODY)]),
    ],
)
def test_invalid_acls_are_lost(value: bytes) -> None:
    assert fate("directory", ACCESS, value) == fate("directory", DEFAULT, value) == "lost"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (capability(2, 5), "kept"),
        (capability(2, 5, flags=0), "kept"),
        (capability(3, 6), "kept"),
        (capability(1, 3), "lost"),
        (capability(2, 6), "lost"),
        (capability(3, 5), "lost"),
        (capability(2, 5, flags=3), "lost"),
        (b"", "lost"),
    ],
)
def test_capabilities_must_have_a_known_version(value: bytes, expected: str) -> None:
    assert fate("file", b"security.capability", value) == expected


def test_valid_attributes_are_kept_beside_lost_ones() -> None:
    xattrs = {b"user.a": b"1", b"trusted.a": b"2", ACCESS: acl([])}
    assert sort_xattrs(Member(b"x", MemberType.FIFO, xattrs=xattrs)) == ({b"trusted.a": b"2"}, True)
