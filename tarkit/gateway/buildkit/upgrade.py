"""The Docker daemon's ways to gRPC: HTTP/2 at once, or after an upgrade of HTTP/1.1."""

from __future__ import annotations

from tarkit.errors import TransportError
from tarkit.gateway.buildkit.headers import Metadata
from tarkit.gateway.buildkit.pipes import Pipe
from tarkit.transports.docker_daemon.failures import explanation

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"  # and empty SETTINGS
_SETTINGS = 4
_HEAD = 64 << 10


class RestPipe:
    """A pipe whose first bytes, *received*, have been read already."""

    def __init__(self, inner: Pipe, received: bytes) -> None:
        self._inner, self._received = inner, received
        self.write, self.close = inner.write, inner.close

    def read(self) -> bytes:
        """See :class:`~tarkit.gateway.buildkit.pipes.Pipe`."""
        if self._received:
            data, self._received = self._received, b""
            return data
        return self._inner.read()


def speaks_http2(pipe: Pipe) -> bool:
    """Return whether a daemon answers a client of HTTP/2 in kind; *pipe* is then of no more use."""
    received = b""
    try:
        pipe.write(_PREFACE)
        while len(received) < 9 and (data := pipe.read()):
            received += data
    except OSError:
        return False
    return len(received) >= 9 and received[3] == _SETTINGS


def upgraded(pipe: Pipe, path: str, headers: Metadata, where: str) -> Pipe:
    """Upgrade HTTP/1.1 at *path* to a pipe for HTTP/2.

    Raises :class:`~tarkit.errors.TransportError` if the daemon refuses.
    """
    lines = [f"POST {path} HTTP/1.1", "Host: docker", "Connection: Upgrade", "Upgrade: h2c"]
    lines += [f"{name}: {value}" for name, value in headers]
    request = "\r\n".join([*lines, "", ""]).encode("ascii")
    received = b""
    try:
        pipe.write(request)
        while b"\r\n\r\n" not in received and len(received) < _HEAD and (data := pipe.read()):
            received += data
    except OSError as error:
        pipe.close()
        raise TransportError(
            f"the upgrade failed ({error.strerror or error})", where=where
        ) from None
    head, _, rest = received.partition(b"\r\n\r\n")
    if head.split(b" ", 2)[1:2] == [b"101"]:
        return RestPipe(pipe, rest)
    pipe.close()
    raise TransportError(
        f"the daemon has no BuildKit at {path}{explanation(rest) if rest else ''}", where=where,
        hint="Docker 18.09 and later have it",
    )  # fmt: skip
