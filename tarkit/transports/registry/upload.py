"""Sending a blob: in one request where its size is known, and on from where a connection broke.

distribution-spec, "Pushing blobs": a session is opened by POST, filled by PUT or PATCH, closed by
PUT with the digest, and tells by GET how far it got.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from urllib.parse import urlencode, urlsplit

from tarkit.errors import LostBlobError, TarkitError, TransportError
from tarkit.image.digest import Digest
from tarkit.streams.cancellation import shielded
from tarkit.streams.verify import VerifyingReader
from tarkit.transports.registry.failures import PassingError
from tarkit.transports.registry.messages import Answer
from tarkit.transports.registry.replay import ReplayBody
from tarkit.transports.registry.repository import Repository

_RANGE = re.compile(r"(?:bytes=)?0-(\d{1,19})", re.ASCII)
_GRACE = 0.5  # seconds for a last word, even to whoever waits for an interrupted command
_BYTES = {"Content-Type": "application/octet-stream"}


def upload_blob(repository: Repository, blob: VerifyingReader) -> None:
    """Store all of *blob* in *repository*; it is not there where that fails.

    Raises what reading *blob* raises, :class:`LostBlobError` where more of it would have to be sent
    again than is kept, and :class:`TransportError` where the registry gets no further.
    """
    upload = _Upload(repository, blob)
    try:
        upload.run()
    except TransportError:
        raise  # whoever cannot be reached cannot be told to forget it either
    except BaseException:
        upload.cancel()
        raise


def begin_upload(repository: Repository) -> str:
    """Open an upload session; its URL."""
    answer = repository.client.send(repository.request("POST", "blobs/uploads/"), {202})
    return repository.client.location(answer)


def cancel_upload(repository: Repository, url: str) -> None:
    """Tell the registry to forget the session at *url*, if it will, and soon."""
    with contextlib.suppress(TarkitError), shielded(_GRACE):
        repository.client.send(repository.request("DELETE", url), {200, 202, 204, 404})


class _Upload:
    """One blob on its way: through one session, or through another where the registry forgot the first."""

    def __init__(self, repository: Repository, blob: VerifyingReader) -> None:
        self._repository = repository
        self._client = repository.client
        self._blob = blob
        self._body = ReplayBody(blob)
        self._url = ""

    def run(self) -> None:
        """Send the blob, as often and from where it takes."""
        patience = self._client.http.patience
        self._url = begin_upload(self._repository)
        position = 0
        for number in range(1, patience.attempts + 1):
            try:
                self._send(position)
                return
            except PassingError as error:
                if self._body.failure is not None:
                    raise self._body.failure from None
                if number == patience.attempts or (error.wait or 0) > patience.longest:
                    raise
                self._client.http.pause(number, error.wait)
            if self._is_there():
                return
            position = self._resume()

    def cancel(self) -> None:
        """Have the registry forget what it got."""
        if self._url:
            cancel_upload(self._repository, self._url)

    def _send(self, position: int) -> None:
        """Send what there is from *position* on, and close the session."""
        expected, size = self._blob.expected, self._blob.expected_size
        if expected and size is not None and position == 0:
            headers = {**_BYTES, "Content-Length": str(size)}
            self._close(expected, headers, self._body.pieces(0))
            return
        if not self._body.complete or position < self._body.end:
            self._patch(position, size)
        self._close(self._blob.digest, {"Content-Length": "0"}, None)

    def _patch(self, position: int, size: int | None) -> None:
        headers = dict(_BYTES)
        if size is not None:
            headers["Content-Length"] = str(size - position)
            headers["Content-Range"] = f"{position}-{size - 1}"
        request = self._repository.request(
            "PATCH", self._url, headers=headers, body=self._body.pieces(position)
        )
        self._move(self._client.send(request, {201, 202, 204}))

    def _close(
        self, digest: Digest, headers: Mapping[str, str], body: Iterator[memoryview] | None
    ) -> None:
        joint = "&" if urlsplit(self._url).query else "?"
        url = f"{self._url}{joint}{urlencode({'digest': str(digest)})}"
        where = f"{self._repository.name}: blob {digest}"
        request = self._repository.request("PUT", url, where=where, headers=headers, body=body)
        self._client.send(request, {201, 202, 204})

    def _resume(self) -> int:
        """How far the registry got: the position to go on from, perhaps in a new session."""
        answer = self._client.send(
            self._repository.request("GET", self._url), {200, 202, 204, 400, 404, 405, 416}
        )
        match = _RANGE.fullmatch(answer.headers.get("Range", "").strip())
        position = int(match[1]) + 1 if match and answer.status < 400 else 0
        if position > 1:
            self._move(answer)
        else:  # registries say 0-0 of one byte and of none
            self._url, position = begin_upload(self._repository), 0
        if not self._body.reaches(position):
            self.cancel()
            raise LostBlobError(
                f"the connection broke at byte {self._body.end} of an upload of which the registry"
                f" kept {position}",
                where=self._repository.name,
            )
        return position

    def _is_there(self) -> bool:
        """Whether only the word that all went well was lost."""
        if not self._body.complete:
            return False
        return self._repository.blob_size(self._blob.digest) == self._blob.size

    def _move(self, answer: Answer) -> None:
        """Go on at the session's new address, where *answer* has one."""
        if answer.headers.get("Location"):
            self._url = self._client.location(answer)
