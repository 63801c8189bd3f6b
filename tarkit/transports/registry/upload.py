"""Sending a blob: in one request if the registry takes that, in chunks if it does not.

distribution-spec, "Pushing blobs": a session is opened by POST, filled by PUT or PATCH, closed by
PUT with the digest, and tells by GET how far it got. Each request is resumed where it broke.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Mapping
from urllib.parse import urlencode, urlsplit

from tarkit.errors import LostBlobError, TarkitError, TransportError
from tarkit.image.digest import Digest
from tarkit.streams.cancellation import shielded
from tarkit.streams.verify import VerifyingReader
from tarkit.transports.registry.failures import PassingError
from tarkit.transports.registry.messages import Answer, Payload
from tarkit.transports.registry.replay import ReplayBody
from tarkit.transports.registry.repository import Repository

CHUNK = 4 << 20
"""Bytes of a blob that are sent at a time if not all can be (4 MiB): little enough to be kept."""

_SMALLEST_CHUNK = 1 << 10
_LARGEST_CHUNK = 64 << 20  # that memory is spent on, whatever a registry asks for
_PROGRESS = 64 << 10  # bytes: less than this between two failures is no progress
_RANGE = re.compile(r"(?:bytes=)?0-(\d{1,19})", re.ASCII)
_GRACE = 0.5  # seconds for a last word, even to whoever waits for an interrupted command
_BYTES = {"Content-Type": "application/octet-stream"}
_STORED = frozenset({200, 201, 202, 204})
_TOO_LARGE = 413
_NOT_AT_ONCE = frozenset({_TOO_LARGE, 307, 308})  # a redirect whose body cannot be sent again
_NOT_UNSIZED = frozenset({400, 411, 501})  # how registries refuse a body of unknown length


def upload_blob(
    repository: Repository, blob: VerifyingReader, session: Answer | None = None
) -> None:
    """Store all of *blob* in *repository*, through the *session* that an answer opened or a new one.

    Raises what reading *blob* raises, :class:`LostBlobError` if more of it would have to be sent
    again than is kept, and :class:`TransportError` if the registry gets no further.
    """
    upload = _Upload(repository, blob)
    try:
        upload.run(session)
    except LostBlobError:
        upload.cancel()
        raise
    except TransportError:
        raise  # whoever cannot be reached cannot be told to forget it either
    except BaseException:
        upload.cancel()
        raise


class _Upload:
    """One blob on its way, through one session after another if the registry forgets them."""

    def __init__(self, repository: Repository, blob: VerifyingReader) -> None:
        self._repository = repository
        self._client = repository.client
        self._blob = blob
        self._body = ReplayBody(blob)
        self._url = ""
        self._least = 0  # bytes of a chunk, as the registry asks for

    def run(self, session: Answer | None) -> None:
        """Send the blob, as often and from where it takes."""
        patience = self._client.http.patience
        self._open(session)
        position = reached = failures = 0
        while True:
            try:
                self._send(position)
                return
            except PassingError as error:
                if self._body.failure is not None:
                    raise self._body.failure from None
                failures += 1
                if failures >= patience.attempts or (error.wait or 0) > patience.longest:
                    raise
                self._client.http.pause(failures, error.wait)
            if self._is_there():
                return
            position = self._resume()
            if position >= reached + _PROGRESS:
                reached, failures = position, 0

    def cancel(self) -> None:
        """Tell the registry to forget the session, if it will."""
        if self._url:
            with contextlib.suppress(TarkitError), shielded(_GRACE):
                self._client.try_send(self._repository.request("DELETE", self._url))

    def _open(self, session: Answer | None = None) -> None:
        request = self._repository.request("POST", "blobs/uploads/")
        answer = session or self._client.send(request, {202})
        self._url = self._client.location(answer)
        least = answer.headers.get("OCI-Chunk-Min-Length", "")
        self._least = min(int(least[:18]) if least.isdecimal() else 0, _LARGEST_CHUNK)

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
        """Send all that is left in one request. Return the answer of a registry that wants it in chunks."""
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
        """Send what is left in chunks, smaller ones if the registry finds them too large."""
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
        """Append *body* to the session; the answer, whose status may be among *refusals*."""
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
        joint = "&" if urlsplit(self._url).query else "?"
        url = f"{self._url}{joint}{urlencode({'digest': str(digest)})}"
        where = f"{self._repository.name}: blob {digest}"
        request = self._repository.request("PUT", url, where=where, headers=headers, body=body)
        return self._client.send_once(request, _STORED if body is None else _STORED | _NOT_AT_ONCE)

    def _resume(self) -> int:
        """How far the registry got: the position to go on from, perhaps in a new session."""
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
        """Ask how much the session holds. One that holds nothing, or does not say, is given up."""
        answer = self._client.try_send(self._repository.request("GET", self._url))
        if answer is None or answer.status >= 400:
            return 0
        match = _RANGE.fullmatch(answer.headers.get("Range", "").strip())
        if match is None or match[1] == "0":  # registries say 0-0 of one byte and of none
            self.cancel()
            return 0
        self._move(answer)
        return int(match[1]) + 1

    def _prefer_chunks(self) -> None:
        """From now on send no blob at once: the registry refused one, or kept nothing of it."""
        self._repository.chunk_size = self._repository.chunk_size or CHUNK

    def _is_there(self) -> bool:
        """Whether only the word that all went well was lost."""
        if not self._body.complete:
            return False
        return self._repository.head_blob(self._blob.digest) == self._blob.size

    def _move(self, answer: Answer) -> None:
        """Go on at the session's new address, if *answer* has one."""
        if answer.headers.get("Location"):
            self._url = self._client.location(answer)
