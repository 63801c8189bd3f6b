"""No answer of a registry hangs the client, reveals a secret, or raises anything but a TarkitError."""

from __future__ import annotations

import base64
import contextlib
import io
import itertools
import socket
import traceback
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tarkit.errors import TarkitError, TransportError
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.streams.sockets import CancellableSocket
from tarkit.streams.tls import client_context
from tarkit.streams.verify import VerifyingReader
from tarkit.transports.registry.credentials import Credentials
from tarkit.transports.registry.options import RegistryOptions, RetryPolicy
from tarkit.transports.registry.reader import RegistryReader
from tarkit.transports.registry.writer import RegistryWriter
from tests.transports.registry.serving import Handler, serving

SECRET = "hunter2/Is+Secret"
PAIR = base64.b64encode(f"me:{SECRET}".encode()).decode()
FORMS = (SECRET, SECRET.lower(), quote(SECRET, safe=""), PAIR)
QUICK = RetryPolicy(connect=5, read=5, metadata=5, attempts=2, delay=0, longest=0)
OPTIONS = RegistryOptions(Credentials("me", SECRET, origin="the test"), retry=QUICK)
BLOB = Descriptor("", Digest("sha256", "0" * 64), 1000)

TLS = client_context()  # shared, since loading the system's roots is slow
Operation = Callable[[], object]


def read(operation: Callable[[RegistryReader], object]) -> Operation:
    def run() -> object:
        with RegistryReader.open("127.0.0.1:5000/app", OPTIONS) as reader:
            return operation(reader)

    return run


def write() -> object:
    with RegistryWriter.open("127.0.0.1:5000/app", OPTIONS) as writer:
        return writer.destination().try_reuse(BLOB, diff_id=None, compressions=frozenset())


def push() -> object:
    data = b"layer"
    with RegistryWriter.open("127.0.0.1:5000/app", OPTIONS) as writer:
        blob = VerifyingReader(io.BytesIO(data), digest=Descriptor.of(data, "").digest, size=5)
        return writer.destination().put_blob(blob, "")


OPERATIONS: dict[str, Operation] = {
    "tags": read(lambda reader: reader.images()),
    "manifest": read(lambda reader: reader.source("v1").manifest()),
    "holds": read(lambda reader: reader.source("v1").holds(BLOB)),
    "blob": read(lambda reader: reader.source("v1").open_blob(BLOB).read()),
    "referrers": read(lambda reader: reader.source("v1").referrers()),
    "reuse": write,
    "push": push,
}

HOSTS = ["h", "127.0.0.1:5000", "h:0", "h:65536", "h:-1", "h:x", "[::1", "[::1]:5000", "[v1.x]", "",
         "a" * 64, "\xfc.example", "xn--\xfc", "u:p@h", f"{SECRET}.example", "h\0", "h h"]  # fmt: skip
URLS = [
    *(f"{scheme}://{host}/v2/x?y=1" for scheme in ("http", "https", "ftp") for host in HOSTS),
    "", "/", "//", "?", "/v2/app/manifests/v1", "http:", "http:///", "/\0", "/a b", "/%zz", "/\x85",
    "a" * 9000, f"/{SECRET}", f"http://me:{quote(SECRET, safe='')}@127.0.0.1:5000/",
]  # fmt: skip
NUMBERS = ["0", "1", "-1", "9" * 30, "9" * 5000, "1e309", "NaN", "inf", "\xb2", "\u0663", "0x10",
           " 7 ", "", "5, 6", "Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 31 Dec 99999999 23:59:59 GMT",
           "Thu, 99 Foo -1 99:99:99 +999999", "Mon, 01 Jan 0000 00:00:00 -0000"]  # fmt: skip
VALUES = st.one_of(
    st.sampled_from([*URLS, *NUMBERS, *FORMS, "chunked", "gzip", "close", "identity, chunked"]),
    st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=60),
)
CHALLENGES = st.one_of(
    VALUES.map(lambda value: f'Bearer realm="{value}",service="{SECRET}"'),
    st.sampled_from(["Basic", 'Basic realm="x"', "Bearer", f"Bearer {PAIR}", "Negotiate abc=="]),
)
LINKS = VALUES.map(lambda value: f'<{value}>; rel="next"')
HEADERS = st.one_of(
    st.tuples(
        st.sampled_from(
            ["Location", "Content-Length", "Content-Type", "Retry-After", "Transfer-Encoding",
             "Docker-Content-Digest", "Range", "Content-Range", "Content-Encoding", "Connection", "X"]
        ),
        VALUES,
    ),
    st.tuples(st.just("WWW-Authenticate"), CHALLENGES),
    st.tuples(st.just("Link"), LINKS),
)  # fmt: skip
STATUSES = st.sampled_from(
    [100, 101, 200, 201, 202, 204, 206, 301, 302, 304, 307, 308, 400, 401, 401, 403, 404, 405, 416,
     418, 429, 500, 503, 599, 999, 0, 99999]
)  # fmt: skip
BODIES = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [
            b'{"tags": ["a", "b"]}', b'{"tags": null}', b'{"tags": [1]}', b"[]", b"[" * 5000,
            b'{"token": "t"}', b'{"token": "t", "expires_in": -1e400}',
            b'{"token": "t", "expires_in": ' + b"9" * 400 + b"}",
            b'{"token": "t", "expires_in": NaN}', b'{"token": "' + PAIR.encode() + b'"}',
            b'{"errors": [{"code": "X", "message": "' + SECRET.encode() + b'"}]}',
            b'{"errors": [{"code": "' + b"x" * 290 + SECRET.encode() + b'"}]}',
            b'{"mediaType": "' + SECRET.encode() + b'"}', b"5\r\nhello\r\n0\r\n\r\n", b"-5\r\nx",
            b"fffffffffffffffffff\r\nx", b"5;" + b"x" * 2000 + b"\r\nhello", b"1\r\nx\r\n0\r\na: b",
        ]
    ),
)  # fmt: skip


def response(status: int, headers: list[tuple[str, str]], body: bytes) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode("utf-8", "replace") + body


RESPONSES = st.one_of(
    st.builds(response, STATUSES, st.lists(HEADERS, max_size=5), BODIES),
    st.binary(max_size=100),
    st.sampled_from([b"", b"HTTP/1.1 200", b"SSH-2.0-x\r\n", b"HTTP/9.9 200 X\r\n\r\n", b"\r\n" * 99]),
)  # fmt: skip


class Network:
    """Answers each connection with the next item of a list, in a cycle, and closes it."""

    def __init__(self, answers: list[bytes]) -> None:
        self.answers = itertools.cycle(answers)
        self.connections = 0
        self.peers: list[socket.socket] = []

    def connected(self, *arguments: Any, **options: Any) -> CancellableSocket:
        ours, peer = socket.socketpair()
        self.peers.append(peer)
        self.connections += 1
        peer.sendall(next(self.answers))
        peer.shutdown(socket.SHUT_WR)
        opened = CancellableSocket(ours.family, ours.type, ours.proto, fileno=ours.detach())
        opened.allowance = options["allowance"]
        opened.settimeout(5)
        return opened


@contextlib.contextmanager
def network(answers: list[bytes]) -> Iterator[Network]:
    state = Network(answers)
    with (
        patch("tarkit.transports.registry.pools.connected", state.connected),
        patch("tarkit.transports.registry.connections.tls_context", lambda *_, **__: TLS),
    ):
        try:
            yield state
        finally:
            for peer in state.peers:
                peer.close()


def require_no_secret(error: BaseException) -> None:
    shown = "".join([str(error), repr(error), *traceback.format_exception(error)])
    sources = [line for line in shown.splitlines() if line.strip().startswith(("File", "E"))]
    told = "\n".join([str(error), repr(error), *sources])
    assert not [form for form in FORMS if form.lower() in told.lower()]
    assert len(str(error).splitlines()) == 1


@settings(max_examples=100)
@given(st.sampled_from(sorted(OPERATIONS)), st.lists(RESPONSES, min_size=1, max_size=4))
def test_the_client_raises_only_tarkit_errors(name: str, answers: list[bytes]) -> None:
    with network(answers) as state:
        try:
            OPERATIONS[name]()
        except TarkitError as error:
            require_no_secret(error)
    assert state.connections <= 500


STATUSES_OF = {
    "Location": (202, 307), "Retry-After": (429,), "Link": (200,), "realm": (401,),
    "Content-Type": (200,), "Content-Length": (200,), "Docker-Content-Digest": (200,),
    "Content-Range": (206,), "Transfer-Encoding": (200,),
}  # fmt: skip


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("Location", "push"), ("Location", "blob"), ("Retry-After", "blob"), ("Link", "tags"),
        ("realm", "reuse"), ("Content-Type", "manifest"), ("Content-Length", "blob"),
        ("Content-Length", "reuse"), ("Docker-Content-Digest", "manifest"),
        ("Content-Range", "blob"), ("Transfer-Encoding", "tags"),
    ],
)  # fmt: skip
def test_odd_values_of_each_header(header: str, name: str) -> None:
    is_url = header in ("Location", "Link", "realm")
    for value in [*(URLS if is_url else URLS[:3]), *NUMBERS, *FORMS]:
        for status in STATUSES_OF[header]:
            headers = [(header, value)]
            if header == "realm":
                headers = [("WWW-Authenticate", f'Bearer realm="{value}"')]
            elif header == "Link":
                headers = [("Link", f"<{value}>; rel=next")]
            with network([response(status, headers, b"{}")]):
                try:
                    OPERATIONS[name]()
                except TarkitError as error:
                    require_no_secret(error)


@pytest.mark.parametrize(
    "lifetime", ["-1", "0", "NaN", "1e400", "9" * 400, '"300"', '"x"', "true", "null", "[]", "0.5"]
)
def test_lifetimes_of_tokens(lifetime: str) -> None:
    challenge = [("WWW-Authenticate", 'Bearer realm="http://t/token"'), ("Content-Length", "0")]
    token = f'{{"token": "abc", "expires_in": {lifetime}}}'.encode()
    answers = [response(401, challenge, b""), response(200, [], token), response(404, [], b"")]
    with network(answers), pytest.raises(TarkitError):
        OPERATIONS["manifest"]()


class Endless(Handler):
    """Answers every connection with ``start`` and an endless sequence of ``piece``."""

    start: bytes = b""
    piece: bytes
    sent: list[int]

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            self.rfile.readline()
            self.wfile.write(self.start)
            while True:
                self.wfile.write(self.piece * 500)
                self.sent[0] += len(self.piece) * 500


ENDLESS = {
    "100 Continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "headers of interim answers": (b"HTTP/1.1 100 Continue\r\n", b"a: b\r\n"),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"a: b\r\n"),
    "one header": (b"HTTP/1.1 200 OK\r\na: ", b"b"),
    "status line": (b"HTTP/1.1 200 ", b"OK"),
    "body": (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 100),
    "chunks": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"200\r\n" + b"x" * 512 + b"\r\n",
    ),
    "chunk extension": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"x"),
    "trailers": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"a: b\r\n"),
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_answers_without_end(kind: str) -> None:
    start, piece = ENDLESS[kind]
    sent = [0]
    with serving(type("Bound", (Endless,), {"start": start, "piece": piece, "sent": sent})) as host:
        options = RegistryOptions(retry=RetryPolicy(metadata=60, attempts=1))
        with (
            RegistryReader.open(f"{host}/app", options) as reader,
            pytest.raises(TarkitError) as caught,
        ):
            reader.images()
    assert len(str(caught.value)) < 200
    assert sent[0] < 64 << 20  # includes the buffers of the sockets


class Clock:
    """A clock that advances by a second for each received byte."""

    def __init__(self) -> None:
        self.now = 0.0
        self.reads = 0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n"])
def test_an_answer_of_a_byte_a_second_times_out(
    start: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    received = socket.socket.recv_into

    def drip(opened: socket.socket, buffer: Any, size: int = 0, flags: int = 0) -> int:
        clock.reads += 1
        clock.now += 1
        return received(opened, memoryview(buffer)[:1], 0, flags)

    monkeypatch.setattr("tarkit.streams.sockets.monotonic", clock)
    monkeypatch.setattr(socket.socket, "recv_into", drip, raising=False)
    answer = start + b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 2000
    options = RegistryOptions(retry=RetryPolicy(metadata=100, attempts=1))
    with (
        network([answer]),
        RegistryReader.open("127.0.0.1:5000/app", options) as reader,
        pytest.raises(TransportError, match="no answer in time"),
    ):
        reader.images()
    assert clock.reads <= 2 * 101  # twice, since the first connection probes for TLS
