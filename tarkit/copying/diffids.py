"""Verify the diff ID of a layer while its stored bytes pass through unchanged."""

from __future__ import annotations

from tarkit.image.digest import Digest
from tarkit.streams import CHUNK_SIZE
from tarkit.streams.channel import Channel
from tarkit.streams.chunks import ChunkReader, Readable, drain
from tarkit.streams.codecs import SNIFF_SIZE, Compression, decompress, detect
from tarkit.streams.threads import start_thread
from tarkit.streams.verify import VerifyingReader

_DEPTH = 4  # chunks queued for decompression


class DiffIdReader(ChunkReader):
    """A layer stream that a second thread decompresses and hashes while it is read.

    At the end, a read raises :class:`~tarkit.errors.DigestMismatchError` if the uncompressed
    content does not match *diff_id*, or the error that stopped the decompression.
    """

    def __init__(self, stream: Readable, diff_id: Digest, where: str) -> None:
        super().__init__(stream)
        self._diff_id = diff_id
        self._where = where
        self._stored: Channel[bytes] = Channel(_DEPTH)
        self._ended = False
        self._failure: BaseException | None = None
        self._thread = start_thread(self._compare, "diff-id")

    def _compare(self) -> None:
        feed = _Feed(self._stored)
        try:
            verify_diff_id(feed, self._diff_id, self._where)
        except BaseException as error:  # noqa: BLE001  raised again by the reading thread
            self._failure = error
        finally:
            drain(feed)  # or the reader would block on a full queue

    def _chunk(self) -> bytes:
        if self._ended:
            return b""
        chunk = self._stream.read(CHUNK_SIZE)
        if chunk:
            self._stored.put(chunk)
            return chunk
        self._end()
        # Only at the end: the checks of the stored bytes, which name the actual defect, go first.
        if self._failure is not None:
            raise self._failure
        return b""

    def _end(self) -> None:
        self._ended = True
        self._stored.put_last(b"")
        # Wait for the result, which the last read reports.
        self._thread.join()

    def close(self) -> None:
        """End the thread, then close the stream."""
        if not self._ended:
            self._end()
        super().close()


class _Feed:
    """A readable stream over queued chunks; an empty chunk ends it."""

    def __init__(self, chunks: Channel[bytes]) -> None:
        self._chunks = chunks
        self._ended = False

    def read(self, size: int = -1, /) -> bytes:
        chunk = b"" if self._ended else self._chunks.get()
        self._ended = not chunk
        return chunk


def verify_diff_id(stream: Readable, diff_id: Digest, where: str) -> None:
    """Verify that the uncompressed content of *stream* has the digest *diff_id*.

    Raises :class:`~tarkit.errors.VerificationError` if not.
    """
    buffered = decompress(stream, Compression.NONE)  # only for peek()
    plain = decompress(buffered, detect(buffered.peek(SNIFF_SIZE)), where=where)
    VerifyingReader(plain, digest=diff_id, where=uncompressed(where)).verify()


def uncompressed(where: str) -> str:
    """Return the name for the uncompressed content of the layer *where* in error messages."""
    return f"{where}, uncompressed"
