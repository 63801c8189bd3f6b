"""Clients that break the rules of HTTP, disappear or try to reach other files."""

from __future__ import annotations

import contextlib
import http.client
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarkit import RegistryServer
from tarkit.serving.names import Place, RegistryNaming
from tarkit.serving.ranges import page, requested
from tests.builders import docker_archive, layout_of, make_image, read_files, write_files
from tests.serving.conftest import Client, Serve

ONE = make_image("one")
HEAD = "PATCH /v2/app/blobs/uploads/{} HTTP/1.1\r\nHost: localhost\r\n"


def upload(client: Client) -> str:
    return str(client("POST", "/v2/app/blobs/uploads/").headers["Location"]).rpartition("/")[2]


def status(data: bytes) -> int:
    return int(data.split(maxsplit=2)[1])


@pytest.mark.parametrize(
    "rest",
    [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ndata\r\n0\r\n\r\n",
        "Transfer-Encoding: gzip, chunked\r\n\r\n",
        "Content-Length: -1\r\n\r\n",
        "Content-Length: 4, 4\r\n\r\ndata",
        "Content-Length: 0x4\r\n\r\ndata",
        "Content-Length: ٤\r\n\r\ndata",
        "Transfer-Encoding: chunked\r\n\r\nx\r\ndata\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n-4\r\ndata\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n4",
        "Transfer-Encoding: chunked\r\n\r\n4\r\nda",
        "Transfer-Encoding: chunked\r\n\r\n" + "0" * 5_000,
        "Transfer-Encoding: chunked\r\n\r\n0\r\n" + "a: b\r\n" * 100 + "\r\n",
        "Content-Length: 4\r\n\r\nda",
    ],
)
def test_malformed_bodies_are_refused_and_end_the_connection(empty: Client, rest: str) -> None:
    answer = empty.raw((HEAD.format(upload(empty)) + rest).encode())
    assert status(answer) == 400
    assert b"\r\nConnection: close\r\n" in answer
    assert answer.count(b"HTTP/1.1") == 1, "the rest of the body became a request"
    assert empty("GET", "/v2/").status == 200


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET /v2/ HTTP/9.9\r\n\r\n",
        b"BREW /v2/ HTTP/1.1\r\n\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n",
    ],
)
def test_what_is_not_http_gets_a_json_error(empty: Client, data: bytes) -> None:
    answer = empty.raw(data)
    assert 400 <= status(answer) <= 505
    assert b'"errors"' in answer
    assert empty("GET", "/v2/").status == 200


def test_a_connection_serves_several_requests(empty: Client) -> None:
    request = b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\n\r\n"
    assert empty.raw(request * 3).count(b"HTTP/1.1 200") == 3


def test_a_body_that_nobody_needs_is_skipped(empty: Client) -> None:
    request = b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\ndata"
    assert empty.raw(request * 2).count(b"HTTP/1.1 200") == 2


def test_control_characters_do_not_reach_the_log(empty: Client) -> None:
    empty.raw(b"GET /v2/\x1b[2J\x07/tags/list HTTP/1.1\r\nHost: localhost\r\n\r\n")
    empty.raw(b"\x1b[31mred\x1b[0m\r\n\r\n")
    assert empty.log
    assert all(line.isprintable() for line in empty.log)
    assert "\\x1b[2J" in empty.log[0]


@pytest.mark.parametrize(
    "path",
    [
        "/v2/../manifests/1",
        "/v2/a/../../../etc/manifests/passwd",
        "/v2/%2e%2e/%2e%2e/blobs/uploads/",
        "/v2/app/blobs/uploads/../../../../index.json",
        "/v2/app/blobs/uploads/%2e%2e%2findex.json",
        "/v2/app/blobs/sha256:%2e%2e%2f%2e%2e%2findex.json",
        "/v2/app/manifests/..",
        "/v2/app/manifests/sha256:../../index.json",
        "/v2/" + "a" * 300 + "/manifests/1",
        "/v2/a//b/manifests/1",
        "/v2/app%00/manifests/1",
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE", "PATCH"])
def test_no_path_leads_out_of_the_registry(
    empty: Client, tmp_path: Path, method: str, path: str
) -> None:
    before = read_files(tmp_path)
    assert empty(method, path, b"data").status in (400, 404, 405)
    assert read_files(tmp_path) == before


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1:5000", True),
        ("localhost", True),
        ("[::1]:5000", True),
        ("registry.localhost:5000", True),
        ("host.docker.internal:5000", True),
        ("10.0.0.1", True),
        ("evil.example", False),
        ("evil.example:5000", False),
        ("127.0.0.1.evil.example", False),
    ],
)
def test_a_web_page_cannot_read_under_its_own_name(empty: Client, host: str, allowed: bool) -> None:
    answer = empty("GET", "/v2/", Host=host)
    assert answer.status == (200 if allowed else 403)


def test_a_web_page_cannot_push(empty: Client) -> None:
    answer = empty("POST", "/v2/app/blobs/uploads/", Origin="https://evil.example")
    assert (answer.status, answer.code) == (403, "DENIED")


def test_a_client_that_disappears_harms_nobody(serve: Serve, tmp_path: Path) -> None:
    image = make_image(*"abc")
    client = serve(docker_archive(tmp_path / "save.tar", (image, ["app:1"])))
    host, port = client.address.rsplit(":", 1)
    for _ in range(5):
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(b"GET /v2/app/manifests/1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert client("GET", "/v2/app/manifests/1").status == 200


def test_connections_are_limited(empty: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tarkit.serving.server._MOST_CONNECTIONS", 2)
    host, port = empty.address.rsplit(":", 1)
    request = b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with (
        socket.create_connection((host, int(port)), 20) as first,
        socket.create_connection((host, int(port)), 20) as second,
    ):
        for connection in (first, second):
            connection.sendall(request)
            assert connection.recv(100).startswith(b"HTTP/1.1 200")
        with pytest.raises((OSError, http.client.HTTPException)):
            empty("GET", "/v2/")
    assert _eventually(empty)


def _eventually(client: Client) -> bool:
    for _ in range(1000):
        try:
            return client("GET", "/v2/").status == 200
        except (OSError, http.client.HTTPException):
            continue
    return False


def test_closing_ends_open_connections_at_once(tmp_path: Path) -> None:
    with RegistryServer.open(f"oci:{tmp_path / 'layout'}", writable=True) as server:
        client = Client(server.address, [])
        host, port = server.address.rsplit(":", 1)
        connection = socket.create_connection((host, int(port)), 20)
        head = HEAD.format(upload(client)) + "Content-Length: 1000000\r\n\r\ndata"
        connection.sendall(head.encode())
    with connection, contextlib.suppress(ConnectionResetError):
        assert b"201" not in connection.recv(1000)
    with pytest.raises(ConnectionRefusedError):
        client("GET", "/v2/")
    assert sorted(read_files(tmp_path / "layout")) == ["index.json", "oci-layout"]


@given(st.integers(0, 50), st.integers(0, 60), st.integers(0, 60))
def test_a_range_is_the_slice_it_names(size: int, first: int, last: int) -> None:
    data = bytes(range(size))
    part = requested(f"bytes={first}-{last}", size)
    if last < first:
        assert part is None
    else:
        assert part is not None
        assert data[part.start : part.stop] == data[first : last + 1]
    assert data[requested(f"bytes=-{last}", size).start :] == (data[-last:] if last else b"")  # type: ignore[union-attr]


@given(st.lists(st.text("abcd", min_size=1), unique=True), st.integers(1, 5))
def test_pages_joined_are_the_list(items: list[str], count: int) -> None:
    items.sort()
    found: list[str] = []
    more = True
    while more:
        chosen, more = page(items, str(count), found[-1] if found else None)
        assert len(chosen) <= count
        found += chosen
    assert found == items


@given(
    st.from_regex(r"[a-z0-9]+(?:[._-][a-z0-9]+)?(?:/[a-z0-9]+){0,2}", fullmatch=True),
    st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True),
    st.sampled_from([None, "team/app"]),
)
def test_a_pushed_name_is_read_back(repository: str, tag: str, only: str | None) -> None:
    naming = RegistryNaming.of("some/layout", only)
    repository = only or repository
    if repository.startswith("library/") and repository.count("/") == 1:
        repository = repository.removeprefix("library/")
    place = Place(repository, tag)
    assert naming.place(naming.name_of(place)) == place


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/x/app.tar", "app"),
        ("/x/App_1.0.tar.gz", "app-1-0"),
        ("/x/layout/", "layout"),
        ("/", "image"),
        ("/x/-.tar", "image"),
    ],
)
def test_the_default_repository_is_the_name_of_the_file(path: str, expected: str) -> None:
    assert RegistryNaming.of(path).default == expected


def test_a_link_out_of_a_layout_is_not_served(serve: Serve, tmp_path: Path) -> None:
    write_files(tmp_path / "app", layout_of(ONE, "app:1"))
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (tmp_path / "app" / "blobs" / "sha256" / ("0" * 64)).symlink_to(secret)
    answer = serve(tmp_path / "app")("GET", f"/v2/app/blobs/sha256:{'0' * 64}")
    assert answer.status == 500
    assert b"secret" not in answer.body
