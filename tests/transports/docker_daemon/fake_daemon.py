"""A fake Docker daemon: the Engine API over images in memory, which misbehaves on request."""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import unquote

from tests.builders import Doc, Image, classic_files, dump, tar

PIECE = 32 << 10  # dockerd's write size


@dataclass(frozen=True, slots=True)
class Kept:
    """An image of the daemon: its ID, its short tags, and its saved archive."""

    id: str
    tags: tuple[str, ...]
    archive: bytes

    @property
    def document(self) -> Doc:
        return {"Id": self.id, "RepoTags": list(self.tags) or None, "RepoDigests": []}

    def answers_to(self, name: str) -> bool:
        names = {self.id, *self.tags, *(f"docker.io/library/{tag}" for tag in self.tags)}
        return name in names or name.removeprefix("docker.io/") in names


@dataclass(slots=True)
class FakeDaemon:
    """The daemon's images, the requests it got, the archives it loaded, and overrides by URL suffix."""

    host: str
    images: list[Kept] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    loads: list[bytes] = field(default_factory=list)
    acts: dict[str, Callable[[Handler], None]] = field(default_factory=dict)
    released: threading.Event = field(default_factory=threading.Event)

    def add(self, image: Image, *tags: str, id: str = "") -> Kept:
        """Add *image*, saved in the format of Docker before 25."""
        kept = Kept(id or image.digest, tags, tar(classic_files((image, tags))))
        self.images.append(kept)
        return kept

    def act(self, end: str, act: Callable[[Handler], None]) -> None:
        """Answer requests whose path ends with *end* by calling *act*."""
        self.acts[end] = act


class Handler(BaseHTTPRequestHandler):
    """One connection to the daemon."""

    protocol_version = "HTTP/1.1"
    timeout = 20
    daemon: FakeDaemon

    def do_GET(self) -> None:
        self.close_connection = True
        self.daemon.requests.append(f"{self.command} {self.path}")
        act = next((a for end, a in self.daemon.acts.items() if self.path.endswith(end)), None)
        with contextlib.suppress(OSError):
            (act or Handler.behave)(self)

    do_POST = do_GET

    def behave(self) -> None:
        path = unquote(self.path.partition("?")[0])
        if path == "/_ping":
            self.answer(200, b"OK")
        elif path == "/images/json":
            self.answer(200, dump([kept.document for kept in self.daemon.images]))
        elif path.startswith("/images/load"):
            self.daemon.loads.append(self.body())
            self.answer(200, b'{"stream":"Loaded image: app:1\\n"}\r\n')
        else:
            name, _, what = path.removeprefix("/images/").rpartition("/")
            self.about(name, what)

    def about(self, name: str, what: str) -> None:
        kept = next((kept for kept in self.daemon.images if kept.answers_to(name)), None)
        if kept is None:
            self.answer(404, dump({"message": f"No such image: {name}"}))
        elif what == "json":
            self.answer(200, dump(kept.document))
        elif what == "tag":
            self.answer(201, b"")
        else:
            self.stream(kept.archive)

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers["Content-Length"]))

    def answer(self, status: int, data: bytes, length: int | None = None) -> None:
        """Answer with *data*, stating *length* as its size."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(data) if length is None else length))
        self.end_headers()
        self.wfile.write(data)

    def stream(self, data: bytes, *, end: bool = True) -> None:
        """Answer with *data* in chunks; omit the last chunk unless *end*."""
        self.send_response(200)
        self.send_header("Content-Type", "application/x-tar")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for start in range(0, len(data), PIECE):
            piece = data[start : start + PIECE]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        if end:
            self.wfile.write(b"0\r\n\r\n")

    def rest(self) -> None:
        """Do nothing until the test ends."""
        self.daemon.released.wait(self.timeout)

    def drop(self) -> None:
        """Break the connection."""
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


class _UnixServer(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 16

    def handle_error(self, request: object, client_address: object) -> None:
        pass


Act = Callable[[Handler], None]


def after_upload(act: Act) -> Act:
    """Receive the whole upload, then *act*."""

    def taking(handler: Handler) -> None:
        handler.body()
        act(handler)

    return taking


def answering(status: int, data: bytes, length: int | None = None) -> Act:
    """Answer with *data*."""
    return lambda handler: handler.answer(status, data, length)


@contextmanager
def fake_daemon(socket_path: Path) -> Iterator[FakeDaemon]:
    """A daemon without images that listens on a Unix socket."""
    daemon = FakeDaemon(f"unix://{socket_path}")
    handler = type("BoundHandler", (Handler,), {"daemon": daemon})
    with _UnixServer(str(socket_path), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield daemon
        finally:
            daemon.released.set()
            server.shutdown()
            thread.join()


def failing(message: str) -> bytes:
    """Return the message with which the daemon reports a failure in a response of status 200."""
    return json.dumps({"errorDetail": {"message": message}, "error": message}).encode() + b"\r\n"
