"""A blob as a stream that outlives its connections (distribution-spec, "Pulling blobs"; RFC 9110, section 14)."""

from __future__ import annotations

import io
import re
import time

from tarkit.errors import CancelledError, SizeMismatchError, TarkitError, TransportError
from tarkit.image.descriptor import Descriptor
from tarkit.streams import CHUNK_SIZE
from tarkit.streams.chunks import ChunkReader
from tarkit.transports.registry.body import Body, Response
from tarkit.transports.registry.numbers import content_length
from tarkit.transports.registry.repository import Repository

_PROGRESS = 64 << 10  # bytes: less than this from a connection, or in a period, is no progress
_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-\d{1,19}/(?:\d{1,19}|\*)", re.ASCII)


class BlobStream(ChunkReader):
    """The raw bytes of *descriptor*'s blob; a connection that breaks is replaced where it broke.

    Raises :class:`BlobNotFoundError` at once, :class:`SizeMismatchError` where the registry speaks
    of another size, and :class:`TransportError` when it gets no further or too slowly.
    """

    def __init__(self, repository: Repository, descriptor: Descriptor) -> None:
        super().__init__(io.BytesIO())  # until there is a connection, which may never be
        self._repository = repository
        self._descriptor = descriptor
        self._where = f"{repository.name}: blob {descriptor.digest}"
        self._position = 0
        self._skip = 0  # bytes of this connection that were had from an earlier one
        self._takes_ranges = True
        self._failures = 0
        self._failed_at = 0
        self._patience = repository.client.http.patience
        self._received = 0  # since there was progress last
        self._waited = 0.0  # … and the seconds that took
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
        """What the connection brings next; nothing at its end, whichever end that is."""
        began = time.monotonic()
        try:
            data = self._body.next_piece(CHUNK_SIZE)
        except TransportError:
            self._body.close()
            return b""
        self._require_pace(len(data), time.monotonic() - began)
        return data

    def _require_pace(self, received: int, waited: float) -> None:
        """Only the time spent waiting counts: whoever reads from here may be slow as well."""
        self._received += received
        self._waited += waited
        if self._received >= _PROGRESS:
            self._received, self._waited = 0, 0.0
        elif self._waited > self._patience.metadata:
            raise TransportError(
                f"too slow: less than {_PROGRESS >> 10} KiB in {self._waited:.0f} seconds",
                where=self._where,
            )

    def _resume(self) -> None:
        gained = self._position - self._failed_at
        self._failures = 1 if gained >= _PROGRESS else self._failures + 1
        self._failed_at = self._position
        if self._failures >= self._patience.attempts:
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
        """Ask for what is missing only. Return None if the registry sends no such range."""
        if not self._position or not self._takes_ranges:
            return None
        try:
            response = self._repository.open_blob(self._descriptor.digest, self._position)
        except CancelledError:
            raise
        except TarkitError:
            self._takes_ranges = False
            return None
        if response.status == 206 and _first_byte(response) != self._position:
            response.stream.close()
            self._takes_ranges = False
            return None
        return response

    def _start(self, response: Response) -> int:
        """The position of the first byte of *response*, which promises neither more nor less than there is."""
        start = _first_byte(response) if response.status == 206 else 0
        if start is None or start > self._position:
            raise TransportError("got only a part of the blob", where=self._where)
        length = content_length(response.headers)
        if length is not None and start + length != self._descriptor.size:
            raise SizeMismatchError(self._descriptor.size, start + length, where=self._where)
        return start


def _first_byte(response: Response) -> int | None:
    """The position of the first byte that *response*, a partial one, says it sends."""
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    return int(match[1]) if match else None
