"""The base of readers of archives."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from tarkit.streams.chunks import Readable
from tarkit.streams.closeable import Closeable
from tarkit.tar.archive import Archive


class ArchiveHolder(Closeable):
    """A context manager over an open *archive*."""

    archive: Archive
    where: str

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        self.where = archive.where

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open the archive at *path*, plain or compressed.

        Raises :class:`PathNotFoundError` and :class:`VerificationError`.
        """
        return cls._over(Archive.open(Path(path)))

    @classmethod
    def from_stream(cls, stream: Readable, *, keep_data: bool = True) -> Self:
        """Read an archive from *stream*; without *keep_data*, keep its metadata only."""
        return cls._over(Archive.from_stream(stream, keep_data=keep_data))

    @classmethod
    def _over(cls, archive: Archive) -> Self:
        try:
            return cls(archive)
        except BaseException:
            archive.close()
            raise

    def close(self) -> None:
        """Close the archive."""
        self.archive.close()
