"""Requests and responses of the registry, without their connection."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import field
from io import BufferedIOBase
from typing import TYPE_CHECKING

from tarkit.serving.catalogue import ServedBlob
from tarkit.serving.problems import Problem
from tarkit.streams import CHUNK_SIZE
from tarkit.streams.chunks import ChunkReader
from tarkit.values import dataclass

if TYPE_CHECKING:
    from email.message import Message

JSON_TYPE = "application/json"
_LENGTH = re.compile(r"[0-9]{1,18}", re.ASCII)
_CHUNK = re.compile(rb"([0-9a-fA-F]{1,16})(?:[ \t]*;[^\r\n]*)?\r?\n")
_LONGEST_LINE = 1000  # bytes of a chunk's size line or of a trailer
_MOST_TRAILERS = 20


class Body(ChunkReader):
    """The body of a request on the connection *stream* (RFC 9112, section 6).

    Raises :class:`Problem` if it breaks off. ``length`` is None if the client did not state it.
    """

    def __init__(self, stream: BufferedIOBase, headers: Message[str, str]) -> None:
        super().__init__(stream)
        self._input = stream
        encoding, stated = headers.get("Transfer-Encoding"), headers.get("Content-Length")
        if encoding is not None and (encoding.strip().lower() != "chunked" or stated is not None):
            raise Problem("UNSUPPORTED", "the encoding of the body is not supported", status=400)
        if stated is not None and not _LENGTH.fullmatch(stated):
            raise Problem("SIZE_INVALID", "malformed Content-Length")
        self._chunked = encoding is not None
        self.length = None if self._chunked else int(stated or 0)
        self._left = self.length or 0
        self.finished = not self._chunked and not self._left

    def _chunk(self) -> bytes:
        if self._chunked and not self._left and not self.finished:
            self._begin_chunk()
        if self.finished:
            return b""
        data = self._input.read1(min(CHUNK_SIZE, self._left))  # does not wait for more
        if not data:
            raise _broken()
        self._left -= len(data)
        if not self._left:
            if self._chunked:
                self._line()
            else:
                self.finished = True
        return data

    def _begin_chunk(self) -> None:
        match = _CHUNK.fullmatch(self._line())
        if match is None:
            raise _broken()
        self._left = int(match[1], 16)
        if not self._left:
            for _ in range(_MOST_TRAILERS):
                if not self._line().strip():
                    self.finished = True
                    return
            raise _broken()

    def _line(self) -> bytes:
        line = bytearray()
        while not line.endswith(b"\n"):
            more = self._input.read(1)
            if not more or len(line) == _LONGEST_LINE:
                raise _broken()
            line += more
        return bytes(line)

    def read_document(self, limit: int) -> bytes:
        """Return the whole body; raises :class:`Problem` if it exceeds *limit* bytes."""
        parts, total = [], 0
        while total <= limit and (chunk := self.read(CHUNK_SIZE)):
            parts.append(chunk)
            total += len(chunk)
        if total > limit or (self.length or 0) > limit:
            message = f"the document is larger than {limit} bytes"
            raise Problem("SIZE_INVALID", message, status=413)
        return b"".join(parts)

    def skip(self, limit: int) -> bool:
        """Read the rest of the body; return False if it is longer than *limit* bytes."""
        while not self.finished and limit > 0:
            limit -= len(self.read(CHUNK_SIZE))
        return self.finished

    def close(self) -> None:
        """Leave the connection open for the next request."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request with its decoded *path* and *query*."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Message[str, str]
    body: Body


@dataclass(frozen=True, slots=True)
class BlobPart:
    """The bytes of ``blob`` from ``start`` to just before ``stop``."""

    blob: ServedBlob
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Response:
    """A response with the bytes ``body`` or, if given, with ``content``."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    content: BlobPart | None = None

    @classmethod
    def of_json(cls, document: object, headers: Mapping[str, str] | None = None) -> Response:
        """Return a response with *document* as its body."""
        data = json.dumps(document).encode()
        return cls(200, {"Content-Type": JSON_TYPE, **(headers or {})}, data)

    @classmethod
    def of_problem(cls, problem: Problem) -> Response:
        """Return the response that reports *problem*."""
        return cls(problem.status, {"Content-Type": JSON_TYPE}, problem.body)

    @property
    def length(self) -> int:
        """The length of the body in bytes."""
        return self.content.stop - self.content.start if self.content else len(self.body)


def _broken() -> Problem:
    return Problem("BLOB_UPLOAD_INVALID", "the body of the request is incomplete or malformed")
