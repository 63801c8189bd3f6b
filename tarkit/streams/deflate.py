"""Small documents in the zlib format (RFC 1950), compressed at the fastest level."""

from __future__ import annotations

from tarkit.errors import MalformedError


def deflate(data: bytes) -> bytes:
    """Return *data*, compressed."""
    import zlib

    return zlib.compress(data, 1)


def inflate(data: bytes | memoryview, size: int) -> bytes:
    """Return the *size* bytes that *data* decompresses to; raises :class:`MalformedError`.

    Takes no more memory if *data* would decompress to more.
    """
    import zlib

    decoder = zlib.decompressobj()
    try:
        content = decoder.decompress(data, size + 1)
    except zlib.error as error:
        raise MalformedError(f"malformed zlib data: {error}") from None
    if len(content) != size or not decoder.eof or decoder.unused_data:
        raise MalformedError("zlib data of another size")
    return content
