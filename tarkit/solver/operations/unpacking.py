"""Unpacking archives in copies, as Dockerfile's ``ADD`` asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import BinaryIO

from tarkit.errors import PathNotFoundError, TarkitError, UnsafePathError
from tarkit.rootfs.names import Parts, split
from tarkit.rootfs.writable.filesystem import WritableFileSystem
from tarkit.rootfs.writable.staged_tree import checked
from tarkit.solver.operations.edits import make_directories
from tarkit.solver.operations.owners import Owner
from tarkit.solver.operations.paths import shown
from tarkit.streams.cancellation import check
from tarkit.streams.codecs import SNIFF_SIZE, decompress, detect
from tarkit.tar import BLOCK_SIZE
from tarkit.tar.member import Member, MemberType
from tarkit.tar.names import shown as shown_name
from tarkit.tar.reader import TarReader
from tarkit.values import replace

Open = Callable[[], BinaryIO]
"""Opens the file from its beginning."""


def is_archive(open_file: Open) -> bool:
    """Return whether a file, compressed or not, begins with the header of a tar member."""
    try:
        with _plain(open_file) as plain:
            head = plain.read(BLOCK_SIZE)
            return len(head) == BLOCK_SIZE and bool(next(iter(TarReader(BytesIO(head))), None))
    except TarkitError:
        return False


def unpack(
    files: WritableFileSystem,
    open_file: Open,
    target: Parts,
    *,
    owner: Owner | None,
    mtime_ns: int | None,
) -> None:
    """Unpack an archive to the directory at the real path *target*, made if it is missing.

    All entries belong to *owner* if given. Links are resolved, but an entry cannot leave *target*:
    :class:`~tarkit.errors.UnsafePathError`.
    """
    make_directories(files, target, owner=owner, mtime_ns=mtime_ns)
    with _plain(open_file) as plain:
        reader = TarReader(plain)
        for member in reader:
            check()
            _unpack_one(files, reader, member, target, owner)


@contextmanager
def _plain(open_file: Open) -> Iterator[BinaryIO]:
    """Provide the content of a file, decompressed."""
    with open_file() as stream:
        compression = detect(stream.read(SNIFF_SIZE))
    with decompress(open_file(), compression) as plain:
        yield plain


def _unpack_one(
    files: WritableFileSystem,
    reader: TarReader,
    member: Member,
    target: Parts,
    owner: Owner | None,
) -> None:
    names = split(member.name)
    if not names:
        return
    parent = _inside(files, target, names[:-1], member)
    make_directories(files, parent)
    parts = checked([*parent, names[-1]])
    uid, gid = (member.uid, member.gid) if owner is None else owner
    member = replace(member, uid=uid, gid=gid)
    existing = files.lookup(parts)
    if member.type is MemberType.HARDLINK:
        first = _inside(files, target, split(member.linkname), member)
        node = files.lookup(first)
        if node is None or node.directory is not None:
            raise PathNotFoundError("link to a missing file", where=shown_name(member.name))
        files.put_link(parts, first)
    elif member.type is MemberType.DIRECTORY and existing is not None and existing.directory:
        files.change(parts, member)
    elif member.type is MemberType.FILE:
        files.put(parts, files.stage(reader.chunks(), member))
    elif member.type is not MemberType.OTHER:
        files.put(parts, replace(member, offset=0, data_offset=0, stored=0))


def _inside(files: WritableFileSystem, target: Parts, names: Parts, member: Member) -> Parts:
    """Return the real path of *names* below *target*."""
    trail = files.tree.trail([*target, *names])
    parts = trail.names + trail.missing
    if parts[: len(target)] != target:
        raise UnsafePathError(f"leads out of {shown(target)}", where=shown_name(member.name))
    return parts
