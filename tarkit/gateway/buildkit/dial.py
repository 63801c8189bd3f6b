"""Connect to daemons: buildkitd by sockets or child processes, and the Docker daemon."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from typing import Protocol
from urllib.parse import parse_qs, urlsplit

from tarkit.errors import TransportError, UnsupportedError, UsageError
from tarkit.gateway.buildkit.headers import Metadata
from tarkit.gateway.buildkit.peer import Peer
from tarkit.gateway.buildkit.pipes import ChildPipe, Pipe, SocketPipe, TlsPipe
from tarkit.gateway.buildkit.tunnel import CallPipe
from tarkit.gateway.buildkit.upgrade import speaks_http2, upgraded
from tarkit.streams.sockets import connected
from tarkit.transports.docker_daemon.daemon import Daemon, TlsFiles
from tarkit.transports.docker_daemon.failures import from_connecting
from tarkit.transports.docker_daemon.tls import tls_context

_SESSION = "/moby.buildkit.v1.Control/Session"
_HTTP2 = "h2"
_TIMEOUT = 10.0
SCHEMES = ("unix", "tcp", "docker-container", "podman-container", "kube-pod", "ssh")


class Endpoint(Protocol):
    """A daemon; ``where`` names it in errors. Methods raise the errors of connecting."""

    where: str

    def connect(self) -> Pipe:
        """Return a new connection for calls."""
        ...

    def session(self, peer: Peer, metadata: Metadata) -> Pipe:
        """Return a pipe on which the daemon calls the services of a session."""
        ...


class BuildkitEndpoint:
    """A buildkitd; sessions are tunnels through a call."""

    def __init__(self, where: str, connect: Callable[[], Pipe]) -> None:
        self.where = where
        self.connect = connect

    def session(self, peer: Peer, metadata: Metadata) -> Pipe:
        """See :class:`Endpoint`."""
        return CallPipe(peer.call(_SESSION, metadata))


class DockerEndpoint:
    """A Docker daemon, whose older versions need an upgrade of HTTP/1.1."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self.where = daemon.host
        self._is_direct: bool | None = None

    def connect(self) -> Pipe:
        """See :class:`Endpoint`."""
        if self._is_direct is None:
            with contextlib.closing(self._pipe(_HTTP2)) as probe:
                self._is_direct = speaks_http2(probe)
        if self._is_direct:
            return self._pipe(_HTTP2)
        return upgraded(self._pipe("http/1.1"), "/grpc", (), self.where)

    def session(self, peer: Peer, metadata: Metadata) -> Pipe:
        """See :class:`Endpoint`."""
        if self._is_direct:
            return CallPipe(peer.call(_SESSION, metadata))
        return upgraded(self._pipe("http/1.1"), "/session", metadata, self.where)

    def _pipe(self, alpn: str) -> Pipe:
        path = self._daemon.socket_path
        timeout = self._daemon.connect_timeout
        if path is not None:
            return unix_pipe(path, self.where, timeout)
        host, port = self._daemon.address
        return tcp_pipe(host, port, self.where, self._daemon.tls, alpn=alpn, timeout=timeout)


def endpoint(address: str, tls: TlsFiles | None = None) -> Endpoint:
    """Return the daemon at *address*: ``docker-daemon:`` or a URL as for BuildKit's ``buildctl``.

    Raises :class:`~tarkit.errors.UsageError` for malformed addresses.
    """
    if address == "docker-daemon:":
        return DockerEndpoint(Daemon.find())
    scheme, _, rest = address.partition("://")
    if scheme not in SCHEMES or not rest:
        raise UsageError(
            f"unknown engine {address[:80]!r}",
            hint="use local, docker-daemon:, unix:///path, tcp://host:port or docker-container://name",
        )
    if scheme == "unix":
        return BuildkitEndpoint(address, lambda: unix_pipe(rest, address, _TIMEOUT))
    if scheme == "tcp":
        host, port = Daemon(address, tls).address
        return BuildkitEndpoint(address, lambda: tcp_pipe(host, port, address, tls, alpn=_HTTP2))
    command = dial_command(address)
    return BuildkitEndpoint(address, lambda: ChildPipe(command))


def dial_command(address: str) -> list[str]:
    """Return the command that connects its standard streams to the buildkitd at *address*."""
    parts = urlsplit(address)
    name = parts.netloc
    options = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    if name.startswith("-") or any(value.startswith("-") for value in options.values()):
        raise UsageError(f"malformed engine {address[:80]!r}")  # it would be an option
    dial = ["buildctl", "dial-stdio"]
    if parts.scheme == "ssh":
        host, _, port = name.rpartition(":") if ":" in name else (name, "", "")
        return ["ssh", *(["-p", port] if port else []), "--", host, *dial]
    if parts.scheme == "kube-pod":
        named = [f"--{key}={options[key]}" for key in ("context", "namespace") if key in options]
        container = [f"--container={options['container']}"] if "container" in options else []
        return ["kubectl", *named, "exec", "-i", *container, name, "--", *dial]
    program = parts.scheme.removesuffix("-container")
    context = [f"--context={options['context']}"] if "context" in options else []
    return [program, *context, "exec", "-i", name, *dial]


def unix_pipe(path: str, where: str, timeout: float) -> Pipe:
    """Connect to a Unix socket."""
    if not hasattr(socket, "AF_UNIX"):
        raise UnsupportedError("Python does not support Unix sockets here", where=where)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout)
        connection.connect(path)
        connection.settimeout(None)
    except OSError as error:
        connection.close()
        raise _refused(error, where) from None
    return SocketPipe(connection)


def tcp_pipe(
    host: str, port: int, where: str, tls: TlsFiles | None, *, alpn: str, timeout: float = _TIMEOUT
) -> Pipe:
    """Connect over TCP, by TLS if there are files for it."""
    context = tls_context(tls) if tls is not None else None
    pipe: Pipe | None = None
    try:
        connection = connected(host, port, timeout)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pipe = SocketPipe(connection)
        if context is not None:
            context.set_alpn_protocols([alpn])
            pipe = TlsPipe(pipe, context, host)
        connection.settimeout(None)
    except OSError as error:
        if pipe is not None:
            pipe.close()
        raise _refused(error, where) from None
    return pipe


def _refused(error: OSError, where: str) -> Exception:
    found = from_connecting(error, where)
    if isinstance(found, TransportError) and found.message == "no Docker daemon is listening":
        return TransportError("no daemon is listening", where=where, hint="start it")
    return found
