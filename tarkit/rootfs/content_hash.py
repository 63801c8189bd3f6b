"""Digests of the content of paths, equal to those of BuildKit's ``contenthash``.

They cover names, modes, owners, extended attributes, link targets and data, but no times. The digest
of a directory covers everything below. BuildKit hashes the numbers of devices as 0, and so does this.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import field

from tarkit.image.digest import Digest
from tarkit.rootfs.filesystem import FileSystem
from tarkit.rootfs.trail import Directory, Value
from tarkit.streams.chunks import chunks_of
from tarkit.tar.listing import Listing
from tarkit.tar.member import Member, MemberType
from tarkit.values import dataclass

_CAPABILITY = b"security.capability"
_UNHASHED = (b"security.", b"system.")


@dataclass(slots=True)
class KnownDigests:
    """Digests that were computed before, as text: of directories, and of files by listing and position.

    It may be used for all forks of one tree: directories that did not change keep their digests.
    """

    directories: dict[Directory, bytes] = field(default_factory=dict)
    files: dict[Listing, dict[int, bytes]] = field(default_factory=dict)


class TreeDigests:
    """Computes the digests of inodes of *files*, and remembers them in *known*.

    The digests are of the tree as it is now. Later changes of *files* do not reach them.
    """

    def __init__(self, files: FileSystem, known: KnownDigests | None = None) -> None:
        self._contents = files.contents
        self._known = KnownDigests() if known is None else known
        # after a fork, every change copies the directory, so a known digest stays right
        self.tree = files.tree.fork()

    def digest(self, value: Value) -> bytes:
        """Return the digest of *value*: that of a directory covers everything below."""
        self._read_files(value)
        return self._of_directory(value) if isinstance(value, Directory) else self.header(value)

    def remember(self, value: Value, digest: bytes) -> None:
        """Note the digest of a file, or of the metadata of a directory, as :meth:`header` returns it."""
        row = value if isinstance(value, int) else value.row
        first, _, listing = self.tree.table.part(row)
        self._known.files.setdefault(listing, {})[row - first] = digest

    def header(self, value: Value) -> bytes:
        """Return the digest of a file, or of the metadata of a directory."""
        table = self.tree.table
        row = value if isinstance(value, int) else value.row
        first, _, listing = table.part(row)
        known = self._known.files.setdefault(listing, {})
        digest = known.get(row - first)
        if digest is None:
            digest = known[row - first] = self._computed(row)
        return digest

    def _computed(self, row: int) -> bytes:
        member = self.tree.table.nameless(row)
        hasher = entry_hasher(member)
        if member.type is MemberType.FILE:
            with self._contents.open(self.tree.node(row)) as stream:
                for chunk in chunks_of(stream):
                    hasher.update(chunk)
        return _text(hasher.digest())

    def _read_files(self, top: Value) -> None:
        """Compute the digests of all files below *top* in the order of their data."""
        if isinstance(top, int):
            return
        rows = []
        pending = [top]
        while pending:
            directory = pending.pop()
            if directory in self._known.directories:
                continue
            for value in directory.entries.values():
                if isinstance(value, int):
                    rows.append(value)
                else:
                    pending.append(value)
        for row in sorted(rows):
            self.header(row)

    def _of_directory(self, top: Directory) -> bytes:
        """Return the digest of *top*; not recursive, because trees may be deep."""
        known = self._known.directories
        pending = [top]
        while pending:
            directory = pending[-1]
            below = [each for each in directory.entries.values() if isinstance(each, Directory)]
            unknown = [each for each in below if each not in known]
            if unknown and directory not in known:
                pending += unknown
                continue
            pending.pop()
            if directory not in known:
                known[directory] = self._joined(directory)
        return known[top]

    def _joined(self, directory: Directory) -> bytes:
        hasher = hashlib.sha256(b"\0" + self.header(directory))
        for name, value in sorted(directory.entries.items(), key=_first):
            known = self._known.directories
            digest = self.header(value) if isinstance(value, int) else known[value]
            hasher.update(b"\0" + name + digest)
        return _text(hasher.digest())


def entry_hasher(member: Member) -> hashlib._Hash:
    """Return the hash of an entry before its data, which is to be added if it is a file."""
    return hashlib.sha256(_header(member))


def digest_text(hasher: hashlib._Hash) -> bytes:
    """Return the digest of an entry in the form that trees of digests use."""
    return _text(hasher.digest())


def _header(member: Member) -> bytes:
    """Return what is hashed before the data: keys and values without separators."""
    is_link = member.type is MemberType.SYMLINK
    fields = (
        (b"name", b""),
        (b"mode", b"%d" % (0o777 if is_link else member.mode)),
        (b"uid", b"%d" % member.uid),
        (b"gid", b"%d" % member.gid),
        (b"size", b"%d" % (member.size if member.type is MemberType.FILE else 0)),
        (b"typeflag", member.type.value),
        (b"linkname", member.linkname if is_link else b""),
        (b"uname", b""),
        (b"gname", b""),
        (b"devmajor", b"0"),
        (b"devminor", b"0"),
        *_hashed(member.xattrs),
    )
    return b"".join(key + value for key, value in fields)


def _hashed(xattrs: Mapping[bytes, bytes]) -> Iterator[tuple[bytes, bytes]]:
    for key in sorted(xattrs):
        if key == _CAPABILITY or not key.startswith(_UNHASHED):
            yield key, xattrs[key]


def _text(digest: bytes) -> bytes:
    return str(Digest("sha256", digest.hex())).encode("ascii")


def _first(pair: tuple[bytes, Value]) -> bytes:
    return pair[0]
