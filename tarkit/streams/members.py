"""Decompression of concatenated gzip, bzip2 and xz members in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Protocol

from tarkit.errors import MalformedError, TarkitError, TruncatedError, UnsupportedError
from tarkit.streams import CHUNK_SIZE
from tarkit.streams.chunks import ChunkReader, Readable
from tarkit.values import dataclass

XZ_MEMORY_LIMIT = 128 << 20
"""Memory limit of the xz decoder in bytes; ``xz -9`` needs 65 MiB."""

_FIRST_PIECE = 1 << 10  # bytes of input; see MemberReader
_ENOUGH = (
    256 << 10
)  # least output of a chunk in bytes, since each chunk has a cost for its consumer


class Decompressor(Protocol):
    """The common interface of the decompressors of bz2, lzma and isal."""

    @property
    def eof(self) -> bool:
        """True if the member has ended."""
        ...

    @property
    def needs_input(self) -> bool:
        """True if the decompressor needs more input to return more output."""
        ...

    @property
    def unused_data(self) -> bytes:
        """The input after the end of the member."""
        ...

    def decompress(self, data: bytes, max_length: int = -1, /) -> bytes:
        """Return up to *max_length* bytes of output from remaining input and *data*."""
        ...


@dataclass(frozen=True, slots=True)
class Codec:
    """A compression format: its ``name``, first bytes, factory of decompressors and error class.

    ``unsupported`` maps parts of error messages that do not mean corruption to an explanation.
    ``padded`` formats may have zeros between members.
    """

    name: str
    magic: bytes
    new: Callable[[], Decompressor]
    error: type[Exception]
    unsupported: Mapping[str, str] = field(default_factory=dict, hash=False)
    padded: bool = False


def gzip_codec() -> Codec:
    """Return the gzip codec of isal, or that of zlib if isal is not installed."""
    try:
        from isal import igzip_lib
    except ImportError:
        import zlib

        from tarkit.streams.gzip import ZlibDecompressor

        return Codec("gzip", b"\x1f\x8b", ZlibDecompressor, zlib.error)

    def new() -> Decompressor:
        return igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)

    error: type[Exception] = igzip_lib.error  # type: ignore[assignment]  # isal's stubs call it an instance
    return Codec("gzip", b"\x1f\x8b", new, error)


def bzip2_codec() -> Codec:
    """Return the bzip2 codec of the standard library."""
    import bz2

    return Codec("bzip2", b"BZh", bz2.BZ2Decompressor, OSError)


def xz_codec() -> Codec:
    """Return the xz codec of the standard library, limited to :data:`XZ_MEMORY_LIMIT`."""
    import lzma

    words = {
        "Memory usage limit": "the xz stream needs more than "
        f"{XZ_MEMORY_LIMIT >> 20} MiB of memory to decompress",
        "unsupported options": "the xz stream has unknown options",
    }

    def new() -> Decompressor:
        return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=XZ_MEMORY_LIMIT)

    return Codec("xz", b"\xfd7zXZ\x00", new, lzma.LZMAError, words, padded=True)


class MemberReader(ChunkReader):
    """Decompresses *stream*, a sequence of members of *codec*.

    Each member gets its input in pieces that start small and double. A decompressor copies the
    input after its member, so with whole chunks a million empty members would take quadratic time.
    """

    def __init__(self, stream: Readable, codec: Codec, where: str | None) -> None:
        super().__init__(stream)
        self._codec, self._where = codec, where
        self._decompressor = codec.new()
        self._input = b""
        self._position = 0  # of the first byte in the input that no decompressor has got
        self._piece = _FIRST_PIECE
        self._first = True  # true while the first member is read

    def _chunk(self) -> bytes:
        parts, size = [], 0
        # Small members are combined, and the output is cut at CHUNK_SIZE, which bounds memory.
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
        """Begin the next member; return its first input, or nothing at the end of the stream."""
        # Give back the input that the last decompressor did not use.
        self._position -= len(self._decompressor.unused_data)
        self._piece = _FIRST_PIECE
        data = self._next_piece()
        if self._codec.padded:
            # xz allows zeros between streams ("Stream Padding", section 2.2 of the format).
            while data and not data.strip(b"\0"):
                data = self._next_piece()
            data = data.lstrip(b"\0")
        if data:
            magic = self._codec.magic  # the piece may end within it
            if data[: len(magic)] != magic[: len(data)]:
                raise MalformedError(
                    f"the {self._codec.name} stream is complete, but other data follows it",
                    where=self._where,
                )
            self._decompressor, self._first = self._codec.new(), False
        return data

    def _inflate(self, data: bytes, most: int) -> bytes:
        try:
            return self._decompressor.decompress(data, most)
        except self._codec.error as error:
            raise self._translated(error) from None

    def _translated(self, error: Exception) -> TarkitError:
        for words, explanation in self._codec.unsupported.items():
            if words in str(error):
                return UnsupportedError(explanation, where=self._where)
        # Anything after the first member may be a damaged member or trailing garbage.
        behind = "" if self._first else ", or followed by something else"
        return MalformedError(
            f"the {self._codec.name} stream is corrupt{behind} ({error})", where=self._where
        )
