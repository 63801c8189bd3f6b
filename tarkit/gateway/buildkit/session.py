"""Sessions: the services that a client offers to the daemon during a build."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tarkit.gateway.buildkit.dial import Endpoint
from tarkit.gateway.buildkit.headers import Metadata
from tarkit.gateway.buildkit.messages.status import Empty, HealthCheckResponse
from tarkit.gateway.buildkit.peer import Call, Handler, Peer

_PREFIX = "x-docker-expose-session-"
_SERVING = HealthCheckResponse(status=1)
_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"


def random_id() -> str:
    """Return a new name as BuildKit makes them: 25 letters and digits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(25))


class Session:
    """Handlers by method; the daemon learns about no others."""

    def __init__(self, handlers: Mapping[str, Handler], *, shared_key: str = "") -> None:
        self.id = random_id()
        self._shared_key = shared_key
        self._handlers = {**handlers, "/grpc.health.v1.Health/Check": _check_health}

    @property
    def metadata(self) -> Metadata:
        """The headers that open the session."""
        return (
            (f"{_PREFIX}uuid", self.id),
            (f"{_PREFIX}name", "tarkit"),
            (f"{_PREFIX}sharedkey", self._shared_key),
            *((f"{_PREFIX}grpc-method", method) for method in self._handlers),
        )

    @contextmanager
    def running(self, endpoint: Endpoint, peer: Peer) -> Iterator[None]:
        """Serve the daemon behind *peer* during the block."""
        pipe = endpoint.session(peer, self.metadata)
        with Peer(pipe, server=True, handlers=self._handlers, where=endpoint.where):
            yield


def _check_health(call: Call) -> None:
    call.receive(Empty)
    call.send(_SERVING)
