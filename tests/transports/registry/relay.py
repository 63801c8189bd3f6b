"""A TCP relay to a registry that counts bytes and cuts connections."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Relay:
    """Counts of bytes ``down`` from and ``up`` to the registry, and when to cut the connection."""

    target: tuple[str, int]
    cut_down_at: int | None = None
    cut_up_at: int | None = None
    down: int = 0
    up: int = 0
    cuts: int = 0
    address: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def passes(self, size: int, *, down: bool) -> bool:
        """Count *size* bytes; return false if the line is cut now."""
        with self.lock:
            total = self.down + size if down else self.up + size
            cut_at = self.cut_down_at if down else self.cut_up_at
            if cut_at is not None and total > cut_at:
                self.cuts += 1
                if down:
                    self.cut_down_at = None
                else:
                    self.cut_up_at = None
                return False
            if down:
                self.down = total
            else:
                self.up = total
            return True


class _Line(socketserver.BaseRequestHandler):
    relay: Relay

    def handle(self) -> None:
        with socket.create_connection(self.relay.target) as registry:
            back = threading.Thread(target=self._pump, args=(registry, self.request, True))
            back.start()
            self._pump(self.request, registry, False)
            back.join()

    def _pump(self, origin: socket.socket, target: socket.socket, down: bool) -> None:
        with contextlib.suppress(OSError):
            while data := origin.recv(1 << 16):
                if not self.relay.passes(len(data), down=down):
                    break
                target.sendall(data)
        for end in (origin, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False


@contextmanager
def relay(address: str) -> Iterator[Relay]:
    """A relay to ``host:port``, at an ``address`` of its own."""
    host, _, port = address.rpartition(":")
    state = Relay((host, int(port)))
    handler = type("Bound", (_Line,), {"relay": state})
    with _Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        state.address = f"127.0.0.1:{server.server_address[1]}"
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
