"""Write one layer as a deterministic tar that needs no other layer to be unpacked.

Every path is resolved inside the image below, so no entry leads through a symbolic link of a lower
layer. All parent directories are listed, with their metadata in the image; hard links refer to
files of the same layer; an opaque marker becomes one whiteout for each hidden entry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

from tarkit.errors import LimitExceededError, UnsafePathError, UnsupportedError
from tarkit.rootfs.layer_data import LayerData
from tarkit.rootfs.merge import Merger
from tarkit.rootfs.names import OPAQUE, WHITEOUT, Parts, hidden_name, is_private, path_of, split
from tarkit.rootfs.overlay.context import OverlayContext
from tarkit.streams.codecs import SNIFF_SIZE, decompress, detect
from tarkit.streams.files import open_regular
from tarkit.tar.member import Member, MemberType
from tarkit.tar.reader import TarReader
from tarkit.tar.writer import Data, TarWriter
from tarkit.values import replace

Change = Callable[["LayerWriter"], None]
"""Writes the entries of one layer."""


class LayerWriter(OverlayContext):
    """Writes the changes made through it to the tar *file*, and applies them to *merger*'s tree.

    Unless *keep_times*, all times are ``SOURCE_DATE_EPOCH``, or 0 if it is not set.
    """

    def __init__(
        self, contents: LayerData, merger: Merger, file: BinaryIO, *, keep_times: bool
    ) -> None:
        super().__init__(contents, merger)
        self._keep_times = keep_times
        self._writer = TarWriter(file, where="the new layer")
        self._listed: set[bytes] = set()

    def close(self) -> None:
        """End the tar."""
        self._writer.close()

    def _apply(self, member: Member, data: bytes | Path = b"") -> None:
        path = self._real(split(member.name))
        super()._apply(member, data)
        if not member.stored:
            self._write(path, member)
            return
        with self._contents.open(self._tree.find(path, follow=False)) as stream:
            self._write(path, member, stream)

    def add(self, member: Member, data: Iterator[memoryview]) -> None:
        """Add *member* of another layer with its *data*."""
        parts = split(member.name)
        if parts and is_private(parts):
            return  # metadata of AUFS
        hidden = hidden_name(parts)
        if hidden is not None:
            self._hide_in(parts[:-1], hidden)
            return
        path = self._real(parts)
        super()._apply(replace(member, stored=0))
        self._write(path, member, data if member.stored else b"")

    def _hide_in(self, directory: Parts, name: bytes) -> None:
        """Hide *name*, or everything if it is ``OPAQUE``, that the layers below have in *directory*."""
        try:
            if any(self._is_new_link(directory[: depth + 1]) for depth in range(len(directory))):
                return  # it replaces everything that the layers below have there
            node = self._tree.get(directory)
        except (UnsafePathError, LimitExceededError):  # links lead nowhere
            return
        children = (node.children if node else None) or {}
        real = self._tree.real_parts(directory)
        for hidden in sorted(children) if name == OPAQUE else [name] if name in children else []:
            self._hide([*real, hidden])

    def _is_new_link(self, parts: Parts) -> bool:
        """Return True if *parts* is a symbolic link of this layer."""
        path = self._real(parts)
        node = self._tree.get(path, follow=False) if b"/".join(path) in self._listed else None
        return node is not None and node.type is MemberType.SYMLINK

    def _hide(self, path: Parts) -> None:
        if b"/".join(path) in self._listed:  # this layer's own entry, but perhaps not its contents
            self._hide_in(path, OPAQUE)
        else:
            self._apply(Member(b"/".join([*path[:-1], WHITEOUT + path[-1]])))

    def _real(self, parts: Parts) -> Parts:
        """Return *parts* with all links followed except at the end."""
        return [*self._tree.real_parts(parts[:-1]), *parts[-1:]]

    def _write(self, path: Parts, member: Member, data: Data = b"") -> None:
        for depth in range(1, len(path)):
            self._list_parent(path[:depth])
        if member.type is MemberType.HARDLINK:
            member = replace(member, linkname=self._target(member, path))
        self._put_entry(path, member, data)

    def _target(self, link: Member, path: Parts) -> bytes:
        """Return the path of the file that *link* at *path* refers to."""
        target = b"/".join(self._real(split(link.linkname)))
        if target not in self._listed:
            raise UnsupportedError(
                f"hard link to {path_of([target])}, which is not in the same layer",
                where=path_of(path),
            )
        return target

    def _list_parent(self, path: Parts) -> None:
        if b"/".join(path) not in self._listed:
            self._put_entry(path, self._tree.find(path, follow=False).member)

    def _put_entry(self, path: Parts, member: Member, data: Data = b"") -> None:
        name = b"/".join(path)
        self._listed.add(name)
        is_directory = member.type is MemberType.DIRECTORY
        self._writer.add(
            replace(
                member,
                name=(name or b".") + b"/" if is_directory else name,
                uname=b"",  # numbers are the same on every machine, names are not
                gname=b"",
                mtime_ns=self._time(member),
            ),
            data,
        )

    def _time(self, member: Member) -> int:
        if not self._keep_times:
            return self.mtime_ns
        return member.mtime_ns if self._epoch is None else min(member.mtime_ns, self.mtime_ns)


def add_tar_members(work: LayerWriter, path: Path, destination: str, *, keep_owners: bool) -> None:
    """Add the members of the tar at *path*, in any compression, below *destination*."""
    prefix = b"/".join(split(destination.encode("utf-8", "surrogateescape")))
    with closing(_plain(open_regular(path), str(path))) as stream:
        reader = TarReader(stream, where=str(path))
        for member in reader:
            inside = b"/".join(split(member.name))
            linkname = member.linkname
            if member.type is MemberType.HARDLINK:
                linkname = b"/".join([prefix, *split(linkname)])
            moved = replace(member, name=b"/".join([prefix, inside]), linkname=linkname)
            work.add(moved if keep_owners else replace(moved, uid=0, gid=0), reader.chunks())
        reader.pass_over()


def _plain(file: BinaryIO, where: str) -> BinaryIO:
    compression = detect(file.read(SNIFF_SIZE))
    file.seek(0)
    return decompress(file, compression, where=where)
