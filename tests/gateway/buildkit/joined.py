"""A client and a server, joined in memory."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tarkit.gateway.buildkit.peer import Handler, Peer
from tarkit.gateway.buildkit.pipes import SocketPipe
from tarkit.gateway.buildkit.protocol import Event, Protocol

Events = list[Event]


class Wire:
    """Two protocols, whose bytes are exchanged in pieces of *size*; no threads, no I/O."""

    def __init__(self, size: int = 1 << 20) -> None:
        self.client, self.server = Protocol(server=False), Protocol(server=True)
        self._size = size

    def exchange(self) -> tuple[Events, Events]:
        """Pass all bytes on; return the events of the client and of the server."""
        at_client: Events = []
        at_server: Events = []
        while self.client.ready or self.server.ready:
            self._pass(self.client, self.server, at_server)
            self._pass(self.server, self.client, at_client)
        return at_client, at_server

    def _pass(self, source: Protocol, target: Protocol, events: Events) -> None:
        data = source.take()
        for start in range(0, len(data), self._size):
            events += target.receive(data[start : start + self._size])


@contextmanager
def joined(handlers: Mapping[str, Handler]) -> Iterator[Peer]:
    """Yield a client of a server with *handlers*."""
    near, far = socket.socketpair()
    with (
        Peer(SocketPipe(near), where="the daemon") as client,
        Peer(SocketPipe(far), server=True, handlers=handlers),
    ):
        yield client
