"""Waits of sockets end by timeout, allowance or cancellation."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from tarkit.errors import CancelledError, TransportError
from tarkit.streams.cancellation import Cancellation
from tarkit.streams.sockets import CancellableSocket, TimeAllowance, connected
from tarkit.streams.tls import client_context


@contextlib.contextmanager
def pair() -> Iterator[tuple[CancellableSocket, socket.socket]]:
    ours, peer = socket.socketpair()
    with (
        CancellableSocket(ours.family, ours.type, ours.proto, fileno=ours.detach()) as client,
        peer,
    ):
        client.settimeout(60)
        yield client, peer


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Advance the clock by a second with every reading, and make slices instant."""
    seconds = itertools.count()
    monkeypatch.setattr("tarkit.streams.sockets.monotonic", lambda: float(next(seconds)))
    monkeypatch.setattr("tarkit.streams.sockets.SLICE", 0.001)


WAITS: dict[str, Callable[[CancellableSocket], object]] = {
    "recv": lambda client: client.recv(1),
    "recv_into": lambda client: client.recv_into(bytearray(1)),
    "send": lambda client: client.sendall(bytes(64 << 20)),
    "handshake": lambda client: client_context().wrap_socket(client, server_hostname="h"),
}


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("wait", WAITS)
def test_a_timeout_ends_a_wait(wait: str) -> None:
    with pair() as (client, _), pytest.raises(TimeoutError):
        WAITS[wait](client)


@pytest.mark.parametrize("wait", WAITS)
def test_a_cancellation_ends_a_wait(wait: str) -> None:
    cancellation = Cancellation()
    timer = threading.Timer(0.05, cancellation.cancel)
    timer.start()
    with pair() as (client, _), pytest.raises(CancelledError), cancellation:
        WAITS[wait](client)
    timer.join()


def test_sent_and_received_data_is_unchanged() -> None:
    data = bytes(range(256)) * 40_000
    with pair() as (client, peer):
        sender = threading.Thread(target=client.sendall, args=(data,))
        sender.start()
        received = bytearray()
        while len(received) < len(data):
            received += peer.recv(1 << 20)
        sender.join()
        assert received == data
        peer.sendall(b"answer")
        assert client.makefile("rb").read(6) == b"answer"
        assert client.gettimeout() == 60


@pytest.mark.usefixtures("clock")
def test_the_waits_of_one_response_add_up() -> None:
    """Each byte is in time, but all of them together take too long."""
    with pair() as (client, peer):
        client.allowance = TimeAllowance("r.example", 50)
        peer.sendall(bytes(100))
        with pytest.raises(TimeoutError):
            list(map(client.recv, [1] * 100))
        client.allowance.renew()
        assert client.recv(1) == b"\0"


def test_the_bytes_of_one_response_add_up() -> None:
    allowance = TimeAllowance("r.example", 60)
    allowance.received(1 << 20)
    with pytest.raises(TransportError, match=r"r\.example: endless response"):
        allowance.received(1)
    allowance.expect(5)
    allowance.received(5 + (1 << 20))


def test_sending_a_body_renews_the_allowance() -> None:
    allowance = TimeAllowance("r.example", 10)
    allowance.waited(9)
    allowance.sent(100)  # no step forward
    with pytest.raises(TimeoutError):
        allowance.waited(1)
    allowance.renew()
    allowance.waited(9)
    allowance.sent(64 << 10)
    allowance.waited(9)


def test_connecting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with connected("localhost", port, 60) as client:
            assert client.getpeername()[1] == port
            assert client.gettimeout() == 60
    with pytest.raises(ConnectionRefusedError):
        connected("127.0.0.1", port, 60)


@pytest.mark.parametrize("host", ["registry.invalid", "a" * 64, "a\0b", "x..y", "\xfc" * 70])
def test_names_without_an_address(host: str) -> None:
    with pytest.raises(socket.gaierror):
        connected(host, 443, 60)


def test_a_lookup_that_hangs_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def hang(*arguments: object, **options: object) -> list[object]:
        over.wait(60)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    cancellation = Cancellation()
    timer = threading.Timer(0.05, cancellation.cancel)
    timer.start()
    with pytest.raises(CancelledError), cancellation:
        connected("r.example", 443, None)
    with pytest.raises(TimeoutError):
        connected("r.example", 443, 0.01)
    over.set()
    timer.join()


def test_a_lookup_without_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(threading.Thread, "start", refuse)
        connected("127.0.0.1", server.getsockname()[1], 60).close()


def test_a_full_queue_is_waited_for_no_longer_than_asked() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        port = server.getsockname()[1]
        with contextlib.ExitStack() as stack:
            opened = (connected("127.0.0.1", port, 0.3) for _ in range(8))
            with pytest.raises(TimeoutError):
                list(map(stack.enter_context, opened))
