"""What readers of archives have in common: how they are opened, and that they close what they opened."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from tarkit.streams.chunks import Readable
from tarkit.streams.closeable import Closeable
from tarkit.tar.archive import Archive


class ArchiveHolder(Closeable):
    """A context manager over an open *archive*, which may be compressed as a whole or come from a pipe."""

    archive: Archive
    where: str

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        self.where = archive.where

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open the archive at *path*; raises :class:`PathNotFoundError` and :class:`VerificationError`."""
        return cls._over(Archive.open(Path(path)))

    @classmethod
    def from_stream(cls, stream: Readable, *, keep_data: bool = True) -> Self:
        """Read the archive that *stream* brings; without *keep_data*, for its metadata only."""
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
