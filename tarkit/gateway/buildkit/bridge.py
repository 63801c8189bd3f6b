"""The service that build functions use: ``moby.buildkit.v1.frontend.LLBBridge``."""

from __future__ import annotations

from typing import TypeVar

from tarkit.gateway.buildkit.messages.bridge import PongResponse, ReturnRequest
from tarkit.gateway.buildkit.messages.status import Empty
from tarkit.gateway.buildkit.peer import Call, Peer
from tarkit.gateway.buildkit.status import StatusError, translated
from tarkit.llb.wire import Message

M = TypeVar("M", bound=Message)

SERVICE = "/moby.buildkit.v1.frontend.LLBBridge"
_PING_TIMEOUT = 15.0  # the daemon waits some seconds for the build to appear


class Bridge:
    """Calls of the service for the build *ref*."""

    def __init__(self, peer: Peer, ref: str) -> None:
        self._peer = peer
        self._metadata = (("buildkit-controlapi-buildid", ref),)

    def raw(self, method: str, request: Message, answer: type[M]) -> M:
        """Call *method*; raises :class:`~tarkit.gateway.buildkit.status.StatusError`."""
        return self._peer.unary(f"{SERVICE}/{method}", request, answer, self._metadata)

    def call(self, method: str, request: Message, answer: type[M]) -> M:
        """Call *method*; raises tarkit's errors."""
        try:
            return self.raw(method, request, answer)
        except StatusError as error:
            raise translated(error) from error

    def stream(self, method: str) -> Call:
        """Start a call of *method* with messages in both directions."""
        return self._peer.call(f"{SERVICE}/{method}", self._metadata)

    def ping(self) -> PongResponse:
        """Wait for the build, and return what the daemon can do."""
        return self._peer.unary(
            f"{SERVICE}/Ping", Empty(), PongResponse, self._metadata, timeout=_PING_TIMEOUT
        )

    def finish(self, request: ReturnRequest) -> None:
        """Give the daemon the result of the build."""
        self.raw("Return", request, Empty)
