"""Replace and remove files of an archive; everything else keeps its bytes."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from tarkit.errors import RefusedError, UnsupportedError
from tarkit.streams.atomic import Output, PendingFile
from tarkit.streams.chunks import ChunkReader, chunks_of
from tarkit.streams.codecs import Compression, compress
from tarkit.streams.os_errors import os_errors
from tarkit.streams.ranges import copy_range
from tarkit.tar import BLOCK_SIZE, padding
from tarkit.tar.archive import Archive
from tarkit.tar.encode import encode
from tarkit.tar.epoch import source_date_epoch
from tarkit.tar.member import Member
from tarkit.values import dataclass

_MODE = 0o444
_WRITABLE = (Compression.NONE, Compression.GZIP, Compression.ZSTD)


@dataclass(frozen=True, slots=True)
class _Range:
    """The bytes of the archive from *start* to *end*."""

    start: int
    end: int


def rewrite_archive(
    archive: Archive, path: Path, *, files: Mapping[str, bytes], without: Collection[Member] = ()
) -> None:
    """Rewrite the archive at *path*, open as *archive*, with *files* and *without* some members.

    *files* replace the members of their names and come last. The other members keep their order,
    headers and data. In a plain archive, the system copies them, on some filesystems without moving
    data; a compressed archive is compressed again with the same codec. The new archive appears by
    rename. Raises :class:`UnsupportedError` for codecs that tarkit cannot write, and
    :class:`RefusedError` if another process has changed the file meanwhile.
    """
    if archive.compression not in _WRITABLE:
        raise UnsupportedError(
            f"cannot change an archive compressed with {archive.compression.value}",
            where=archive.where,
            hint="decompress it first",
        )
    dropped = {member.offset: member for member in without}
    for name in files:
        dropped.update({member.offset: member for member in archive.candidates(name)})
    pieces: list[_Range | bytes] = [*_kept(archive, dropped.values()), *_appended(archive, files)]
    with Output.at(path) as output, PendingFile(output.directory) as pending:
        with os_errors(path):
            _write(archive, pieces, pending.file)
            if not archive.is_file(output.directory.lookup(output.name)):
                raise RefusedError(
                    "another process changed the file meanwhile",
                    where=str(path),
                    hint="it was left unchanged; run the command again",
                )
        pending.publish(output.name)


def _kept(archive: Archive, dropped: Iterable[Member]) -> Iterator[_Range]:
    """Yield the ranges of the archive that are not those of *dropped* members."""
    position = 0
    for member in sorted(dropped, key=lambda member: member.offset):
        if member.offset > position:
            yield _Range(position, member.offset)
        position = max(position, _end(member))
    end = max(map(_end, archive.members), default=0)
    if end > position:
        yield _Range(position, end)


def _end(member: Member) -> int:
    return member.data_offset + member.stored + padding(member.stored)


def _appended(archive: Archive, files: Mapping[str, bytes]) -> Iterator[bytes]:
    """Yield *files* as members, and the trailer."""
    mtime_ns = (source_date_epoch() or 0) * 1_000_000_000
    if not archive.padded:
        yield bytes(padding(max(archive.members, key=_end).stored))
    for name, data in files.items():
        member = Member(name.encode(), size=len(data), mode=_MODE, mtime_ns=mtime_ns)
        yield encode(member) + data + bytes(padding(len(data)))
    yield bytes(2 * BLOCK_SIZE)


def _write(archive: Archive, pieces: Iterable[_Range | bytes], file: BinaryIO) -> None:
    if archive.compression is not Compression.NONE:
        plain = _Stream(_chunks(archive, pieces))
        for chunk in chunks_of(compress(plain, archive.compression)):
            file.write(chunk)
        return
    for piece in pieces:
        if isinstance(piece, bytes):
            file.write(piece)
        else:
            copy_range(archive.fileno(), file, piece.start, piece.end - piece.start)


def _chunks(archive: Archive, pieces: Iterable[_Range | bytes]) -> Iterator[bytes]:
    for piece in pieces:
        if isinstance(piece, bytes):
            yield piece
        else:
            yield from archive.raw(piece.start, piece.end)


class _Stream(ChunkReader):
    """The bytes of *chunks*, which must not be empty, as a stream."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        super().__init__(io.BytesIO())
        self._chunks = chunks

    def _chunk(self) -> bytes:
        return next(self._chunks, b"")
