"""Send one request to a daemon and read the response, over a Unix socket or TCP."""

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
from tarkit.streams.sockets import CancellableSocket, TimeAllowance, connected
from tarkit.transports.docker_daemon.daemon import Daemon
from tarkit.transports.docker_daemon.failures import (
    closed_early,
    from_answer,
    from_connecting,
    translated_errors,
)

if TYPE_CHECKING:
    import ssl

# Raw bytes of a response other than an image, with chunk framing. Readers set lower limits.
_LONGEST = 1 << 30
_SUCCESS = (200, 201)


class Body:
    """The body of a response; reading raises :class:`TransportError` if it is truncated or late.

    *allowance* limits the whole body or, if *each*, every single read.
    """

    def __init__(
        self, response: HTTPResponse, where: str, allowance: TimeAllowance, *, each: bool = False
    ) -> None:
        self._response = response
        self._where = where
        self._allowance = allowance
        self._each = each

    def read(self, size: int = -1, /) -> bytes:
        """Return up to *size* bytes, or any available bytes if negative; empty only at the end."""
        if self._each:
            # Twice the chunk size, to leave room for chunk framing.
            self._allowance.renew(CHUNK_SIZE * 2)
        with translated_errors(self._where):
            try:
                data = self._response.read1(size)
            except TimeoutError:
                if self._each:
                    raise
                raise TransportError(
                    "the Docker daemon did not finish its response in time", where=self._where
                ) from None
        # http.client ends a short body silently; its length is the part that is still missing.
        if not data and size and self._response.length:
            raise closed_early(self._where)
        return data


@contextlib.contextmanager
def response_to(
    daemon: Daemon,
    path: str,
    *,
    upload: BinaryIO | None = None,
    post: bool = False,
    stall_timeout: float = 0,
) -> Iterator[Body]:
    """GET *path*, or POST all of *upload* or, with *post*, nothing to it; yield the response's body.

    The whole response must arrive within the daemon's ``answer_timeout``. If *stall_timeout* is
    given, it may take any time, but must not pause for more seconds than that. Raises
    :class:`ImageNotFoundError` for status 404, and the errors of :class:`DaemonClient
    <tarkit.transports.docker_daemon.client.DaemonClient>`.
    """
    seconds = stall_timeout or daemon.answer_timeout
    allowance = TimeAllowance(daemon.host, seconds)
    with contextlib.closing(_connected(daemon, allowance, seconds)) as connection:
        with translated_errors(daemon.host):
            _send(connection, path, upload, "POST" if post else "GET")
            allowance.renew()  # the upload has used the time for sending
            response = connection.getresponse()
        with contextlib.closing(response):
            allowance.expect(_LONGEST)
            if response.status not in _SUCCESS:
                explanation = read_bounded(
                    Body(response, daemon.host, allowance), METADATA_LIMIT, where=daemon.host
                )
                raise from_answer(response.status, explanation, daemon.host)
            yield Body(response, daemon.host, allowance, each=bool(stall_timeout))


def _connected(daemon: Daemon, allowance: TimeAllowance, seconds: float) -> HTTPConnection:
    connection = _connection(daemon)
    try:
        connection.connect()
    except OSError as error:
        connection.close()
        raise from_connecting(error, daemon.host) from None
    except BaseException:
        connection.close()
        raise
    # From now on, the allowance limits the time and size of the response.
    connection.sock.settimeout(seconds)
    if isinstance(connection.sock, CancellableSocket):
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
                "Python does not support Unix sockets on this platform",
                where=self._path,
                hint="set DOCKER_HOST to tcp://host:port",
            )
        self.sock = CancellableSocket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _send(connection: HTTPConnection, path: str, upload: BinaryIO | None, method: str) -> None:
    headers = {"User-Agent": "tarkit", "Accept-Encoding": "identity"}
    if upload is None:
        connection.request(method, path, headers=headers)
        return
    headers["Content-Type"] = "application/x-tar"
    headers["Content-Length"] = str(upload.seek(0, 2))
    upload.seek(0)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        # A daemon may refuse and close the connection early; its response contains the reason.
        connection.request("POST", path, body=upload, headers=headers)
