"""urllib3's connections over sockets whose waits can be cancelled and add up."""

from __future__ import annotations

import socket
from functools import cache
from typing import TYPE_CHECKING, Any

from tarkit.streams.sockets import Allowance, Patient, connected

if TYPE_CHECKING:
    from urllib3.connection import HTTPConnection as _Base
else:
    _Base = object  # urllib3 is imported when it is used


class _Patience(_Base):
    """Mixed into connections: connecting, the head of an answer and its body share one allowance."""

    seconds: float
    _fresh = False

    def __init__(self, host: str, *arguments: Any, **options: Any) -> None:
        super().__init__(host, *arguments, **options)
        self.allowance = Allowance(host, self.seconds)

    def connect(self) -> None:
        """Connect, through a proxy if there is one, and begin the allowance."""
        self.allowance.renew()
        super().connect()
        self._fresh = True
        if isinstance(self.sock, Patient):  # TLS replaces the socket
            self.sock.allowance = self.allowance

    def request(self, *arguments: Any, **options: Any) -> None:
        """Send a request; on a connection used before, with a new allowance."""
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
    """Return the pools by scheme whose connections allow *seconds* for an answer."""
    from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
    from urllib3.connection import HTTPConnection, HTTPSConnection

    def pool(base: type, connection: type) -> type:
        patient = type("PatientConnection", (_Patience, connection), {"seconds": seconds})
        return type("PatientPool", (base,), {"ConnectionCls": patient})

    return {
        "http": pool(HTTPConnectionPool, HTTPConnection),
        "https": pool(HTTPSConnectionPool, HTTPSConnection),
    }
