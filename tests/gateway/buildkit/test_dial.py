"""Addresses of daemons, and the ways in."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tarkit.errors import TransportError, UsageError
from tarkit.gateway.buildkit.dial import DockerEndpoint, dial_command, endpoint
from tarkit.gateway.buildkit.messages.status import BytesMessage
from tarkit.gateway.buildkit.peer import Call, Peer
from tarkit.gateway.buildkit.pipes import SocketPipe
from tarkit.gateway.buildkit.upgrade import RestPipe
from tarkit.transports.docker_daemon.daemon import Daemon


@pytest.mark.parametrize(
    ("address", "command"),
    [
        ("docker-container://bk", "docker exec -i bk"),
        ("docker-container://bk?context=far", "docker --context=far exec -i bk"),
        ("podman-container://bk", "podman exec -i bk"),
        ("kube-pod://bk?namespace=ci&container=main",
         "kubectl --namespace=ci exec -i --container=main bk --"),
        ("ssh://me@host", "ssh -- me@host"),
        ("ssh://host:2222", "ssh -p 2222 -- host"),
    ],
)  # fmt: skip
def test_a_program_connects_with_buildkitd(address: str, command: str) -> None:
    assert dial_command(address) == [*command.split(), "buildctl", "dial-stdio"]


@pytest.mark.parametrize(
    "address", ["ssh://-oProxyCommand=x", "kube-pod://a?namespace=--x", "ftp://a", "unix://", "x"]
)
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(UsageError):
        endpoint(address).connect()


def echo(call: Call) -> None:
    for message in call.messages(BytesMessage):
        call.send(message)


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as found:
        found.bind(str(tmp_path / "socket"))
        found.listen()
        yield found


def serve(connection: socket.socket, *, with_http2: bool) -> None:
    """Serve HTTP/2, or an upgrade to it, on a connection."""
    pipe = SocketPipe(connection)
    first = pipe.read()
    if not with_http2:
        if not first.startswith(b"POST /grpc HTTP/1.1\r\n"):
            pipe.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n400 Bad Request")
            pipe.close()
            return
        pipe.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n")
        first = b""
    with Peer(RestPipe(pipe, first), server=True, handlers={"/test/Echo": echo}) as peer:
        peer.wait_closed()


@pytest.mark.parametrize("with_http2", [True, False])
def test_a_docker_daemon_speaks_http2_at_once_or_after_an_upgrade(
    listener: socket.socket, with_http2: bool
) -> None:
    def accept() -> None:
        for _ in range(2):  # the second after the probe
            serve(listener.accept()[0], with_http2=with_http2)

    thread = threading.Thread(target=accept)
    thread.start()
    daemon = DockerEndpoint(Daemon(f"unix://{listener.getsockname()}"))
    with Peer(daemon.connect()) as client:
        answer = client.unary("/test/Echo", BytesMessage(data=b"hello"), BytesMessage)
        assert answer.data == b"hello"
    thread.join()


def test_a_daemon_without_buildkit_says_why(listener: socket.socket) -> None:
    def accept() -> None:
        for _ in range(2):
            with listener.accept()[0] as connection:
                connection.recv(1000)
                connection.sendall(b'HTTP/1.1 404 Not Found\r\n\r\n{"message":"page not found"}')

    thread = threading.Thread(target=accept)
    thread.start()
    daemon = DockerEndpoint(Daemon(f"unix://{listener.getsockname()}"))
    with pytest.raises(TransportError, match="no BuildKit at /grpc: page not found"):
        daemon.connect()
    thread.join()
