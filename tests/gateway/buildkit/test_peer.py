"""Calls between threads on a real connection."""

from __future__ import annotations

import socket
import ssl
import sys
import threading
from pathlib import Path

import pytest

from tarkit.errors import CancelledError, TransportError
from tarkit.gateway.buildkit.dial import endpoint
from tarkit.gateway.buildkit.messages.status import BytesMessage, Empty
from tarkit.gateway.buildkit.peer import Call, Peer
from tarkit.gateway.buildkit.pipes import ChildPipe, SocketPipe, TlsPipe
from tarkit.gateway.buildkit.status import Code, StatusError
from tarkit.gateway.buildkit.tunnel import CallPipe
from tarkit.streams.cancellation import Cancellation
from tarkit.transports.docker_daemon.daemon import TlsFiles
from tests.conformance.certificates import make_authority, sign
from tests.gateway.buildkit.joined import joined

ECHO, FAIL, WAIT = "/test/Echo", "/test/Fail", "/test/Wait"


def echo(call: Call) -> None:
    for message in call.messages(BytesMessage):
        call.send(message)


def fail(call: Call) -> None:
    raise StatusError(Code.NOT_FOUND, "nothing here")


def wait(call: Call) -> None:
    call.receive(BytesMessage)


def exchange(client: Peer, count: int, size: int) -> int:
    call = client.call(ECHO)

    def send() -> None:
        for _ in range(count):
            call.send(BytesMessage(data=bytes(size)))
        call.close_sending()

    thread = threading.Thread(target=send)
    thread.start()
    total = sum(len(message.data) for message in call.messages(BytesMessage))
    thread.join()
    return total


def test_bulk_data_passes_both_ways_at_once() -> None:
    with joined({ECHO: echo}) as client:
        assert exchange(client, 200, 100_000) == 20_000_000


def test_errors_of_handlers_are_statuses() -> None:
    with joined({FAIL: fail, ECHO: lambda call: [][0]}) as client:
        with pytest.raises(StatusError, match="nothing here") as caught:
            client.unary(FAIL, Empty(), Empty)
        assert caught.value.code == Code.NOT_FOUND
        with pytest.raises(StatusError, match="index out of range"):
            client.unary(ECHO, Empty(), Empty)
        with pytest.raises(StatusError, match="unknown method /test/None") as caught:
            client.unary("/test/None", Empty(), Empty)
        assert caught.value.code == Code.UNIMPLEMENTED


def test_a_deadline_ends_a_call() -> None:
    def stall(call: Call) -> None:
        done.wait(20)

    done = threading.Event()
    with joined({ECHO: stall}) as client:
        with pytest.raises(StatusError) as caught:
            client.unary(ECHO, Empty(), Empty, timeout=0.2)
        assert caught.value.code == Code.DEADLINE_EXCEEDED
        done.set()


def test_a_cancellation_ends_a_wait() -> None:
    with joined({WAIT: wait}) as client:
        call = client.call(WAIT)
        cancellation = Cancellation()
        threading.Timer(0.1, cancellation.cancel).start()
        with cancellation, pytest.raises(CancelledError):
            call.receive(BytesMessage)


def test_a_lost_daemon_is_one_error_for_every_call() -> None:
    near, far = socket.socketpair()
    with Peer(SocketPipe(near), where="unix:///run/daemon") as client:
        call = client.call(WAIT)
        far.close()
        with pytest.raises(StatusError, match="closed the connection") as caught:
            call.receive(BytesMessage)
        assert caught.value.code == Code.UNAVAILABLE
        with pytest.raises(TransportError, match="unix:///run/daemon: the daemon closed"):
            client.call(WAIT)


def test_messages_that_old_daemons_refuse_are_not_sent() -> None:
    with joined({ECHO: echo}) as client:
        call = client.call(ECHO)
        with pytest.raises(StatusError, match="exceeds 3145728"):
            call.send(BytesMessage(data=bytes(3 << 20)))


def test_a_connection_passes_through_a_call() -> None:
    """As a session, in which the daemon calls the client."""

    def tunnel(call: Call) -> None:
        with Peer(CallPipe(call)) as inner:
            assert exchange(inner, 50, 50_000) == 2_500_000
            done.set()

    done = threading.Event()
    with joined({"/test/Session": tunnel}) as client:
        call = client.call("/test/Session")
        with Peer(CallPipe(call), server=True, handlers={ECHO: echo}):
            assert done.wait(20)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, with certificates for both sides."""
    authority = tmp_path_factory.mktemp("authority")
    make_authority(authority)
    sign(authority, authority / "server", "subjectAltName=DNS:localhost")
    sign(authority, authority / "client", "extendedKeyUsage=clientAuth")
    return authority


def server_context(certificates: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates / "server/cert.pem", certificates / "server/key.pem")
    context.load_verify_locations(certificates / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["h2"])
    return context


def test_bulk_data_passes_both_ways_through_tls(certificates: Path) -> None:
    listener = socket.create_server(("localhost", 0))
    port = listener.getsockname()[1]
    chosen = []

    def serve() -> None:
        pipe = TlsPipe(SocketPipe(listener.accept()[0]), server_context(certificates), "")
        chosen.append(pipe.alpn)
        with Peer(pipe, server=True, handlers={ECHO: echo}) as peer:
            peer.wait_closed()

    thread = threading.Thread(target=serve)
    thread.start()
    files = TlsFiles(certificates / "client")
    with Peer(endpoint(f"tcp://localhost:{port}", files).connect()) as client:
        assert exchange(client, 50, 100_000) == 5_000_000
    thread.join()
    listener.close()
    assert chosen == ["h2"]


def test_a_certificate_that_is_not_trusted_is_a_clear_error(
    certificates: Path, tmp_path: Path
) -> None:
    listener = socket.create_server(("localhost", 0))
    port = listener.getsockname()[1]

    def serve() -> None:
        connection = SocketPipe(listener.accept()[0])
        with pytest.raises(OSError):  # noqa: PT011  the alert, or the end of the connection
            TlsPipe(connection, server_context(certificates), "")
        connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    with pytest.raises(TransportError, match="not trusted"):
        endpoint(f"tcp://localhost:{port}", TlsFiles(tmp_path)).connect()
    thread.join()
    listener.close()


def test_a_connection_passes_through_a_child_process() -> None:
    program = "import os\nwhile data := os.read(0, 65536):\n    os.write(1, data)\n"
    pipe = ChildPipe([sys.executable, "-c", program])
    pipe.write(b"there and back")
    assert pipe.read() == b"there and back"
    pipe.close()
    assert pipe.read() == b""


def test_a_missing_program_is_a_clear_error() -> None:
    with pytest.raises(TransportError, match="/no/such/program: cannot be started"):
        ChildPipe(["/no/such/program"])
