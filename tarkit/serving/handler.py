"""HTTP/1.1 on one connection: reads requests, writes responses."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import BinaryIO
from urllib.parse import parse_qsl, unquote, urlsplit

from tarkit.errors import TarkitError, one_line
from tarkit.serving.contents import ServedImages
from tarkit.serving.messages import JSON_TYPE, BlobPart, Body, Request, Response
from tarkit.serving.problems import Problem
from tarkit.serving.routes import answer
from tarkit.streams import CHUNK_SIZE

_MOST_SKIPPED = 1 << 20  # bytes of an unread body; beyond, the connection closes
_MOST_FIELDS = 20  # of a query
_LONGEST_LINE = 500  # characters of a request in the log
_TLS_HANDSHAKE = b"\x16\x03"  # RFC 8446, section 5.1


class RegistryHandler(BaseHTTPRequestHandler):
    """Answers the requests of one connection from *contents*; *log* receives a line for each."""

    protocol_version = "HTTP/1.1"
    timeout = 60  # seconds without a byte, after which the connection closes

    raw_requestline: bytes
    contents: ServedImages
    log: Callable[[str], object]
    allowed_host: Callable[[str], bool]

    def do_GET(self) -> None:
        """Answer a request of any method."""
        response = self._answer()
        try:
            self._send(response)
        except (OSError, TarkitError, Problem) as error:  # the client sees that bytes are missing
            self.close_connection = True
            self.log_error("%s", error)

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_GET

    def version_string(self) -> str:
        """Return the ``Server`` header."""
        return "tarkit"

    def _answer(self) -> Response:
        try:
            body = Body(self.rfile, self.headers)
        except Problem as problem:  # the beginning of the next request is unknown
            self.close_connection = True
            return Response.of_problem(problem)
        try:
            return answer(self.contents, self._request(body))
        except Problem as problem:
            return Response.of_problem(problem)
        except TarkitError as error:
            self.log_error("%s", error)
            return Response.of_problem(Problem.of(error))
        except OSError as error:  # the connection broke, or the client sent nothing for too long
            self.close_connection = True
            return Response.of_problem(Problem("UNKNOWN", str(error)))
        finally:
            self._finish(body)

    def _request(self, body: Body) -> Request:
        if not self.allowed_host(self.headers.get("Host", "")):
            raise Problem("DENIED", "this registry has another host name")
        try:
            parts = urlsplit(self.path)
            query = dict(parse_qsl(parts.query, max_num_fields=_MOST_FIELDS))
        except ValueError:
            raise Problem("UNSUPPORTED", "malformed URL", status=400) from None
        return Request(self.command, unquote(parts.path), query, self.headers, body)

    def _finish(self, body: Body) -> None:
        """Read the rest of *body*; if it is too long, close the connection after the response."""
        try:
            finished = body.skip(_MOST_SKIPPED)
        except (Problem, OSError):
            finished = False
        if not finished:
            self.close_connection = True

    def _send(self, response: Response) -> None:
        content = response.content
        if content is None or self.command == "HEAD":
            self._send_headers(response)
            self.wfile.write(b"" if self.command == "HEAD" else response.body)
            return
        try:
            stream = content.blob.open()
        except TarkitError as error:
            self._send(Response.of_problem(Problem.of(error)))
            return
        with stream:
            self._send_headers(response)
            self._send_content(stream, content)

    def _send_headers(self, response: Response) -> None:
        self.send_response(response.status)
        for key, value in response.headers.items():
            self.send_header(key, value)
        self.send_header("Docker-Distribution-API-Version", "registry/2.0")
        if response.status != HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", str(response.length))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def _send_content(self, stream: BinaryIO, content: BlobPart) -> None:
        length = content.stop - content.start
        if isinstance(stream, io.FileIO):
            sent = self.connection.sendfile(stream, content.start, length) if length else 0
        else:
            sent = self._copy(stream, content.start, length)
        if sent != length:
            raise Problem("UNKNOWN", "the stored blob is too short")

    def _copy(self, stream: BinaryIO, start: int, length: int) -> int:
        if stream.seekable():
            stream.seek(start)
        else:
            while start and (skipped := stream.read(min(CHUNK_SIZE, start))):
                start -= len(skipped)
        left = length
        while left and (chunk := stream.read(min(CHUNK_SIZE, left))):
            self.wfile.write(chunk)
            left -= len(chunk)
        return length - left

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Report a request that is not valid HTTP; the base class calls it."""
        self.close_connection = True
        self.request_version = self.protocol_version  # otherwise the client gets no status
        status = HTTPStatus(code)
        text = status.description or status.phrase
        body = json.dumps({"errors": [{"code": "UNSUPPORTED", "message": text}]}).encode()
        self._send(Response(code, {"Content-Type": JSON_TYPE}, body))

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log the request that was answered with the status *code*."""
        tls = self.raw_requestline.startswith(_TLS_HANDSHAKE)
        line = "TLS handshake, but this registry speaks plain HTTP" if tls else self.requestline
        self.log_message("%s %s", line[:_LONGEST_LINE], int(code))

    def log_message(self, format: str, *args: object) -> None:
        """Write one line to the log; control characters of clients are escaped."""
        self.log(one_line(f"{self.client_address[0]} {format % args}"))
