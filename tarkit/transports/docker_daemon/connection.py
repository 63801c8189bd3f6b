"""One request to a daemon and its answer, over a Unix socket or TCP."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from typing import TYPE_CHECKING, BinaryIO

from tarkit.errors import TransportError, UnsupportedError
from tarkit.image.document import METADATA_LIMIT
from tarkit.streams import CHUNK_SIZE
from tarkit.streams.chunks import read_bounded
from tarkit.streams.sockets import Allowance, Patient, connected
from tarkit.transports.docker_daemon.daemon import Daemon
from tarkit.transports.docker_daemon.failures import (
    broken_off,
    from_answer,
    from_connecting,
    told,
)

if TYPE_CHECKING:
    import ssl

_LONGEST = 1 << 30  # raw bytes of an answer that is no image; its readers have limits of their own


class Body:
    """The body of an answer as it comes in; what breaks off raises, and so does what takes too long.

    All of it has *seconds*, or else each read has as long as the connection allows.
    """

    def __init__(
        self, response: HTTPResponse, where: str, allowance: Allowance, *, each: bool = False
    ) -> None:
        self._response = response
        self._where = where
        self._allowance = allowance
        self._each = each

    def read(self, size: int = -1, /) -> bytes:
        """Up to *size* bytes, or what is at hand where it is negative; none at the end only."""
        if self._each:
            self._allowance.renew(CHUNK_SIZE * 2)
        with told(self._where):
            try:
                data = self._response.read1(size)
            except TimeoutError:
                if self._each:
                    raise
                raise TransportError(
                    "the Docker daemon gives no whole answer in time", where=self._where
                ) from None
        if not data and size and self._response.length:
            raise broken_off(self._where)
        return data


@contextlib.contextmanager
def answered(
    daemon: Daemon, path: str, *, upload: BinaryIO | None = None, patience: float = 0
) -> Iterator[Body]:
    """The daemon's answer to a GET of *path*, or to a POST of all of *upload*, while the block lasts.

    It may rest for *patience* seconds at a time; without, all of it has the daemon's
    ``answer_timeout``. Raises :class:`ImageNotFoundError` for a 404, and what else the daemon, or
    its absence, makes of it.
    """
    seconds = patience or daemon.answer_timeout
    allowance = Allowance(daemon.host, seconds)
    with contextlib.closing(_connected(daemon, allowance, seconds)) as connection:
        with told(daemon.host):
            _send(connection, path, upload)
            allowance.renew()
            response = connection.getresponse()
        with contextlib.closing(response):
            allowance.expect(_LONGEST)
            if response.status != 200:
                said = read_bounded(
                    Body(response, daemon.host, allowance), METADATA_LIMIT, where=daemon.host
                )
                raise from_answer(response.status, said, daemon.host)
            yield Body(response, daemon.host, allowance, each=bool(patience))


def _connected(daemon: Daemon, allowance: Allowance, seconds: float) -> HTTPConnection:
    connection = _connection(daemon)
    try:
        connection.connect()
    except OSError as error:
        connection.close()
        raise from_connecting(error, daemon.host) from None
    except BaseException:
        connection.close()
        raise
    connection.sock.settimeout(seconds)
    if isinstance(connection.sock, Patient):
        connection.sock.allowance = allowance
    return connection


def _connection(daemon: Daemon) -> HTTPConnection:
    timeout = daemon.connect_timeout
    path = daemon.socket_path
    if path is not None:
        return _UnixConnection(path, timeout)
    host, port = daemon.address
    if daemon.tls is None:
        return _TcpConnection(host, port, timeout=timeout, blocksize=CHUNK_SIZE)
    from tarkit.transports.docker_daemon.tls import tls_context

    return _TlsConnection(host, port, timeout=timeout, context=tls_context(daemon.tls))


class _TcpConnection(HTTPConnection):
    def connect(self) -> None:
        self.sock = connected(self.host, self.port, self.timeout)


class _TlsConnection(_TcpConnection):
    def __init__(self, host: str, port: int, *, timeout: float, context: ssl.SSLContext) -> None:
        super().__init__(host, port, timeout=timeout, blocksize=CHUNK_SIZE)
        self._context = context

    def connect(self) -> None:
        super().connect()
        self.sock = self._context.wrap_socket(self.sock, server_hostname=self.host)


class _UnixConnection(HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("docker", timeout=timeout, blocksize=CHUNK_SIZE)
        self._path = path

    def connect(self) -> None:
        if not hasattr(socket, "AF_UNIX"):
            raise UnsupportedError(
                "Python has no Unix sockets here",
                where=self._path,
                hint="set DOCKER_HOST to tcp://host:port",
            )
        self.sock = Patient(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _send(connection: HTTPConnection, path: str, upload: BinaryIO | None) -> None:
    headers = {"User-Agent": "tarkit", "Accept-Encoding": "identity"}
    if upload is None:
        connection.request("GET", path, headers=headers)
        return
    headers["Content-Type"] = "application/x-tar"
    headers["Content-Length"] = str(upload.seek(0, 2))
    upload.seek(0)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        # a daemon that refuses may close before it has everything: it has said why
        connection.request("POST", path, body=upload, headers=headers)
