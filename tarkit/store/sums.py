"""A SHA-256 digest for the data of each file of a layer, so that single files can be verified.

``layers/KEY.sum`` starts with a magic number and the digest of the diff ID; 32 bytes for each entry
follow, zeros for an entry without data.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from tarkit.image.digest import Digest
from tarkit.streams import CHUNK_SIZE
from tarkit.streams.uncached import read_at
from tarkit.tar.listing import Listing

_MAGIC = b"TKSUMS\r\n"
_SIZE = 32


def pack_sums(file: BinaryIO, listing: Listing, diff_id: Digest) -> bytes:
    """Return the digests of the stored data of all entries of *listing*, whose plain tar is *file*."""
    digests = (_sum(file, *span) for span in spans(listing))
    return _header(diff_id) + b"".join(digests)


def spans(listing: Listing) -> Iterator[tuple[int, int]]:
    """Yield offset and size of the stored data of each entry."""
    has_data = [traits.type.has_data for traits in listing.traits]
    for position, kind in enumerate(listing.kinds):
        size = listing.stored(position) if has_data[kind] else 0
        yield listing.data_offset(position), size


def read_sum(path: Path, diff_id: Digest, position: int) -> bytes | None:
    """Return the digest of the entry at *position*, or None if the file at *path* does not have it."""
    header = _header(diff_id)
    try:
        with path.open("rb", buffering=0) as file:
            if file.read(len(header)) != header:
                return None
            data = read_at(file.fileno(), _SIZE, len(header) + _SIZE * position)
    except OSError:
        return None
    return data if len(data) == _SIZE and any(data) else None


class Sums:
    """The digests in the file at *path*, which is read when the first of them is needed."""

    def __init__(self, path: Path, diff_id: Digest) -> None:
        self._path, self._diff_id = path, diff_id
        self._data: bytes | None = None

    def find(self, position: int) -> bytes | None:
        """Return the digest of the entry at *position*, or None if the file does not have it."""
        if self._data is None:
            self._data = self._read()
        start = _SIZE * position
        found = self._data[start : start + _SIZE]
        return found if len(found) == _SIZE and any(found) else None

    def _read(self) -> bytes:
        header = _header(self._diff_id)
        try:
            data = self._path.read_bytes()
        except OSError:
            return b""
        return data[len(header) :] if data.startswith(header) else b""


def _header(diff_id: Digest) -> bytes:
    return _MAGIC + hashlib.sha256(str(diff_id).encode("ascii")).digest()


def _sum(file: BinaryIO, offset: int, size: int) -> bytes:
    if not size:
        return bytes(_SIZE)
    hasher = hashlib.sha256()
    while size > 0:
        data = read_at(file.fileno(), min(size, CHUNK_SIZE), offset)
        if not data:
            return bytes(_SIZE)  # truncated: the layer itself fails its digest
        hasher.update(data)
        offset += len(data)
        size -= len(data)
    return hasher.digest()
