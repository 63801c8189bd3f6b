"""Client of a registry's HTTP API: base URL, authentication and expected status codes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection

from tarkit.errors import AuthenticationError, NotFoundError, TarkitError, TransportError
from tarkit.streams.closeable import Closeable
from tarkit.transports.registry import failures
from tarkit.transports.registry.auth import Authorizer
from tarkit.transports.registry.body import Response
from tarkit.transports.registry.credentials import Credentials
from tarkit.transports.registry.endpoint import (
    DOCKER_HUB,
    DOCKER_HUB_API,
    normalize_base_url,
    require_host,
)
from tarkit.transports.registry.http import Http
from tarkit.transports.registry.messages import Answer, Request
from tarkit.transports.registry.options import RegistryOptions
from tarkit.transports.registry.urls import is_loopback, origin, resolved

OK = frozenset({200})


class RegistryClient(Closeable):
    """A connection to the registry *domain*. Thread-safe; a context manager.

    *credentials* is called at most once, when the registry requires credentials.
    """

    def __init__(
        self,
        domain: str,
        options: RegistryOptions,
        *,
        credentials: Callable[[], Credentials | None],
    ) -> None:
        require_host(domain)
        self._host = DOCKER_HUB_API if domain == DOCKER_HUB else domain
        self._options = options
        self.http = Http(self._host, options)
        self._auth = Authorizer(domain, self.http, credentials)
        self._base = normalize_base_url(options.base_url)
        self._lock = threading.Lock()

    @property
    def base(self) -> str:
        """The base URL of the API: plain HTTP if that is allowed and the registry has no TLS."""
        with self._lock:
            if not self._base:
                self._base = self._find_base()
            return self._base

    def _find_base(self) -> str:
        secure = f"https://{self._host}"
        may_be_plain = not self._options.tls_verify or is_loopback(self._host)
        if may_be_plain and not self.http.connections.speaks_tls(f"{secure}/v2/"):
            return f"http://{self._host}"
        return secure

    def open(self, request: Request) -> Response:
        """Send *request* and return the answer with its body unread; retry passing failures."""
        return self.http.retried(request, lambda: self._authorized(request))

    def send(
        self,
        request: Request,
        expected: Collection[int] = OK,
        *,
        missing: type[TarkitError] = NotFoundError,
    ) -> Answer:
        """Send *request* and read its answer; raise an error unless its status is *expected*."""
        answer = self.http.retried(request, lambda: self._send_once(request))
        if answer.status not in expected:
            raise self.failure(answer, request, missing)
        return answer

    def send_once(self, request: Request, expected: Collection[int] = OK) -> Answer:
        """Send *request* like :meth:`send`, but without retries."""
        answer = self._send_once(request)
        if answer.status not in expected:
            raise self.failure(answer, request)
        return answer

    def try_send(self, request: Request) -> Answer | None:
        """Send a *request* that only saves work; return None if it fails.

        There are no retries, because doing the work is faster than waiting for a registry to
        recover.
        """
        try:
            return self._send_once(request)
        except TransportError:
            return None

    def _send_once(self, request: Request) -> Answer:
        return self.http.read(request, self._authorized(request))

    def failure(
        self, answer: Answer, request: Request, missing: type[TarkitError] = NotFoundError
    ) -> TarkitError:
        """Return the error for *answer*; *missing* is its class if the status is 404."""
        if answer.status == 401 and (advice := self._auth.advice):
            return AuthenticationError(
                f"the credentials are refused{failures.explanation(answer)}",
                where=request.where,
                hint=advice,
            )
        return failures.from_answer(answer, request.where, missing)

    def check_login(self) -> None:
        """Raise :class:`AuthenticationError` unless the registry accepts the credentials."""
        self.send(Request("GET", "/v2/", self._host))

    def location(self, answer: Answer) -> str:
        """Return the absolute URL of *answer*'s ``Location``."""
        return resolved(answer.url, answer.headers.get("Location", ""))

    def _authorized(self, request: Request) -> Response:
        url = request.url if "://" in request.url else self.base + request.url
        # Tokens are sent only to the registry, but uploads may continue at another origin.
        ours = origin(url) == origin(self.base)
        sent = self._auth.header(request.scopes) if ours else None
        response = self.http.follow(request, url, sent)
        refused = response.status == 401 and ours and origin(response.url) == origin(url)
        if not refused or not self._auth.refused(response, request.scopes, sent):
            return response
        if not request.repeatable:
            raise failures.PassingError("the access token expired", where=request.where)
        # Read the body, so that the connection can be reused.
        self.http.read(request, response)
        return self.http.follow(request, url, self._auth.header(request.scopes))

    def close(self) -> None:
        """Close the connections, and cancel pauses between attempts."""
        self.http.close()
