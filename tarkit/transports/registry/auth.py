"""Basic authentication and bearer tokens (Docker's token authentication, OAuth 2).

No credentials are sent until a registry requires them. Each set of scopes then has its own token,
which is renewed shortly before it expires, even in the middle of a copy.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import field
from urllib.parse import urlencode

from tarkit.errors import AuthenticationError, MalformedError, TransportError, UsageError
from tarkit.image.document import get_string, parse_object
from tarkit.tracing import trace
from tarkit.transports.registry.body import Response
from tarkit.transports.registry.challenge import Challenge, parse_challenges, preferred
from tarkit.transports.registry.credentials import Credentials
from tarkit.transports.registry.failures import PassingError, explanation, from_answer
from tarkit.transports.registry.http import Http
from tarkit.transports.registry.messages import Request, values_of
from tarkit.transports.registry.numbers import seconds
from tarkit.transports.registry.urls import parse_url, shown, with_query
from tarkit.values import dataclass, replace

_SENDABLE = re.compile(r"[\x21-\x7e]+")  # anything else could inject a header
_LIMIT = 1 << 20
_LIFETIME = 60  # default in seconds (Docker's token specification, "expires_in")
_SHARED = 4  # divides the shared pause, so that it is over when a thread tries again
_MARGIN = 10.0  # seconds before its expiry at which a token is renewed


@dataclass(frozen=True, slots=True)
class _Token:
    header: str = field(repr=False)
    renew_at: float


@dataclass(frozen=True, slots=True)
class _Outage:
    """The *last* of *number* failures in a row; no request is made before *until*."""

    last: TransportError
    number: int
    until: float

    def error(self) -> TransportError:
        """Return a new error, since each thread adds its own traceback."""
        last = self.last
        if isinstance(last, PassingError):
            return PassingError(last.message, where=last.where, hint=last.hint, wait=last.wait)
        return TransportError(last.message, where=last.where, hint=last.hint)


class Authorizer:
    """Provides the ``Authorization`` header of each request to *domain*. Thread-safe.

    *credentials* is called once, when the registry first requires credentials. All requests share
    one retry budget: after ``attempts`` failures in a row, no token is requested for ``longest``
    seconds (see :class:`~tarkit.transports.registry.options.RetryPolicy`).
    """

    def __init__(
        self, domain: str, http: Http, credentials: Callable[[], Credentials | None]
    ) -> None:
        self._domain = domain
        self._http = http
        self._find = credentials
        self._credentials: Credentials | None = None
        self._asked = False
        self._challenge: Challenge | None = None
        self._plain = False  # true if the registry itself uses plain HTTP
        self._tokens: dict[tuple[str, ...], _Token] = {}
        self._outages: dict[tuple[str, ...], _Outage] = {}
        self._lock = threading.RLock()

    def header(self, scopes: tuple[str, ...]) -> str | None:
        """Return the header for a request with *scopes*, or None if none is required."""
        with self._lock:
            if self._challenge is None:
                return None
            credentials = self._known()
            if credentials and credentials.registry_token:
                return _bearer(credentials.registry_token)
            if self._challenge.scheme == "basic":
                return f"Basic {credentials.basic}" if credentials else None
            token = self._tokens.get(scopes)
            if token is None or time.monotonic() >= token.renew_at:
                token = self._tokens[scopes] = self._renewed(self._challenge, scopes)
            return token.header

    def _renewed(self, challenge: Challenge, scopes: tuple[str, ...]) -> _Token:
        """Fetch a token, unless the token server has failed just now or too often."""
        outage = self._outage(scopes)
        if outage and time.monotonic() < outage.until:
            raise outage.error()
        try:
            token = self._fetch(challenge, scopes)
        except TransportError as error:
            self._outages[scopes] = failed = self._failed(error, outage.number if outage else 0)
            raise failed.error() from None
        self._outages.clear()
        return token

    def _outage(self, scopes: tuple[str, ...]) -> _Outage | None:
        """Return the earlier failures that count for *scopes*.

        A refused mount must not block the tokens of an upload, so scopes that had a token before
        have their own count.
        """
        if scopes in self._tokens:
            return self._outages.get(scopes)
        return max(self._outages.values(), key=lambda outage: outage.number, default=None)

    def _failed(self, error: TransportError, earlier: int) -> _Outage:
        """Count *error*; if it exhausts the budget, make it permanent to end all retries."""
        retry = self._http.retry
        number = earlier + 1
        pause = 0.0  # an optional request that cannot connect must not fail the next request
        if number >= retry.attempts:
            pause = retry.longest
            error = TransportError(error.message, where=error.where, hint=error.hint)
        elif isinstance(error, PassingError):
            pause = retry.delay * 2.0 ** min(number, 16) / _SHARED
        return _Outage(error, number, time.monotonic() + pause)

    def refused(self, response: Response, scopes: tuple[str, ...], sent: str | None) -> bool:
        """Process a 401 to a request with the header *sent*; return True if to send it again."""
        with self._lock:
            challenge = preferred(parse_challenges(values_of(response.headers, "WWW-Authenticate")))
            if challenge is None:
                return False
            self._challenge = challenge
            self._plain = parse_url(response.url).scheme == "http"
            known = self._known()
            if known and known.registry_token:
                return not sent
            token = self._tokens.get(scopes)
            # Another thread may have renewed the token meanwhile; keep a token that was not
            # refused.
            if token and token.header == sent:
                self._tokens[scopes] = replace(token, renew_at=0.0)
            return challenge.scheme == "bearer" or (not sent and known is not None)

    @property
    def advice(self) -> str:
        """The hint for credentials that are refused, or an empty string if none are in use."""
        if not self._credentials:
            return ""
        origin = self._credentials.origin
        return f"they are from {origin}" if origin else "check the user name and the password"

    def _known(self) -> Credentials | None:
        if not self._asked:
            self._credentials = self._find() or None
            self._asked = True
            if self._credentials:
                self._http.hide(*self._credentials.secrets)
                trace("credentials for %s: from %s", self._domain, self._credentials.origin)
            else:
                trace("credentials for %s: none, so access is anonymous", self._domain)
        return self._credentials

    def _fetch(self, challenge: Challenge, scopes: tuple[str, ...]) -> _Token:
        realm = challenge.parameters.get("realm", "")
        self._check(realm)
        service = challenge.parameters.get("service", "")
        known = self._known()
        request = (
            _refresh(realm, service, scopes, known.identity_token, self._domain)
            if known and known.identity_token
            else _get(realm, service, scopes, self._domain)
        )
        basic = f"Basic {known.basic}" if known and not known.identity_token else None
        # The lifetime counts from the request, since the answer may have been slow.
        asked_at = time.monotonic()
        answer = self._http.read(request, self._http.follow(request, request.url, basic), _LIMIT)
        if answer.status in (400, 401, 403):
            raise AuthenticationError(
                f"the token server refuses{' the credentials' if known else ''}{explanation(answer)}",
                where=self._domain,
                hint=self.advice or None,
            )
        if answer.status != 200:
            raise from_answer(answer, shown(realm), TransportError)
        return self._read(answer.body, asked_at, shown(realm))

    def _check(self, realm: str) -> None:
        if not realm.lower().startswith(("http://", "https://")):
            raise MalformedError("the registry names no token server", where=self._domain)
        # Credentials must not be sent in the clear unless the registry itself is plain HTTP.
        if parse_url(realm, where=self._domain).scheme == "http" and not self._plain:
            raise TransportError(
                f"the token server {shown(realm)} does not use https", where=self._domain
            )

    def _read(self, body: bytes, asked_at: float, where: str) -> _Token:
        document = parse_object(body, where=where, limit=_LIMIT)
        text = get_string(document, "token", where=where)
        text = text or get_string(document, "access_token", where=where)
        if not _SENDABLE.fullmatch(text):
            raise MalformedError("the token server's answer holds no token", where=where)
        self._http.hide(text)
        lifetime = seconds(document.get("expires_in")) or _LIFETIME
        return _Token(f"Bearer {text}", asked_at + lifetime - min(_MARGIN, lifetime / 4))


def _bearer(token: str) -> str:
    """Return the header for *token*; raise :class:`UsageError` if it cannot be sent."""
    if not _SENDABLE.fullmatch(token):
        raise UsageError("the registry token holds characters that cannot be sent")
    return f"Bearer {token}"


def _get(realm: str, service: str, scopes: tuple[str, ...], where: str) -> Request:
    query = [("service", service)] * bool(service) + [("scope", scope) for scope in scopes]
    return Request("GET", with_query(realm, query), where)


def _refresh(realm: str, service: str, scopes: tuple[str, ...], token: str, where: str) -> Request:
    form = {
        "grant_type": "refresh_token",
        "service": service,
        "client_id": "tarkit",
        "scope": " ".join(scopes),
        "refresh_token": token,
    }
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return Request("POST", realm, where, headers=headers, body=urlencode(form).encode())
