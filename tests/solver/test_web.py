"""Files from the web: checksums, etags, attributes, and bad servers."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tarkit import llb
from tarkit.errors import (
    AuthenticationError,
    CancelledError,
    DigestMismatchError,
    NotFoundError,
    RefusedError,
    TransportError,
)
from tarkit.transports.registry import options
from tests.solver.engines import Counts, build, counts, engine

__all__ = ["counts"]

MODIFIED = "Mon, 02 Jan 2006 15:04:05 GMT"


class Server(ThreadingHTTPServer):
    """Serves ``content`` with ``etag``; ``requests`` are the headers received."""

    daemon_threads = True
    status, content, etag = 200, b"content", '"one"'
    disposition = ""
    broken = 0  # answers that end too early

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[dict[str, str]] = []
        self.entered, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/some/file.txt"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server = self.server
        server.requests.append({name.lower(): value for name, value in self.headers.items()})
        server.entered.set()
        server.go_on.wait(30)
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/some/file.txt")
            self.end_headers()
            return
        if server.etag and server.etag in (self.headers.get("If-None-Match") or ""):
            self.send_response(304)
            self.send_header("ETag", server.etag)
            self.end_headers()
            return
        self.send_response(server.status)
        self.send_header("Content-Length", str(len(server.content)))
        self.send_header("Last-Modified", MODIFIED)
        if server.etag:
            self.send_header("ETag", server.etag)
        if server.disposition:
            self.send_header("Content-Disposition", server.disposition)
        self.end_headers()
        end = len(server.content)
        if server.broken:
            server.broken -= 1
            end //= 2
            self.close_connection = True
        self.wfile.write(server.content[:end])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.go_on.set()
        server.shutdown()
        thread.join()


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def test_a_file_has_its_name_and_attributes(tmp_path: Path, server: Server) -> None:
    with engine(tmp_path) as solver:
        state = llb.http(server.url, mode=0o755, uid=7, gid=8)
        with solver.solve(state.marshal()) as solution:
            ref = solution.result()
            assert ref is not None
            entry = ref.files.stat("/file.txt")
        assert (entry.mode, entry.uid, entry.gid) == (0o755, 7, 8)
        assert entry.mtime_ns == 1136214245 * 10**9
        assert build(solver, llb.http(server.url, filename="x")) == {"/x": "content"}
        server.disposition = 'attachment; filename="named"'
        server.etag = '"other"'
        assert build(solver, llb.http(server.url)) == {"/named": "content"}


def test_an_unchanged_file_is_not_sent_again(
    tmp_path: Path, server: Server, counts: Counts
) -> None:
    state = llb.scratch().file(llb.copy(llb.http(server.url), "/file.txt", "/f"), custom_name="f")
    with engine(tmp_path) as solver:
        build(solver, state)
    counts.clear()
    with engine(tmp_path) as solver:
        assert build(solver, state) == {"/f": "content"}
    assert not counts.runs
    assert [request.get("if-none-match") for request in server.requests] == [None, '"one"']
    server.content, server.etag = b"changed", '"two"'
    with engine(tmp_path) as solver:
        assert build(solver, state) == {"/f": "changed"}
    assert counts.runs["f"] == 1


def test_a_checksum_needs_no_request(tmp_path: Path, server: Server, counts: Counts) -> None:
    state = llb.http(server.url, checksum=digest_of(b"content"))
    with engine(tmp_path) as solver:
        build(solver, state)
    with engine(tmp_path) as solver:
        assert build(solver, state) == {"/file.txt": "content"}
    assert len(server.requests) == 1


def test_a_wrong_checksum_leaves_nothing(tmp_path: Path, server: Server) -> None:
    with engine(tmp_path) as solver:
        with pytest.raises(DigestMismatchError):
            build(solver, llb.http(server.url, checksum=digest_of(b"other")))
        assert solver.manager.disk_usage() == []


def test_redirects_are_followed(tmp_path: Path, server: Server) -> None:
    url = server.url.replace("/some/file.txt", "/moved")
    with engine(tmp_path) as solver:
        assert build(solver, llb.http(url)) == {"/moved": "content"}


def test_a_secret_is_sent_and_never_shown(tmp_path: Path, server: Server) -> None:
    state = llb.http(server.url, auth_header_secret="token")
    with engine(tmp_path, secrets={"token": b"Bearer hush-hush\n"}) as solver:
        build(solver, state)
        assert server.requests[0]["authorization"] == "Bearer hush-hush"
        server.status, server.etag = 403, ""
        with pytest.raises(AuthenticationError) as caught:
            build(solver, state)
        assert "hush" not in str(caught.value)
    with engine(tmp_path) as solver, pytest.raises(NotFoundError, match="no secret 'token'"):
        build(solver, state)


def test_headers_of_the_source(tmp_path: Path, server: Server) -> None:
    headers = {"accept": "text/plain", "user-agent": "me", "cookie": "no"}
    with engine(tmp_path) as solver:
        build(solver, llb.http(server.url, headers=headers))
    assert (server.requests[0]["accept"], server.requests[0]["user-agent"]) == ("text/plain", "me")
    assert "cookie" not in server.requests[0]


@pytest.mark.parametrize("name", ["../x", "a/b", "..", "."])
def test_names_cannot_leave_the_directory(tmp_path: Path, server: Server, name: str) -> None:
    with engine(tmp_path) as solver, pytest.raises(RefusedError, match="not the name of a file"):
        build(solver, llb.http(server.url, filename=name))


@pytest.mark.parametrize(
    ("status", "error"),
    [(404, NotFoundError), (401, AuthenticationError), (418, TransportError)],
)
def test_refusals_of_the_server(
    tmp_path: Path, server: Server, status: int, error: type[Exception]
) -> None:
    server.status = status
    with engine(tmp_path) as solver, pytest.raises(error, match=f"answered {status}"):
        build(solver, llb.http(server.url))


def test_a_broken_answer_is_fetched_again(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = options.RegistryOptions(retry=options.RetryPolicy(delay=0))
    monkeypatch.setattr("tarkit.solver.operations.http.RegistryOptions", lambda: quick)
    server.broken = 2
    server.content = bytes(1 << 16)
    with engine(tmp_path) as solver:
        assert len(build(solver, llb.http(server.url))["/file.txt"]) == 1 << 16
        assert len(solver.manager.disk_usage()) == 1
    assert len(server.requests) == 3


def test_a_silent_server_can_be_cancelled(tmp_path: Path, server: Server) -> None:
    server.go_on.clear()
    failures: list[BaseException] = []
    with engine(tmp_path) as solver, solver.solve(llb.http(server.url).marshal()) as solution:

        def solve() -> None:
            try:
                solution.result()
            except CancelledError as error:
                failures.append(error)

        thread = threading.Thread(target=solve)
        thread.start()
        assert server.entered.wait(30)
        solution.cancel()
        thread.join(30)
    assert len(failures) == 1


def test_a_server_must_be_there(tmp_path: Path) -> None:
    with engine(tmp_path) as solver, pytest.raises(TransportError):
        build(solver, llb.http("http://127.0.0.1:1/file"))
