"""HTTP servers for tests, each in a thread."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    """Base of the handlers; a subclass implements ``handle_request``."""

    protocol_version = "HTTP/1.1"
    timeout = 20

    def handle_request(self) -> None:
        raise NotImplementedError

    def do_GET(self) -> None:
        self.consumed = False
        self.handle_request()
        if not self.consumed and not self.close_connection:
            for _ in self.pieces():
                pass

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def pieces(self) -> Iterator[bytes]:
        """Yield the body of the request as it arrives."""
        self.consumed = True
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline() or b"0", 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return
        left = int(self.headers.get("Content-Length") or 0)
        while left and (piece := self.rfile.read1(min(left, 1 << 16))):
            left -= len(piece)
            yield piece
        if left:
            self.close_connection = True
            raise ConnectionAbortedError

    def body(self) -> bytes:
        return b"".join(self.pieces())

    def answer(self, status: int, data: bytes = b"", **headers: str) -> None:
        """Send a complete answer."""
        self.send_response(status)
        if status != 204:
            headers.setdefault("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD" and status != 204:
            self.wfile.write(data)

    def refuse(self, status: int, code: str, message: str = "", **headers: str) -> None:
        """Send an error in the format of the specification."""
        document = {"errors": [{"code": code, "message": message or code.lower()}]}
        self.answer(status, json.dumps(document).encode(), **headers)

    def drop(self) -> None:
        """Close the connection without an answer."""
        self.close_connection = self.consumed = True
        with contextlib.suppress(OSError):
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # broken connections are expected


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """``host:port`` of a server with *handler* on the loopback interface."""
    with _Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield "{}:{}".format(*server.server_address[:2])
        finally:
            server.shutdown()
            thread.join()
