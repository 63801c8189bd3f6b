"""Servers for one test, and a client that sends given requests."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tarkit import RegistryServer
from tests.builders import Doc


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete response."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def document(self) -> Doc:
        document: Doc = json.loads(self.body)
        return document

    @property
    def code(self) -> str:
        """The code of the only error."""
        (error,) = self.document["errors"]
        code: str = error["code"]
        return code


@dataclass(frozen=True, slots=True)
class Client:
    """Sends requests to ``address``, each on its own connection."""

    address: str
    log: list[str]

    def __call__(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        /,
        *,
        chunked: bool = False,
        **headers: str,
    ) -> Answer:
        connection = http.client.HTTPConnection(self.address, timeout=20)
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        pieces: Any = iter([body]) if chunked else body
        connection.request(method, path, pieces, fields, encode_chunked=chunked)
        response = connection.getresponse()
        answer = Answer(response.status, response.headers, response.read())
        connection.close()
        return answer

    def raw(self, data: bytes) -> bytes:
        """Send *data* as it is and return all bytes until the server closes the connection."""
        host, port = self.address.rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(1 << 16), b""))

    def push_blob(self, data: bytes, digest: str, name: str = "app") -> Answer:
        return self("POST", f"/v2/{name}/blobs/uploads/?digest={digest}", data)

    def put(self, reference: str, data: bytes, media_type: str, name: str = "app") -> Answer:
        return self("PUT", f"/v2/{name}/manifests/{reference}", data, Content_Type=media_type)


Serve = Callable[..., Client]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return a function that serves a location until the end of the test."""
    with ExitStack() as stack:

        def run(location: str | Path, **options: Any) -> Client:
            log: list[str] = []
            server = RegistryServer.open(location, log=log.append, **options)
            return Client(stack.enter_context(server).address, log)

        yield run


@pytest.fixture
def empty(serve: Serve, tmp_path: Path) -> Client:
    """A client of an empty registry over the layout ``layout`` that accepts pushes."""
    return serve(f"oci:{tmp_path / 'layout'}", writable=True)
