"""A blob as a stream that reconnects (distribution-spec, "Pulling blobs"; RFC 9110, section 14)."""

from __future__ import annotations

import io
import time

from tarkit.errors import CancelledError, SizeMismatchError, TarkitError, TransportError
from tarkit.image.descriptor import Descriptor
from tarkit.streams import CHUNK_SIZE
from tarkit.streams.chunks import ChunkReader
from tarkit.transports.registry.body import Body, Response
from tarkit.transports.registry.numbers import content_length, first_byte
from tarkit.transports.registry.repository import Repository

_PROGRESS = 64 << 10  # bytes that each connection and each period of time must deliver


class BlobStream(ChunkReader):
    """The bytes of the blob *descriptor* from *start* on; if a connection breaks, a new one continues.

    Opening raises :class:`BlobNotFoundError` if the blob is missing. Opening and reading raise
    :class:`SizeMismatchError` if the registry declares another size, and :class:`TransportError` if
    the download fails or is too slow.
    """

    def __init__(self, repository: Repository, descriptor: Descriptor, start: int = 0) -> None:
        super().__init__(io.BytesIO())  # a placeholder: _connect() below may raise
        self._repository = repository
        self._descriptor = descriptor
        self._where = f"{repository.name}: blob {descriptor.digest}"
        self._position = start
        self._skip = 0  # bytes of this connection that an earlier connection has delivered
        self._takes_ranges = True
        self._failures = 0
        self._failed_at = 0
        self._retry = repository.client.http.retry
        self._received = 0  # bytes since the last progress
        self._waited = 0.0  # seconds spent on them
        self._body = self._stream = self._connect()

    def _chunk(self) -> bytes:
        while True:
            data = self._receive()
            if not data and self._position < self._descriptor.size:
                self._resume()
            elif len(data) > self._skip or not data:
                data, self._skip = data[self._skip :] if self._skip else data, 0
                self._position += len(data)
                return data
            else:
                self._skip -= len(data)

    def _receive(self) -> bytes:
        """Return the next bytes of the connection, or none if it has ended or broken."""
        began = time.monotonic()
        try:
            data = self._body.next_piece(CHUNK_SIZE)
        except TransportError:
            self._body.close()
            return b""
        self._require_pace(len(data), time.monotonic() - began)
        return data

    def _require_pace(self, received: int, waited: float) -> None:
        """Raise :class:`TransportError` if the registry, without the reader, is too slow."""
        self._received += received
        self._waited += waited
        if self._received >= _PROGRESS:
            self._received, self._waited = 0, 0.0
        elif self._waited > self._retry.metadata:
            raise TransportError(
                f"too slow: less than {_PROGRESS >> 10} KiB in {self._waited:.0f} seconds",
                where=self._where,
            )

    def _resume(self) -> None:
        gained = self._position - self._failed_at
        # Progress resets the count, so a long download survives many broken connections.
        self._failures = 1 if gained >= _PROGRESS else self._failures + 1
        self._failed_at = self._position
        if self._failures >= self._retry.attempts:
            raise TransportError(
                f"the connection broke {self._failures} times at byte {self._position}"
                f" of {self._descriptor.size}",
                where=self._where,
            )
        self._repository.client.http.pause(self._failures)
        self._body = self._stream = self._connect()

    def _connect(self) -> Body:
        response = self._rest() or self._repository.open_blob(self._descriptor.digest)
        try:
            self._skip = self._position - self._start(response)
        except BaseException:
            response.stream.close()
            raise
        return response.stream

    def _rest(self) -> Response | None:
        """Request only the missing bytes; return None if the registry does not send that range."""
        if not self._position or not self._takes_ranges:
            return None
        try:
            response = self._repository.open_blob(self._descriptor.digest, self._position)
        except CancelledError:
            raise
        except TarkitError:
            self._takes_ranges = False
            return None
        if response.status == 206 and first_byte(response.headers) != self._position:
            response.stream.close()
            self._takes_ranges = False
            return None
        return response

    def _start(self, response: Response) -> int:
        """Return the position of the first byte of *response*; raise if the size is wrong."""
        start = first_byte(response.headers) if response.status == 206 else 0
        if start is None or start > self._position:
            raise TransportError("the registry sent only a part of the blob", where=self._where)
        length = content_length(response.headers)
        if length is not None and start + length != self._descriptor.size:
            raise SizeMismatchError(self._descriptor.size, start + length, where=self._where)
        return start
