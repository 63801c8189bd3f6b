"""A daemon that is absent, refuses, disconnects, stalls or sends garbage: a typed error, no hang."""

from __future__ import annotations

import io
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tarkit import Cancellation
from tarkit.errors import (
    AuthenticationError,
    CancelledError,
    ImageNotFoundError,
    LimitExceededError,
    TarkitError,
    TransportError,
    TruncatedError,
)
from tarkit.streams.chunks import drain
from tarkit.transports.docker_daemon.client import DaemonClient
from tarkit.transports.docker_daemon.daemon import Daemon
from tarkit.transports.docker_daemon.failures import from_connecting
from tarkit.transports.docker_daemon.reader import DockerDaemonReader
from tarkit.transports.docker_daemon.saving import saved_archive
from tests.builders import copy, docker_archive, dump, image_of, listing, make_image, tar
from tests.transports.docker_daemon.fake_daemon import (
    Act,
    FakeDaemon,
    Handler,
    after_upload,
    answering,
    failing,
)

NAME = "docker.io/library/app:1"


def test_a_missing_socket_has_a_hint(socket_path: Path) -> None:
    with pytest.raises(TransportError, match="no Docker daemon is listening; start it, or set"):
        DaemonClient(Daemon(f"unix://{socket_path}")).ping()


def test_a_socket_without_a_listener_is_reported_as_missing(socket_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as abandoned:
        abandoned.bind(str(socket_path))
    with pytest.raises(TransportError, match="no Docker daemon is listening"):
        DaemonClient(Daemon(f"unix://{socket_path}")).ping()


def test_a_refused_connection_is_reported() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        host = f"tcp://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(TransportError, match="no Docker daemon is listening"):
            DaemonClient(Daemon(host)).ping()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere such a socket refuses at once")
def test_a_socket_with_a_full_queue_does_not_hang(socket_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as first:
        busy.bind(str(socket_path))
        busy.listen(0)
        first.connect(str(socket_path))
        with pytest.raises(TransportError, match="in time"):
            DaemonClient(
                Daemon(f"unix://{socket_path}", connect_timeout=0.2, answer_timeout=0.2)
            ).ping()


def test_an_inaccessible_socket_is_a_permission_error() -> None:
    error = from_connecting(PermissionError(13, "Permission denied"), "unix:///x")
    assert isinstance(error, AuthenticationError)
    assert "group" in str(error)


def test_a_path_too_long_for_a_socket_is_one_line() -> None:
    with pytest.raises(TransportError, match="cannot be reached"):
        DaemonClient(Daemon(f"unix:///{'x' * 200}")).ping()


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, TransportError),
        (401, AuthenticationError),
        (403, AuthenticationError),
        (404, ImageNotFoundError),
        (301, TransportError),
        (500, TransportError),
        (503, TransportError),
    ],
)
def test_a_refusal_includes_the_daemons_message(
    daemon: FakeDaemon, status: int, kind: type[TarkitError]
) -> None:
    daemon.act("/_ping", answering(status, dump({"message": "not\ntoday"})))
    with pytest.raises(kind, match="not today") as caught:
        DaemonClient(Daemon(daemon.host)).ping()
    assert "\n" not in str(caught.value)


def test_a_daemon_that_requires_tls_is_recognised(daemon: FakeDaemon) -> None:
    text = b"Client sent an HTTP request to an HTTPS server.\n"
    daemon.act("/_ping", answering(400, text))
    with pytest.raises(TransportError, match="set DOCKER_TLS_VERIFY=1"):
        DaemonClient(Daemon(daemon.host)).ping()


def test_a_long_explanation_is_cut(daemon: FakeDaemon) -> None:
    daemon.act("/_ping", answering(500, b"x" * 100_000))
    with pytest.raises(TransportError) as caught:
        DaemonClient(Daemon(daemon.host)).ping()
    assert len(str(caught.value)) < 1000


def test_an_endless_answer_is_cut(daemon: FakeDaemon) -> None:
    def endless(handler: Handler) -> None:
        handler.answer(200, b"", 1 << 40)
        while True:
            handler.wfile.write(b"x" * 65536)

    daemon.act("/_ping", endless)
    with pytest.raises(LimitExceededError):
        DaemonClient(Daemon(daemon.host)).ping()


def half_and_silence(handler: Handler) -> None:
    handler.answer(200, b"half", 8)
    handler.rest()


def sending(data: bytes) -> Act:
    def send(handler: Handler) -> None:
        handler.wfile.write(data)

    return send


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (Handler.drop, "closed the connection early"),
        (sending(b"\x15\x03\x01\x00\x02"), "malformed HTTP"),
        (sending(b"HTTP/1.1 20"), "malformed HTTP"),
        (answering(200, b"half", 8), "closed the connection early"),
        (lambda handler: handler.stream(b"half", end=False), "closed the connection early"),
        (Handler.rest, "did not answer in time"),
        (half_and_silence, "in time"),
    ],
    ids=["drop", "tls", "half a status", "half", "half a chunk", "silence", "half and silence"],
)
def test_an_incomplete_response_is_an_error(
    daemon: FakeDaemon, hasty: Daemon, act: Act, message: str
) -> None:
    daemon.act("/_ping", act)
    with pytest.raises(TransportError, match=message):
        DaemonClient(hasty).ping()


def test_a_trickling_response_times_out(daemon: FakeDaemon, hasty: Daemon) -> None:
    def drip(handler: Handler) -> None:
        handler.answer(200, b"", 1 << 20)
        while not handler.daemon.released.is_set():
            handler.wfile.write(b"x")
            time.sleep(0.02)

    daemon.act("/_ping", drip)
    with pytest.raises(TransportError, match="did not finish its response in time"):
        DaemonClient(hasty).ping()


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 ", b"OK"),
        (b"HTTP/1.1 200 OK\r\n", b"a: b\r\n"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 100),
        (b"HTTP/1.1 404 X\r\n\r\n", b"x" * 100),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"x"),
    ],
)
def test_endless_responses_are_limited(daemon: FakeDaemon, start: bytes, piece: bytes) -> None:
    sent = [0]

    def babble(handler: Handler) -> None:
        handler.wfile.write(start)
        while True:
            handler.wfile.write(piece * 1000)
            sent[0] += len(piece) * 1000

    daemon.act("/_ping", babble)
    with pytest.raises(TarkitError) as caught:
        DaemonClient(Daemon(daemon.host)).ping()
    assert len(str(caught.value)) < 300
    assert sent[0] < 64 << 20


@pytest.mark.parametrize("end", ["/json", "/get", "/_ping", "quiet=1"])
def test_a_cancellation_ends_any_call(daemon: FakeDaemon, archive: bytes, end: str) -> None:
    cancellation = Cancellation()

    def stall(handler: Handler) -> None:
        cancellation.cancel()
        handler.rest()

    daemon.act(end, stall)
    with pytest.raises(CancelledError), cancellation:
        call_all(DaemonClient(Daemon(daemon.host)), archive)


def call_all(client: DaemonClient, archive: bytes) -> None:
    client.ping()
    client.find("app:1")
    with client.save("app:1") as body:
        drain(body)
    client.load(io.BytesIO(archive))


def test_a_cancellation_ends_an_upload(daemon: FakeDaemon) -> None:
    cancellation = Cancellation()

    def stall(handler: Handler) -> None:
        cancellation.cancel()
        handler.rest()

    daemon.act("quiet=1", stall)
    with pytest.raises(CancelledError), cancellation:
        DaemonClient(Daemon(daemon.host)).load(io.BytesIO(bytes(64 << 20)))


@pytest.fixture
def archive(daemon: FakeDaemon) -> bytes:
    """The archive in which the daemon saves its image."""
    return daemon.add(make_image("one", "two"), "app:1").archive


def test_an_interrupted_image_leaves_nothing(
    daemon: FakeDaemon, archive: bytes, tmp_path: Path
) -> None:
    daemon.act("/get", lambda handler: handler.stream(archive[:5000], end=False))
    with pytest.raises(TransportError, match="closed the connection early"):
        copy("docker-daemon:app:1", f"oci:{tmp_path / 'out'}:x")
    assert listing(tmp_path) == []


def test_a_stalled_image_does_not_hang(daemon: FakeDaemon, archive: bytes, hasty: Daemon) -> None:
    def stall(handler: Handler) -> None:
        handler.stream(archive[:5000], end=False)
        handler.rest()

    daemon.act("/get", stall)
    with DockerDaemonReader.open(hasty) as reader, pytest.raises(TransportError, match="in time"):
        reader.source("app:1")


def test_an_image_that_ends_early_is_truncated(daemon: FakeDaemon, archive: bytes) -> None:
    daemon.act("/get", lambda handler: handler.stream(archive[:5000]))
    with DockerDaemonReader.open() as reader, pytest.raises(TruncatedError):
        reader.source("app:1")


@pytest.mark.parametrize("cut", [0, 512, 5000, 5120, 10_240, None])
@pytest.mark.parametrize("words", ["disk full", "disk full " * 200])
def test_an_error_message_inside_an_image_is_reported(
    daemon: FakeDaemon, archive: bytes, cut: int | None, words: str
) -> None:
    daemon.act("/get", lambda handler: handler.stream(archive[:cut] + failing(words)))
    with pytest.raises(TransportError, match="failed to save the image: disk full"):
        saved_archive(DaemonClient(Daemon(daemon.host)), NAME)


def test_a_daemon_that_cannot_save_says_so(daemon: FakeDaemon, archive: bytes) -> None:
    daemon.act("/get", answering(500, dump({"message": "disk full"})))
    with (
        DockerDaemonReader.open() as reader,
        pytest.raises(TransportError, match=r"refused \(500\): disk full"),
    ):
        reader.source("app:1")


@pytest.fixture
def load(tmp_path: Path, daemon: FakeDaemon, hasty: Daemon) -> Callable[[], None]:
    """Load an archive larger than any socket buffer, with short timeouts."""
    path = docker_archive(
        tmp_path / "large.tar", (image_of([tar({"large": bytes(4 << 20)})]), ["app:1"])
    )

    def load() -> None:
        with path.open("rb") as file:
            DaemonClient(hasty).load(file)

    return load


def test_an_archive_is_loaded(daemon: FakeDaemon, load: Callable[[], None], tmp_path: Path) -> None:
    load()
    assert daemon.loads == [(tmp_path / "large.tar").read_bytes()]


def test_a_refusal_during_the_upload_is_reported(
    daemon: FakeDaemon, load: Callable[[], None]
) -> None:
    daemon.act("/load?quiet=1", answering(403, dump({"message": "policy"})))
    with pytest.raises(AuthenticationError, match="denies access: policy"):
        load()


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (Handler.drop, "closed the connection early"),
        (after_upload(Handler.drop), "closed the connection early"),
        (
            after_upload(lambda handler: handler.stream(b"{", end=False)),
            "closed the connection early",
        ),
        (Handler.rest, "in time"),
        (after_upload(Handler.rest), "in time"),
        (after_upload(answering(200, failing(""))), "unknown error"),
        (after_upload(answering(200, b'{"error": "old"}')), "archive: old"),
    ],
    ids=["drop", "drop late", "half", "never reads", "never answers", "no reason", "old reason"],
)
def test_a_failed_load_is_an_error(
    daemon: FakeDaemon, load: Callable[[], None], act: Act, message: str
) -> None:
    daemon.act("/load?quiet=1", act)
    with pytest.raises(TransportError, match=message):
        load()


@pytest.mark.parametrize("said", [b"", b"\r\n", b"Loaded", b"[1]", b'{"stream": 1}', b"\xff{"])
def test_other_messages_of_a_load_are_no_failure(
    daemon: FakeDaemon, load: Callable[[], None], said: bytes
) -> None:
    daemon.act("/load?quiet=1", after_upload(answering(200, said)))
    load()


def test_a_missing_daemon_is_noticed_before_copying(
    tmp_path: Path, socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{socket_path}")
    path = docker_archive(tmp_path / "app.tar", (make_image("one"), ["app:1"]))
    with pytest.raises(TransportError, match="no Docker daemon"):
        copy(f"docker-archive:{path}", "docker-daemon:app:1")
