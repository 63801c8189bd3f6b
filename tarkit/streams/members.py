"""Decompressing gzip, bzip2 and xz: any number of members, one after the other, in bounded pieces."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from tarkit.errors import MalformedError, TarkitError, TruncatedError, UnsupportedError
from tarkit.streams import CHUNK_SIZE
from tarkit.streams.chunks import ChunkReader, Readable

XZ_MEMORY_LIMIT = 128 << 20
"""Bytes that a decoder of xz may take; ``xz -9`` needs 65 MiB."""

_FIRST_PIECE = 1 << 10
_ENOUGH = 256 << 10  # bytes of output worth handing on: each chunk costs the threads behind it time


class Decompressor(Protocol):
    """The interface that the decompressors of bz2, lzma and isal share."""

    @property
    def eof(self) -> bool:
        """Whether the member's end was reached."""
        ...

    @property
    def needs_input(self) -> bool:
        """Whether more input is needed before there is more output."""
        ...

    @property
    def unused_data(self) -> bytes:
        """The input behind the member's end."""
        ...

    def decompress(self, data: bytes, max_length: int = -1, /) -> bytes:
        """Up to *max_length* bytes of output from *data* and from input left over."""
        ...


@dataclass(frozen=True, slots=True)
class Codec:
    """A format of members: its ``name``, how to begin a member, and the class of its own errors.

    ``unsupported`` maps words of an error that does not mean damage to an explanation. ``padded``
    formats may have zeros between members.
    """

    name: str
    new: Callable[[], Decompressor]
    error: type[Exception]
    unsupported: Mapping[str, str] = field(default_factory=dict, hash=False)
    padded: bool = False


def gzip_codec() -> Codec:
    """Return isal's gzip, or zlib's where isal has no wheel."""
    try:
        from isal import igzip_lib
    except ImportError:
        import zlib

        from tarkit.streams.gzip import ZlibDecompressor

        return Codec("gzip", ZlibDecompressor, zlib.error)

    def new() -> Decompressor:
        return igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)

    error: type[Exception] = igzip_lib.error  # type: ignore[assignment]  # isal's stubs call it an instance
    return Codec("gzip", new, error)


def bzip2_codec() -> Codec:
    """Return the standard library's bzip2."""
    import bz2

    return Codec("bzip2", bz2.BZ2Decompressor, OSError)


def xz_codec() -> Codec:
    """Return the standard library's xz, within `XZ_MEMORY_LIMIT`."""
    import lzma

    words = {
        "Memory usage limit": "an xz stream that takes more than "
        f"{XZ_MEMORY_LIMIT >> 20} MiB of memory to decompress",
        "unsupported options": "an xz stream with options that are not known",
    }

    def new() -> Decompressor:
        return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=XZ_MEMORY_LIMIT)

    return Codec("xz", new, lzma.LZMAError, words, padded=True)


class MemberReader(ChunkReader):
    """Decompresses *stream*, whose members are of *codec*.

    A member gets its input in pieces that begin small and double. A decompressor copies whatever
    follows its member, so with whole chunks a million empty members would take quadratic time.
    """

    def __init__(self, stream: Readable, codec: Codec, where: str | None) -> None:
        super().__init__(stream)
        self._codec, self._where = codec, where
        self._decompressor = codec.new()
        self._input = b""
        self._position = 0  # of the first byte of the input that no member has got
        self._piece = _FIRST_PIECE
        self._first = True  # whether this is the first member

    def _chunk(self) -> bytes:
        parts, size = [], 0
        while size < _ENOUGH:
            data = b""
            if self._decompressor.eof:
                data = self._next_member()
                if not data:
                    break
            elif self._decompressor.needs_input:
                data = self._next_piece()
                if not data:
                    raise TruncatedError(
                        f"the {self._codec.name} stream is cut short", where=self._where
                    )
            parts.append(self._inflate(data, CHUNK_SIZE - size))
            size += len(parts[-1])
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _next_piece(self) -> bytes:
        if self._position == len(self._input):
            self._input, self._position = self._stream.read(CHUNK_SIZE), 0
        piece = self._input[self._position : self._position + self._piece]
        self._position += len(piece)
        self._piece = min(2 * self._piece, CHUNK_SIZE)
        return piece

    def _next_member(self) -> bytes:
        """Begin the next member; its first input, or nothing at the end of the stream."""
        self._position -= len(self._decompressor.unused_data)
        self._piece = _FIRST_PIECE
        data = self._next_piece()
        if self._codec.padded:
            while data and not data.strip(b"\0"):
                data = self._next_piece()
            data = data.lstrip(b"\0")
        if data:
            self._decompressor, self._first = self._codec.new(), False
        return data

    def _inflate(self, data: bytes, most: int) -> bytes:
        try:
            return self._decompressor.decompress(data, most)
        except self._codec.error as error:
            raise self._explained(error) from None

    def _explained(self, error: Exception) -> TarkitError:
        for words, explanation in self._codec.unsupported.items():
            if words in str(error):
                return UnsupportedError(explanation, where=self._where)
        behind = "" if self._first else ", or something else follows it"
        return MalformedError(
            f"the {self._codec.name} stream is corrupt{behind} ({error})", where=self._where
        )
