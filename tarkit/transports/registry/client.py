"""The one client of a registry's HTTP API: its base URL, being let in, and answers that were expected."""

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
    """Speaks to the registry *domain*. Safe to use from several threads; a context manager."""

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
        """The API's base URL. Plain HTTP is tried where it may be spoken and TLS is not."""
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
        """Make *request*; its answer, whatever its status, with the body still to be read."""
        return self.http.retried(request, lambda: self._authorized(request))

    def send(
        self,
        request: Request,
        expected: Collection[int] = OK,
        *,
        missing: type[TarkitError] = NotFoundError,
    ) -> Answer:
        """Make *request* and read its answer; raises what a status not *expected* stands for."""
        answer = self.http.retried(request, lambda: self._send_once(request))
        if answer.status not in expected:
            raise self.failure(answer, request, missing)
        return answer

    def send_once(self, request: Request, expected: Collection[int] = OK) -> Answer:
        """Do as :meth:`send`, but leave it to the caller to try again after a passing failure."""
        answer = self._send_once(request)
        if answer.status not in expected:
            raise self.failure(answer, request)
        return answer

    def try_send(self, request: Request) -> Answer | None:
        """Make a *request* that only saves work. Return its answer, or None if there is none.

        It is not repeated: doing the work is faster than waiting for a registry to recover.
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
        """The error that *answer* stands for; a 404 is *missing*."""
        if answer.status == 401 and self._auth.origin:
            return AuthenticationError(
                f"the credentials are refused{failures.explanation(answer)}",
                where=request.where,
                hint=f"they are from {self._auth.origin}",
            )
        return failures.from_answer(answer, request.where, missing)

    def check_login(self) -> None:
        """Raise :class:`AuthenticationError` unless the registry lets us in."""
        self.send(Request("GET", "/v2/", self._host))

    def location(self, answer: Answer) -> str:
        """Where *answer*'s ``Location`` leads to, in full."""
        return resolved(answer.url, answer.headers.get("Location", ""))

    def _authorized(self, request: Request) -> Response:
        url = request.url if "://" in request.url else self.base + request.url
        ours = origin(url) == origin(self.base)
        sent = self._auth.header(request.scopes) if ours else None
        response = self.http.follow(request, url, sent)
        refused = response.status == 401 and ours and origin(response.url) == origin(url)
        if not refused or not self._auth.refused(response, request.scopes, sent):
            return response
        if not request.repeatable:
            raise failures.PassingError("the access token ran out", where=request.where)
        self.http.read(request, response)
        return self.http.follow(request, url, self._auth.header(request.scopes))

    def close(self) -> None:
        """Close the connections, and wake whoever waits for another try."""
        self.http.close()
