"""HTTP requests with retries and redirects."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from tarkit.errors import CancelledError, LimitExceededError, TransportError
from tarkit.image.document import METADATA_LIMIT
from tarkit.redaction import Secrets
from tarkit.streams.cancellation import wait as wait_for
from tarkit.tracing import trace
from tarkit.transports.registry import failures
from tarkit.transports.registry.body import Body, Response
from tarkit.transports.registry.connections import Connections
from tarkit.transports.registry.failures import PassingError
from tarkit.transports.registry.messages import Answer, Request
from tarkit.transports.registry.options import RegistryOptions
from tarkit.transports.registry.urls import origin, parse_url, resolved

T = TypeVar("T")
"""The result of an attempt."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SAME_METHOD = frozenset({307, 308})  # the other redirects turn an upload into a GET
_HOPS = 5
_PIECE = 64 << 10


class Http:
    """Sends requests to *host*, and to hosts it redirects to, according to *options*."""

    def __init__(self, host: str, options: RegistryOptions) -> None:
        self.retry = options.retry
        self._closed = threading.Event()
        self._secrets = Secrets()
        if options.credentials:
            self.hide(*options.credentials.secrets)
        self.connections = Connections(host, options, self._secrets)

    def retried(self, request: Request, attempt: Callable[[], T]) -> T:
        """Call *attempt*, which sends *request*, again after a pause if it fails in passing."""
        tries = self.retry.attempts if request.repeatable else 1
        for number in range(1, tries):
            try:
                return attempt()
            except PassingError as error:
                if (error.wait or 0) > self.retry.longest:
                    raise
                trace("attempt %s of %s failed: %s", number, tries, error)
                self.pause(number, error.wait)
        return attempt()

    def pause(self, number: int, wait: float | None = None) -> None:
        """Wait after *number* failed attempts; raise :class:`CancelledError` if closed meanwhile."""
        delay = self.retry.delay * 2.0 ** (number - 1)
        if wait_for(self._closed, min(max(delay, wait or 0), self.retry.longest)):
            raise CancelledError("the connection to the registry was closed")

    def follow(self, request: Request, url: str, authorization: str | None) -> Response:
        """Send *request* to *url* and follow redirects; return the last answer.

        *authorization* is sent only to the origin of *url*. If the body cannot be sent again, a
        redirect is returned as the answer. Raises :class:`TransportError` after too many redirects,
        and if a redirect leads from https to http.
        """
        parse_url(url, where=request.where)
        home = origin(url)
        for _ in range(_HOPS):
            headers = dict(request.headers)
            if authorization and origin(url) == home:
                headers["Authorization"] = authorization
            response = self.connections.send(request, url, headers)
            target = response.headers.get("Location")
            if not target or not _can_follow(request, response.status):
                return self._settled(request, response)
            response.stream.close()
            url = resolved(url, target)
        raise TransportError(f"redirected more than {_HOPS} times", where=request.where)

    def _settled(self, request: Request, response: Response) -> Response:
        if failures.is_passing(response.status):
            raise failures.from_answer(self.read(request, response), request.where)
        return response

    def read(self, request: Request, response: Response, limit: int = METADATA_LIMIT) -> Answer:
        """Read all of *response*; raise :class:`LimitExceededError` if it exceeds *limit* bytes."""
        stream = response.stream
        try:
            body = self._whole(stream, limit, request)
        except BaseException:
            stream.close()
            raise
        stream.release()
        return Answer(response.status, response.headers, response.url, body)

    def _whole(self, stream: Body, limit: int, request: Request) -> bytes:
        stream.expect(limit)
        end = time.monotonic() + self.retry.metadata
        parts, total = [], 0
        while chunk := stream.read(_PIECE):
            parts.append(chunk)
            total += len(chunk)
            if total > limit:
                raise LimitExceededError(
                    f"answer larger than {limit} bytes", limit=limit, where=request.where
                )
            if time.monotonic() > end:
                raise TransportError("no whole answer in time", where=request.where)
        return b"".join(parts)

    def hide(self, *secrets: str) -> None:
        """Mask *secrets* in all messages, since a registry may echo them."""
        self._secrets.add(*secrets)

    def close(self) -> None:
        """Close idle connections, and cancel pauses between attempts."""
        self._closed.set()
        self.connections.close()


def _can_follow(request: Request, status: int) -> bool:
    """Return True if *request* can be sent again unchanged after a redirect of *status*."""
    if request.method in ("GET", "HEAD"):
        return status in _REDIRECTS
    return status in _SAME_METHOD and request.repeatable
