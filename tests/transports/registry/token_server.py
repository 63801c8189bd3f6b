"""A token server (Docker's token authentication), and registries that require its tokens."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from tests.transports.registry.fake_registry import Exchange
from tests.transports.registry.serving import Handler, serving


@dataclass
class TokenServer:
    """The known users and the issued tokens."""

    passwords: dict[str, str] = field(default_factory=dict)
    refresh_tokens: set[str] = field(default_factory=set)
    allow_anonymous: bool = True
    lifetime: float = 300
    asked: list[dict[str, list[str]]] = field(default_factory=list)
    valid: dict[str, tuple[float, frozenset[str]]] = field(default_factory=dict)
    answer: Callable[[Handler], bool] = lambda handler: False
    address: str = ""

    def issue(self, scopes: list[str]) -> dict[str, object]:
        token = f"token-{len(self.valid)}"
        self.valid[token] = (time.monotonic() + self.lifetime, frozenset(scopes))
        return {"token": token, "expires_in": max(int(self.lifetime), 1)}

    def revoke_all(self) -> None:
        self.valid = {token: (0.0, scopes) for token, (_, scopes) in self.valid.items()}

    def authorize(self, exchange: Exchange) -> bool:
        """Return whether a request has a valid token, and refuse it otherwise."""
        token = exchange.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.valid.get(token, (0.0, frozenset()))[0] > time.monotonic():
            return True
        challenge = f'Bearer realm="http://{self.address}/token",service="registry.example"'
        exchange.refuse(401, "UNAUTHORIZED", **{"WWW-Authenticate": challenge})
        return False


class _TokenHandler(Handler):
    server_state: TokenServer

    def handle_request(self) -> None:
        state = self.server_state
        if state.answer(self):
            return
        if self.command == "POST":
            form = parse_qs(self.body().decode())
            known = form.get("refresh_token", [""])[0] in state.refresh_tokens
        else:
            form = parse_qs(urlsplit(self.path).query)
            known = self._is_known()
        state.asked.append(form)
        if not known:
            self.refuse(401, "UNAUTHORIZED", "incorrect username or password")
            return
        scopes = " ".join(form.get("scope", [])).split()
        self.answer(200, json.dumps(state.issue(scopes)).encode())

    def _is_known(self) -> bool:
        header = self.headers.get("Authorization")
        if header is None:
            return self.server_state.allow_anonymous
        user, _, password = base64.b64decode(header.removeprefix("Basic ")).decode().partition(":")
        return self.server_state.passwords.get(user) == password


@contextmanager
def token_server() -> Iterator[TokenServer]:
    """A token server on the loopback interface."""
    state = TokenServer()
    with serving(type("Bound", (_TokenHandler,), {"server_state": state})) as address:
        state.address = address
        yield state


def basic(user: str, password: str) -> Callable[[Exchange], bool]:
    """Return the check of a registry with one user and Basic authentication."""
    expected = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def authorize(exchange: Exchange) -> bool:
        if exchange.headers.get("Authorization") == expected:
            return True
        exchange.refuse(401, "UNAUTHORIZED", **{"WWW-Authenticate": 'Basic realm="r"'})
        return False

    return authorize
