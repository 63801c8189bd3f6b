"""Trees for images, and the expected content of their mounted file systems."""

from __future__ import annotations

import hashlib
import os
import stat
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tarkit.ext4 import Ext4Node, Ext4Options, Ext4Result, Ext4Writer

DIRECTORY = stat.S_IFDIR | 0o755
REGULAR = stat.S_IFREG | 0o644
LINK = stat.S_IFLNK | 0o777

LOST_AND_FOUND = b"lost+found"


@dataclass(slots=True)
class Tree:
    """A tree whose files' data is not stored yet."""

    root: Ext4Node = field(default_factory=lambda: Ext4Node(mode=DIRECTORY))
    data: dict[Ext4Node, bytes] = field(default_factory=dict)

    def file(self, data: bytes = b"", mode: int = REGULAR, mtime: int = 0) -> Ext4Node:
        """Return a new regular file without a name."""
        node = Ext4Node(mode=mode, mtime=mtime)
        self.data[node] = data
        return node

    def write(self, path: Path, options: Ext4Options | None = None) -> Ext4Result:
        """Write an image of the tree to *path*."""
        with Ext4Writer.open(path, options) as fs:
            for node, data in self.data.items():
                node.contents = fs.store([data], len(data))
            return fs.finish(self.root)


def directory(children: Mapping[bytes, Ext4Node]) -> Ext4Node:
    """Return an ordinary directory of *children*."""
    return Ext4Node(mode=DIRECTORY, children=children)


def every_kind() -> Tree:
    """Return a small tree with every kind of inode."""
    tree = Tree()
    linked = tree.file(b"one inode, two names\n")
    owned = tree.file(b"owned", mode=stat.S_IFREG | 0o6711, mtime=1_234_567_890_123_456_789)
    owned.uid, owned.gid = 70_000, 4_000_000_000
    fitted = tree.file()
    fitted.xattrs = {b"security.capability": struct.pack("<5I", 0x02000001, 0x400, 0, 0, 0)}
    crowded = tree.file()
    crowded.xattrs = {b"user.%03d" % size: bytes([size]) * size for size in range(70)}
    protected = tree.file()
    protected.xattrs = {b"system.posix_acl_access": acl(), b"trusted.empty": b""}
    guarded = directory({b"inside": tree.file()})
    guarded.xattrs = {b"system.posix_acl_default": acl()}
    tree.root = directory(
        {
            b"empty": tree.file(),
            b"one byte": tree.file(b"\n"),
            b"one block": tree.file(b"B" * 4096),
            b"several blocks": tree.file(bytes(range(256)) * 100),
            b"hard": linked,
            b"links": directory({b"hard too": linked}),
            b"owned": owned,
            b"fitted": fitted,
            b"crowded": crowded,
            b"protected": protected,
            b"guarded": guarded,
            b"short": Ext4Node(mode=LINK, target=b"one byte"),
            b"59": Ext4Node(mode=LINK, target=b"t" * 59),
            b"60": Ext4Node(mode=LINK, target=b"t" * 60, xattrs={b"trusted.on": b"a link"}),
            b"4095": Ext4Node(mode=LINK, target=b"t" * 4095),
            b"fifo": Ext4Node(mode=stat.S_IFIFO | 0o600),
            b"socket": Ext4Node(mode=stat.S_IFSOCK | 0o755),
            b"null": Ext4Node(mode=stat.S_IFCHR | 0o666, major=1, minor=3),
            b"disk": Ext4Node(mode=stat.S_IFBLK | 0o660, major=259, minor=70_000),
            b"n" * 255: tree.file(b"long name"),
            b"\xff\xfe \x01\n": tree.file(b"no text"),
            "größe".encode(): directory({}),
        }
    )
    return tree


def acl() -> bytes:
    """Return an access control list in Linux's form, with entries for a user and a group."""
    none = 0xFFFFFFFF
    entries = [(1, 6, none), (2, 4, 1000), (4, 4, none), (8, 7, 2000), (16, 7, none), (32, 0, none)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


@dataclass(frozen=True, slots=True)
class Seen:
    """The visible properties of a path; ``first`` is the first path of the same inode."""

    first: bytes
    mode: int
    owner: tuple[int, int]
    links: int
    times: tuple[int, int, int]
    device: tuple[int, int]
    target: bytes
    xattrs: tuple[tuple[bytes, bytes], ...]
    size: int
    digest: str


def expected(tree: Tree) -> dict[bytes, Seen]:
    """Return the expected content of a mounted image of *tree*."""
    nodes = dict(_nodes(tree.root, b""))
    links: dict[Ext4Node, list[bytes]] = {}
    for path, node in nodes.items():
        links.setdefault(node, []).append(path)
    return {path: _expected(tree, node, links[node]) for path, node in nodes.items()}


def _nodes(node: Ext4Node, path: bytes) -> Iterator[tuple[bytes, Ext4Node]]:
    yield path, node
    for name, child in sorted(node.children.items()):
        if path or name != LOST_AND_FOUND:
            yield from _nodes(child, path + b"/" + name)


def _expected(tree: Tree, node: Ext4Node, paths: list[bytes]) -> Seen:
    links = len(paths)
    if node.is_directory:
        links = 2 + sum(child.is_directory for child in node.children.values())
        links += paths == [b""] and LOST_AND_FOUND not in node.children
    body = tree.data.get(node, b"")
    return Seen(
        first=min(paths),
        mode=node.mode,
        owner=(node.uid, node.gid),
        links=links if links <= 65_000 else 1,
        times=(_told(node.mtime),) * 3,
        device=(node.major, node.minor),
        target=node.target,
        xattrs=tuple(sorted(node.xattrs.items())),
        size=len(body or node.target),
        digest=hashlib.sha256(body).hexdigest() if stat.S_ISREG(node.mode) else "",
    )


def _told(time: int) -> int:
    """Return the nearest storable time; three ranges of times cannot be stored."""
    if 10_737_418_240 <= time // 10**9 < 12_884_901_888:
        return 10_737_418_240 * 10**9 - 1
    return min(max(time, -2_147_483_648 * 10**9), 15_032_385_536 * 10**9 - 1)


def seen(root: Path) -> dict[bytes, Seen]:
    """Return the content of the file system mounted at *root*, without its lost+found."""
    first: dict[int, bytes] = {}
    found = {path: _seen(os.fsencode(root) + path, path, first) for path in _paths(root)}
    return dict(sorted(found.items()))


def _paths(root: Path) -> list[bytes]:
    base = os.fsencode(root)
    paths = [b""]
    for where, directories, files in os.walk(base):
        if where == base and LOST_AND_FOUND in directories:
            directories.remove(LOST_AND_FOUND)
        paths += [(where + b"/" + name)[len(base) :] for name in directories + files]
    return sorted(paths)


def _seen(full: bytes, path: bytes, first: dict[int, bytes]) -> Seen:
    status = os.lstat(full)
    is_device = stat.S_ISBLK(status.st_mode) or stat.S_ISCHR(status.st_mode)
    is_link, is_file = stat.S_ISLNK(status.st_mode), stat.S_ISREG(status.st_mode)
    names = os.listxattr(full, follow_symlinks=False)
    xattrs = {os.fsencode(name): os.getxattr(full, name, follow_symlinks=False) for name in names}
    return Seen(
        first=first.setdefault(status.st_ino, path),
        mode=status.st_mode,
        owner=(status.st_uid, status.st_gid),
        links=status.st_nlink,
        times=(status.st_atime_ns, status.st_mtime_ns, status.st_ctime_ns),
        device=(os.major(status.st_rdev), os.minor(status.st_rdev)) if is_device else (0, 0),
        target=os.readlink(full) if is_link else b"",  # noqa: PTH115 - a path of bytes
        xattrs=tuple(sorted(xattrs.items())),
        size=status.st_size if is_link or is_file else 0,
        digest=_digest(full) if is_file else "",
    )


def _digest(full: bytes) -> str:
    with open(full, "rb") as stream:  # noqa: PTH123 - a path of bytes
        return hashlib.file_digest(stream, "sha256").hexdigest()
