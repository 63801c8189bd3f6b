from __future__ import annotations

import stat

import pytest

from tarkit.errors import TarkitError, UnsafePathError, UnsupportedError
from tarkit.ext4.directory import Name
from tarkit.ext4.inventory import Inventory
from tarkit.ext4.node import Ext4Node, FileExtents, NodeTree
from tests.ext4.trees import DIRECTORY, LINK, REGULAR, directory

TIME = 1_000_000_000


def inventory_of(root: Ext4Node, time: int) -> Inventory:
    return Inventory(NodeTree(root), time)


def test_inodes_are_numbered_in_the_order_of_names() -> None:
    one, two = Ext4Node(mode=REGULAR), Ext4Node(mode=REGULAR)
    inventory = inventory_of(directory({b"z": directory({b"1": one}), b"a": two, b"b": one}), TIME)
    assert inventory.names(0) == [
        Name(b"a", 12, 1),
        Name(b"b", 13, 1),
        Name(b"lost+found", 11, 2),
        Name(b"z", 14, 2),
    ]
    assert inventory.names(4) == [Name(b"1", 13, 1)]
    assert [inventory.inode(i) for i in range(5)] == [2, 11, 12, 13, 14]
    assert [inventory.links(i) for i in range(5)] == [4, 2, 1, 2, 2]
    assert [inventory.parent(i) for i in range(5)] == [2, 2, 2, 2, 2]
    assert [inventory.path(i) for i in (0, 1, 4)] == ["/", "/lost+found", "/z"]
    assert inventory.last_inode == 14


def test_an_existing_lost_and_found_is_kept() -> None:
    own = Ext4Node(mode=stat.S_IFDIR | 0o711, mtime=5)
    root = directory({b"a": Ext4Node(mode=REGULAR), b"lost+found": own})
    assert inventory_of(root, TIME).node(1) is own
    assert inventory_of(directory({}), TIME).node(1).mtime == TIME


def test_a_directory_with_too_many_subdirectories_has_one_link() -> None:
    children = {b"%d" % i: directory({}) for i in range(64_998)}
    assert inventory_of(directory({b"d": directory(children)}), TIME).links(2) == 65_000
    children[b"more"] = directory({})
    assert inventory_of(directory({b"d": directory(children)}), TIME).links(2) == 1


def test_the_tree_is_not_modified() -> None:
    children = {b"a": Ext4Node(mode=REGULAR)}
    root = directory(children)
    inventory_of(root, TIME)
    assert root.children is children
    assert list(children) == [b"a"]


LOOP: dict[bytes, Ext4Node] = {}
LOOP[b"self"] = directory(LOOP)
TWICE = directory({})
MANY = Ext4Node(mode=REGULAR)


@pytest.mark.parametrize(
    ("children", "kind", "message"),
    [
        ({b"a/b": Ext4Node(mode=REGULAR)}, UnsafePathError, r"/d: b'a/b' cannot be a file's name"),
        ({b"a\0": Ext4Node(mode=REGULAR)}, UnsafePathError, "cannot be"),
        ({b"": Ext4Node(mode=REGULAR)}, UnsafePathError, "cannot be"),
        ({b".": Ext4Node(mode=REGULAR)}, UnsafePathError, "cannot be"),
        ({b"..": directory({})}, UnsafePathError, "cannot be"),
        ({b"n" * 256: Ext4Node(mode=REGULAR)}, UnsupportedError, "256 bytes is longer than 255"),
        ({b"a": TWICE, b"b": TWICE}, UnsupportedError, "/d/a: a directory with two names"),
        (LOOP, UnsupportedError, "two names"),
        ({b"%d" % i: MANY for i in range(65_001)}, UnsupportedError, "65001 hard links"),
        ({b"a": Ext4Node(mode=0o644)}, UnsupportedError, "/d/a: mode 0o644 has no valid file type"),
        ({b"a": Ext4Node(mode=REGULAR | 1 << 16)}, UnsupportedError, "no valid file type"),
        ({b"a": Ext4Node(mode=REGULAR, uid=2**32 - 1)}, UnsupportedError, "owner 4294967295:0"),
        ({b"a": Ext4Node(mode=REGULAR, gid=-1)}, UnsupportedError, "owner 0:-1"),
        ({b"a": Ext4Node(mode=LINK)}, UnsupportedError, "0 bytes"),
        ({b"a": Ext4Node(mode=LINK, target=b"t" * 4096)}, UnsupportedError, "4096 bytes"),
        ({b"a": Ext4Node(mode=LINK, target=b"a\0b")}, UnsupportedError, "NUL"),
        ({b"a": Ext4Node(mode=stat.S_IFCHR, major=4096)}, UnsupportedError, "device 4096:0"),
        ({b"a": Ext4Node(mode=stat.S_IFBLK, minor=2**20)}, UnsupportedError, "device 0:1048576"),
        (
            {b"a": Ext4Node(mode=DIRECTORY, contents=FileExtents(0, ()))},
            UnsupportedError,
            "not a regular",
        ),
        (
            {b"a": Ext4Node(mode=REGULAR, contents=FileExtents(2**44, ()))},
            UnsupportedError,
            "16 TiB",
        ),
    ],
)
def test_invalid_nodes_are_refused(
    children: dict[bytes, Ext4Node], kind: type[TarkitError], message: str
) -> None:
    with pytest.raises(kind, match=message):
        inventory_of(directory({b"d": directory(children)}), TIME)


def test_invalid_roots_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="root"):
        inventory_of(Ext4Node(mode=REGULAR), TIME)
    with pytest.raises(UnsupportedError, match=r"/lost\+found: not a directory"):
        inventory_of(directory({b"lost+found": Ext4Node(mode=REGULAR)}), TIME)
