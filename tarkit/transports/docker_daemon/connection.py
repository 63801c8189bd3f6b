"""One request to a daemon and its answer, over a Unix socket or TCP."""

from __future__ import annotations

import contextlib
import math
import socket
import time
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from typing import BinaryIO

from tarkit.errors import TransportError, UnsupportedError
from tarkit.image.document import METADATA_LIMIT
from tarkit.streams import CHUNK_SIZE
from tarkit.streams.chunks import read_bounded
from tarkit.transports.docker_daemon.daemon import Daemon
from tarkit.transports.docker_daemon.failures import (
    broken_off,
    from_answer,
    from_connecting,
    told,
)


class Body:
    """The body of an answer as it comes in; what breaks off raises, and so does what takes too long."""

    def __init__(self, response: HTTPResponse, where: str, seconds: float = math.inf) -> None:
        self._response = response
        self._where = where
        self._deadline = time.monotonic() + seconds

    def read(self, size: int = -1, /) -> bytes:
        """Up to *size* bytes, or what is at hand where it is negative; none at the end only."""
        if time.monotonic() > self._deadline:
            raise TransportError(
                "the Docker daemon gives no whole answer in time", where=self._where
            )
        with told(self._where):
            data = self._response.read1(size)
        if not data and size and self._response.length:
            raise broken_off(self._where)
        return data


@contextlib.contextmanager
def answered(
    daemon: Daemon, path: str, *, upload: BinaryIO | None = None, patience: float = 0
) -> Iterator[Body]:
    """The daemon's answer to a GET of *path*, or to a POST of all of *upload*, while the block lasts.

    It may rest for *patience* seconds, or for the daemon's ``answer_timeout`` between two bytes.
    Raises :class:`ImageNotFoundError` for a 404, and what else the daemon, or its absence, makes of it.
    """
    seconds = patience or daemon.answer_timeout
    with contextlib.closing(_connected(daemon, seconds)) as connection:
        with told(daemon.host):
            _send(connection, path, upload)
            response = connection.getresponse()
        with contextlib.closing(response):
            if response.status != 200:
                body = Body(response, daemon.host, daemon.answer_timeout)
                said = read_bounded(body, METADATA_LIMIT, where=daemon.host)
                raise from_answer(response.status, said, daemon.host)
            yield Body(response, daemon.host, math.inf if patience else seconds)


def _connected(daemon: Daemon, seconds: float) -> HTTPConnection:
    connection = _connection(daemon)
    try:
        connection.connect()
    except OSError as error:
        connection.close()
        raise from_connecting(error, daemon.host) from None
    connection.sock.settimeout(seconds)
    return connection


def _connection(daemon: Daemon) -> HTTPConnection:
    timeout = daemon.connect_timeout
    path = daemon.socket_path
    if path is not None:
        return _UnixConnection(path, timeout)
    host, port = daemon.address
    if daemon.tls is None:
        return HTTPConnection(host, port, timeout=timeout, blocksize=CHUNK_SIZE)
    from tarkit.transports.docker_daemon.tls import tls_context

    context = tls_context(daemon.tls)
    return HTTPSConnection(host, port, timeout=timeout, blocksize=CHUNK_SIZE, context=context)


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
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
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
