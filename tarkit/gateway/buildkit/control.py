"""The service that carries out builds: ``moby.buildkit.v1.Control``."""

from __future__ import annotations

from collections.abc import Iterator

from tarkit.gateway.buildkit.messages.control import (
    InfoResponse,
    ListWorkersRequest,
    ListWorkersResponse,
    SolveRequest,
    StatusRequest,
    StatusResponse,
    WorkerRecord,
)
from tarkit.gateway.buildkit.messages.status import Empty
from tarkit.gateway.buildkit.peer import Call, Peer

_SERVICE = "/moby.buildkit.v1.Control"
_TIMEOUT = 60.0


class Control:
    """Calls of the service; they raise as :class:`~tarkit.gateway.buildkit.peer.Call`."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    def workers(self) -> tuple[WorkerRecord, ...]:
        """Return the daemon's workers."""
        method = f"{_SERVICE}/ListWorkers"
        request = ListWorkersRequest()
        return tuple(
            self._peer.unary(method, request, ListWorkersResponse, timeout=_TIMEOUT).record
        )

    def info(self) -> InfoResponse:
        """Return the daemon's version; old daemons do not implement this."""
        return self._peer.unary(f"{_SERVICE}/Info", Empty(), InfoResponse, timeout=_TIMEOUT)

    def solve(self, request: SolveRequest) -> Call:
        """Start a build; its answer arrives when all outputs are written."""
        call = self._peer.call(f"{_SERVICE}/Solve")
        call.send(request)
        call.close_sending()
        return call

    def watch(self, ref: str) -> tuple[Call, Iterator[StatusResponse]]:
        """Watch the build *ref*: the call, to cancel it, and its messages."""
        call = self._peer.call(f"{_SERVICE}/Status")
        call.send(StatusRequest(ref=ref))
        call.close_sending()
        return call, call.messages(StatusResponse)
