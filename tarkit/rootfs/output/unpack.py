"""Stage unpacked files in a private directory until the merge has determined their paths.

Staged files are named by number, so no path of a layer is ever resolved by the kernel.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from tarkit.errors import VerificationError
from tarkit.rootfs.node import Node
from tarkit.rootfs.output.attributes import Attributes
from tarkit.rootfs.table import DataLocation
from tarkit.streams.directory import Directory, open_flags
from tarkit.streams.zeros import data_blocks
from tarkit.tar.member import Member, MemberType
from tarkit.tar.names import shown

_CREATE = open_flags("O_WRONLY", "O_CREAT", "O_EXCL", "O_NOFOLLOW", "O_CLOEXEC")

_BOX = 128
"""Number of files per staging directory: keeps both the directories and their number small."""


class FileStager:
    """Creates everything except directories in *directory*, which must be empty; a sink for data.

    Files with data are created when the data arrives, everything else when it is moved. No other
    process may write to *directory*, so staged names can be trusted.
    """

    def __init__(self, directory: Directory, attributes: Attributes) -> None:
        self._directory = os.fsencode(directory.reference)
        self._attributes = attributes
        self._made: dict[DataLocation, bytes] = {}
        self._lost: dict[
            DataLocation, list[str]
        ] = {}  # counted when moved: hidden files do not count
        self._shared: dict[Node, bytes | None] = {}
        self._count = 0
        self.descriptor = directory.fileno()

    def store(self, place: DataLocation, member: Member, chunks: Iterator[memoryview]) -> None:
        """Store the data of *member*, located at *place*."""
        self._made[place], lost = self._file(member, chunks)
        if lost:
            self._lost[place] = lost

    def lacks(self, node: Node) -> bool:
        """Return True if the data of *node* has not arrived yet."""
        return node.place is not None and node.place not in self._made

    def move(self, node: Node, directory: int, name: bytes) -> None:
        """Move *node* to *name* in the open *directory*, or link it if the inode has several names."""
        if node.links == 1:
            made = self._make(node)
            if made is not None:
                os.rename(made, name, src_dir_fd=self.descriptor, dst_dir_fd=directory)
            return
        if node not in self._shared:
            self._shared[node] = self._make(node)  # stays in the stager, as the source of all links
        made = self._shared[node]
        if made is not None:
            os.link(
                made,
                name,
                src_dir_fd=self.descriptor,
                dst_dir_fd=directory,
                follow_symlinks=False,
            )

    def _make(self, node: Node) -> bytes | None:
        """Return the staged name of *node*, or None if creating it is not permitted."""
        member = node.member
        if node.place is not None:
            self._attributes.skipped.update(self._lost.get(node.place, ()))
            return self._made[node.place]
        if member.type is MemberType.FILE:
            made, lost = self._file(member, iter(()))
            self._attributes.skipped.update(lost)
            return made
        name = self._next_name()
        path = self._directory + b"/" + name
        if member.type is MemberType.SYMLINK:
            os.symlink(member.linkname, path)  # noqa: PTH211  names are bytes
        elif member.type is MemberType.FIFO:
            os.mkfifo(path, 0o600)
        elif not self._attributes.make_device(path, member):
            return None
        self._attributes.apply(path, member)
        return name

    def _file(self, member: Member, chunks: Iterator[memoryview]) -> tuple[bytes, list[str]]:
        """Create a file; return its name and the kinds of metadata that could not be set."""
        name = self._next_name()
        descriptor = os.open(name, _CREATE, 0o600, dir_fd=self.descriptor)
        try:
            _write(descriptor, member, chunks)
            lost = self._attributes.give(descriptor, member)
        except VerificationError as error:
            error.where = error.where or shown(member.name)
            raise
        finally:
            os.close(descriptor)
        return name, lost

    def _next_name(self) -> bytes:
        box, number = divmod(self._count, _BOX)
        if not number:
            os.mkdir(b"%d" % box, 0o700, dir_fd=self.descriptor)
        self._count += 1
        return b"%d/%d" % (box, number)


def _write(descriptor: int, member: Member, chunks: Iterator[memoryview]) -> None:
    """Write the data of *member* to an empty file; leave holes for blocks of zeros."""
    end = 0
    for offset, data in data_blocks(chunks, member.size, member.sparse):
        end = offset + len(data)
        while offset < end:
            written = os.pwrite(descriptor, data, offset)
            data, offset = data[written:], offset + written
    if end < member.size:
        os.ftruncate(descriptor, member.size)
