"""Being let in: Basic authentication and bearer tokens (Docker's token authentication, OAuth 2).

Nothing is sent before a registry asks. Then a token is fetched for each set of scopes, kept while
it lasts, and fetched anew when it has run out, whatever is being copied meanwhile.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlencode

from tarkit.errors import AuthenticationError, MalformedError, TransportError
from tarkit.image.document import get_string, parse_object
from tarkit.transports.registry.body import Response
from tarkit.transports.registry.challenge import Challenge, parse_challenges, preferred
from tarkit.transports.registry.credentials import Credentials
from tarkit.transports.registry.failures import PassingError, explanation, from_answer
from tarkit.transports.registry.http import Http
from tarkit.transports.registry.messages import Request, values_of
from tarkit.transports.registry.numbers import seconds
from tarkit.transports.registry.urls import parse_url, shown

_SENDABLE = re.compile(r"[\x21-\x7e]+")
_LIMIT = 1 << 20
_LIFETIME = 60  # seconds, where a token server does not say
_SHARED = 4  # a thread pauses for longer than the others refrain from asking
_MARGIN = 10.0  # a token this near to its end is not begun with


@dataclass(frozen=True, slots=True)
class _Token:
    header: str = field(repr=False)
    renew_at: float


@dataclass(frozen=True, slots=True)
class _Outage:
    """The last failure of the token server, the *number* of failures in a row, and when to try again."""

    last: PassingError
    number: int
    until: float

    def error(self) -> PassingError:
        last = self.last
        return PassingError(last.message, where=last.where, hint=last.hint, wait=last.wait)


class Authorizer:
    """The ``Authorization`` for each request to *domain*. Safe to use from several threads.

    *credentials* are looked for when the registry first asks for any.
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
        self._plain = False  # whether the registry itself is spoken to over plain HTTP
        self._tokens: dict[tuple[str, ...], _Token] = {}
        self._outage: _Outage | None = None
        self._lock = threading.RLock()

    def header(self, scopes: tuple[str, ...]) -> str | None:
        """What to send with a request that needs *scopes*; ``None`` where nothing was asked for."""
        with self._lock:
            if self._challenge is None:
                return None
            if self._challenge.scheme == "basic":
                credentials = self._known()
                return f"Basic {credentials.basic}" if credentials else None
            token = self._tokens.get(scopes)
            if token is None or time.monotonic() >= token.renew_at:
                token = self._tokens[scopes] = self._renewed(self._challenge, scopes)
            return token.header

    def _renewed(self, challenge: Challenge, scopes: tuple[str, ...]) -> _Token:
        """Fetch a token, unless another thread just failed to: they all share one pause."""
        if self._outage and time.monotonic() < self._outage.until:
            raise self._outage.error()
        try:
            token = self._fetch(challenge, scopes)
        except PassingError as error:
            number = self._outage.number + 1 if self._outage else 1
            pause = self._http.patience.delay * 2.0 ** min(number, 16) / _SHARED
            self._outage = _Outage(error, number, time.monotonic() + pause)
            raise
        self._outage = None
        return token

    def refused(self, response: Response, scopes: tuple[str, ...], sent: str | None) -> bool:
        """Learn from a 401 to a request with *sent*; whether another try has something new to send."""
        with self._lock:
            challenge = preferred(parse_challenges(values_of(response.headers, "WWW-Authenticate")))
            if challenge is None:
                return False
            self._challenge = challenge
            self._plain = parse_url(response.url).scheme == "http"
            token = self._tokens.get(scopes)
            if token and token.header == sent:
                del self._tokens[scopes]
            return challenge.scheme == "bearer" or (not sent and self._known() is not None)

    @property
    def origin(self) -> str:
        """Where the credentials that were used come from; empty where none were."""
        return self._credentials.origin if self._credentials else ""

    def _known(self) -> Credentials | None:
        if not self._asked:
            self._credentials = self._find() or None
            self._asked = True
            if self._credentials:
                self._http.hide(*self._credentials.secrets)
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
        asked_at = time.monotonic()
        answer = self._http.read(request, self._http.follow(request, request.url, basic), _LIMIT)
        if answer.status in (400, 401, 403):
            raise AuthenticationError(
                f"the token server refuses{' the credentials' if known else ''}{explanation(answer)}",
                where=self._domain,
                hint=f"they are from {known.origin}" if known and known.origin else None,
            )
        if answer.status != 200:
            raise from_answer(answer, shown(realm), TransportError)
        return self._read(answer.body, asked_at, shown(realm))

    def _check(self, realm: str) -> None:
        if not realm.lower().startswith(("http://", "https://")):
            raise MalformedError("it names no token server", where=self._domain)
        if parse_url(realm, where=self._domain).scheme == "http" and not self._plain:
            raise TransportError(
                f"its token server {shown(realm)} is not on https", where=self._domain
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


def _get(realm: str, service: str, scopes: tuple[str, ...], where: str) -> Request:
    query = urlencode([("service", service)] * bool(service) + [("scope", s) for s in scopes])
    joint = "&" if parse_url(realm).query else "?"
    return Request("GET", f"{realm}{joint}{query}" if query else realm, where)


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
