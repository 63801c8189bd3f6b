"""urllib3 connections over sockets with cancellable waits and a total time limit."""

from __future__ import annotations

import socket
from functools import cache
from typing import TYPE_CHECKING, Any

from tarkit.streams.sockets import CancellableSocket, TimeAllowance, connected

if TYPE_CHECKING:
    from urllib3.connection import HTTPConnection as _Base
else:
    _Base = object  # importing urllib3 is slow, so it happens on first use


class _TimedConnection(_Base):
    """A mixin for connections; one allowance limits connecting, head and body of an answer."""

    seconds: float
    _fresh = False

    def __init__(self, host: str, *arguments: Any, **options: Any) -> None:
        super().__init__(host, *arguments, **options)
        self.allowance = TimeAllowance(host, self.seconds)

    def connect(self) -> None:
        """Start the allowance and connect, through the proxy if any."""
        self.allowance.renew()
        super().connect()
        self._fresh = True
        if isinstance(self.sock, CancellableSocket):  # TLS wrapped the socket in a new one
            self.sock.allowance = self.allowance

    def request(self, *arguments: Any, **options: Any) -> None:
        """Send a request, with a new allowance if the connection is reused."""
        # A new connection has started its allowance in connect().
        if self.sock is not None and not self._fresh:
            self.allowance.renew()
        super().request(*arguments, **options)
        self._fresh = False

    def _new_conn(self) -> socket.socket:
        from urllib3.exceptions import (
            ConnectTimeoutError,
            NameResolutionError,
            NewConnectionError,
        )

        try:
            return connected(
                self._dns_host,
                self.port,
                self.timeout,
                allowance=self.allowance,
                options=self.socket_options or (),
            )
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except TimeoutError as error:
            raise ConnectTimeoutError(self, "timed out") from error
        except OSError as error:
            raise NewConnectionError(self, "no connection") from error


@cache
def pool_classes(seconds: float) -> dict[str, Any]:
    """Return the pool classes by scheme; each answer may take *seconds*."""
    from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
    from urllib3.connection import HTTPConnection, HTTPSConnection

    def pool(base: type, connection: type) -> type:
        timed = type("TimedConnection", (_TimedConnection, connection), {"seconds": seconds})
        return type("TimedPool", (base,), {"ConnectionCls": timed})

    return {
        "http": pool(HTTPConnectionPool, HTTPConnection),
        "https": pool(HTTPSConnectionPool, HTTPSConnection),
    }
