"""Upload a blob in one request, or in chunks if the registry refuses that.

distribution-spec, "Pushing blobs": POST opens a session, PUT or PATCH sends the data, PUT with the
digest closes the session, and GET returns its state. If a request breaks, it is resumed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping

from tarkit.errors import LostBlobError, TarkitError, TransportError
from tarkit.image.digest import Digest
from tarkit.streams.cancellation import shielded
from tarkit.streams.verify import VerifyingReader
from tarkit.transports.registry.failures import PassingError
from tarkit.transports.registry.messages import Answer, Payload
from tarkit.transports.registry.numbers import last_byte, whole_number
from tarkit.transports.registry.replay import ReplayBody
from tarkit.transports.registry.repository import Repository
from tarkit.transports.registry.urls import with_query

CHUNK = 4 << 20
"""Bytes of a chunk (4 MiB): small enough to keep in memory until it is stored."""

_SMALLEST_CHUNK = 1 << 10
_LARGEST_CHUNK = 64 << 20  # limits memory if a registry requires more
_PROGRESS = 64 << 10  # bytes between two failures that reset the retry count
_GRACE = 0.5  # seconds for the cancelling request, even after an interrupt
_BYTES = {"Content-Type": "application/octet-stream"}
_STORED = frozenset({200, 201, 202, 204})
_TOO_LARGE = 413
_NOT_AT_ONCE = frozenset({_TOO_LARGE, 307, 308})  # redirects: a streamed body cannot be sent again
_NOT_UNSIZED = frozenset({400, 411, 501})  # answers to a body of unknown length


def upload_blob(
    repository: Repository, blob: VerifyingReader, session: Answer | None = None
) -> None:
    """Store *blob* in *repository*, in the *session* opened by an earlier answer or a new one.

    Raises the errors of reading *blob*, :class:`LostBlobError` if the registry has lost more of it
    than can be sent again, and :class:`TransportError` if the upload makes no progress.
    """
    upload = _Upload(repository, blob)
    try:
        upload.run(session)
    except LostBlobError:
        upload.cancel()
        raise
    except TransportError:
        raise  # the request to cancel would fail as well
    except BaseException:
        upload.cancel()
        raise


class _Upload:
    """The upload of one blob, in a new session if the registry forgets the old one."""

    def __init__(self, repository: Repository, blob: VerifyingReader) -> None:
        self._repository = repository
        self._client = repository.client
        self._blob = blob
        self._body = ReplayBody(blob)
        self._url = ""
        self._least = 0  # bytes: the registry's minimum size of a chunk

    def run(self, session: Answer | None) -> None:
        """Send the blob, and resume after passing failures."""
        retry = self._client.http.retry
        self._open(session)
        position = reached = failures = 0
        while True:
            try:
                self._send(position)
                return
            except PassingError as error:
                # Reading the blob failed, which broke the connection.
                if self._body.failure is not None:
                    raise self._body.failure from None
                failures += 1
                if failures >= retry.attempts or (error.wait or 0) > retry.longest:
                    raise
                self._client.http.pause(failures, error.wait)
            if self._is_stored():
                # The registry may have stored the blob although its answer was lost.
                return
            position = self._resume()
            if position >= reached + _PROGRESS:
                reached, failures = position, 0

    def cancel(self) -> None:
        """Ask the registry to delete the session; ignore failures."""
        if self._url:
            with contextlib.suppress(TarkitError), shielded(_GRACE):
                self._client.try_send(self._repository.request("DELETE", self._url))

    def _open(self, session: Answer | None = None) -> None:
        request = self._repository.request("POST", "blobs/uploads/")
        answer = session or self._client.send(request, {202})
        self._url = self._client.location(answer)
        least = whole_number(answer.headers.get("OCI-Chunk-Min-Length", "")) or 0
        self._least = min(least, _LARGEST_CHUNK)

    def _send(self, position: int) -> None:
        """Send the blob from *position* on, and close the session."""
        if not self._repository.chunk_size:
            refused = self._send_at_once(position)
            if refused is None:
                return
            self._prefer_chunks()
            position = self._resume()
        self._send_chunks(position)

    def _send_at_once(self, position: int) -> Answer | None:
        """Send the rest in one request; return the answer if the registry requires chunks."""
        expected, size = self._blob.expected, self._blob.expected_size
        if expected and size is not None and position == 0:
            body: Payload = self._body.take(0, size) if size <= CHUNK else self._body.pieces(0)
            answer = self._close(expected, {**_BYTES, "Content-Length": str(size)}, body)
            return answer if answer.status in _NOT_AT_ONCE else None
        if not self._body.complete or position < self._body.end:
            length = None if size is None else size - position
            refusals = _NOT_AT_ONCE if length is not None else _NOT_AT_ONCE | _NOT_UNSIZED
            answer = self._patch(position, length, self._body.pieces(position), refusals)
            if answer.status in refusals:
                return answer
        self._finish()
        return None

    def _send_chunks(self, position: int) -> None:
        """Send the rest in chunks; halve their size if the registry refuses it."""
        while chunk := self._body.take(position, max(self._repository.chunk_size, self._least)):
            length = sum(map(len, chunk))
            can_shrink = length > max(self._least, _SMALLEST_CHUNK)
            answer = self._patch(position, length, chunk, {_TOO_LARGE} if can_shrink else ())
            if answer.status == _TOO_LARGE:
                self._repository.chunk_size = max(length // 2, _SMALLEST_CHUNK)
            else:
                position += length
        self._finish()

    def _patch(
        self, position: int, length: int | None, body: Payload, refusals: Collection[int]
    ) -> Answer:
        """Append *body* to the session; return the answer, perhaps with one of *refusals*."""
        headers = dict(_BYTES)
        if length is not None:
            headers["Content-Length"] = str(length)
            headers["Content-Range"] = f"{position}-{position + length - 1}"
        request = self._repository.request("PATCH", self._url, headers=headers, body=body)
        answer = self._client.send_once(request, _STORED.union(refusals))
        if answer.status in _STORED:
            self._move(answer)
        return answer

    def _finish(self) -> None:
        self._close(self._blob.digest, {"Content-Length": "0"}, None)

    def _close(self, digest: Digest, headers: Mapping[str, str], body: Payload | None) -> Answer:
        url = with_query(self._url, [("digest", str(digest))])
        where = f"{self._repository.name}: blob {digest}"
        request = self._repository.request("PUT", url, where=where, headers=headers, body=body)
        return self._client.send_once(request, _STORED if body is None else _STORED | _NOT_AT_ONCE)

    def _resume(self) -> int:
        """Return the position to continue from; open a new session if the old one is lost."""
        position = self._kept_bytes()
        if not position:
            self._open()
            self._prefer_chunks()
        if not self._body.reaches(position):
            raise LostBlobError(
                f"the connection broke at byte {self._body.end} of an upload of which the registry"
                f" kept {position}",
                where=self._repository.name,
            )
        return position

    def _kept_bytes(self) -> int:
        """Return the number of stored bytes; cancel the session if it is empty or unknown."""
        answer = self._client.try_send(self._repository.request("GET", self._url))
        if answer is None or answer.status >= 400:
            return 0
        last = last_byte(answer.headers)
        if not last:  # registries answer 0-0 both for one stored byte and for none
            self.cancel()
            return 0
        self._move(answer)
        return last + 1

    def _prefer_chunks(self) -> None:
        """Send further blobs in chunks, since the registry refused or lost one sent at once."""
        self._repository.chunk_size = self._repository.chunk_size or CHUNK

    def _is_stored(self) -> bool:
        """Return True if the blob is stored and only the answer was lost."""
        if not self._body.complete:
            return False
        return self._repository.head_blob(self._blob.digest) == self._blob.size

    def _move(self, answer: Answer) -> None:
        """Use the new URL of the session if *answer* has one; the old URL may be invalid now."""
        if answer.headers.get("Location"):
            self._url = self._client.location(answer)
