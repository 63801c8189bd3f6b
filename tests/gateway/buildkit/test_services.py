"""The services of a session, asked by a daemon that may be hostile."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

import tarkit
from tarkit.gateway.buildkit.messages.content import (
    InfoRequest,
    InfoResponse,
    ReadContentRequest,
    ReadContentResponse,
)
from tarkit.gateway.buildkit.messages.files import Packet, PacketType
from tarkit.gateway.buildkit.messages.session import (
    CheckAgentRequest,
    CredentialsRequest,
    CredentialsResponse,
    GetSecretRequest,
    GetSecretResponse,
)
from tarkit.gateway.buildkit.messages.status import BytesMessage, Empty, HealthCheckResponse
from tarkit.gateway.buildkit.peer import Call, Handler
from tarkit.gateway.buildkit.services.agent import agent_handlers
from tarkit.gateway.buildkit.services.auth import auth_handlers
from tarkit.gateway.buildkit.services.content import content_handlers
from tarkit.gateway.buildkit.services.filesync import sync_handlers
from tarkit.gateway.buildkit.services.secrets import secret_handlers
from tarkit.gateway.buildkit.session import Session
from tarkit.gateway.buildkit.status import Code, StatusError
from tarkit.solver.operations.opened import OpenedImages
from tests.gateway.buildkit.joined import joined
from tests.golden.runner import cases
from tests.golden.test_runner import DATA

SYNC = "/moby.filesync.v1.FileSync/DiffCopy"


def sync(
    directories: Mapping[str, Path], **metadata: str | list[str]
) -> tuple[dict[str, Packet], dict[str, bytes]]:
    """Fetch a directory as a daemon does; return its list and the content of its files."""
    pairs = [
        (name.replace("_", "-"), value)
        for name, given in metadata.items()
        for value in ([given] if isinstance(given, str) else given)
    ]
    with joined(sync_handlers(directories)) as daemon:
        return fetch(daemon.call(SYNC, pairs))


def fetch(call: Call) -> tuple[dict[str, Packet], dict[str, bytes]]:
    listed: dict[str, Packet] = {}
    wanted: dict[int, str] = {}
    contents: dict[str, bytes] = {}
    for number, packet in enumerate(call.messages(Packet)):
        if packet.stat is None:
            break
        listed[packet.stat.path] = packet
        if not packet.stat.mode >> 9 and not packet.stat.linkname:
            wanted[number] = packet.stat.path
            call.send(Packet(type=PacketType.REQ, id=number), flush=False)
    while wanted:
        data = call.receive(Packet)
        assert data is not None
        path = wanted[data.id]
        contents[path] = contents.get(path, b"") + data.data
        if not data.data:
            del wanted[data.id]
    call.send(Packet(type=PacketType.FIN))
    last = call.receive(Packet)
    assert last is not None
    assert last.type is PacketType.FIN
    return listed, contents


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    top = tmp_path / "tree"
    (top / "a").mkdir(parents=True)
    (top / "a" / "one").write_text("1")
    (top / "a-b").write_text("2")
    (top / "big").write_bytes(bytes(range(256)) * 1000)
    (top / "link").symlink_to("a/one")
    os.link(top / "a" / "one", top / "zz")
    os.mkfifo(top / "pipe")
    return top


def test_a_directory_is_sent_in_the_order_of_buildkit(tree: Path) -> None:
    listed, contents = sync({"ctx": tree}, dir_name="ctx")
    assert list(listed) == ["a", "a/one", "a-b", "big", "link", "pipe", "zz"]
    link, hard = listed["link"].stat, listed["zz"].stat
    assert link is not None
    assert hard is not None
    assert (link.linkname, link.size, link.mode) == ("a/one", 5, 1 << 27 | 0o777)
    assert (hard.linkname, hard.mode >> 9) == ("a/one", 0)
    assert contents == {"a/one": b"1", "a-b": b"2", "big": (tree / "big").read_bytes()}


def test_patterns_select_what_is_sent(tree: Path) -> None:
    listed, _ = sync({"c": tree}, dir_name="c", include_patterns=["a/*", "b*"])
    assert list(listed) == ["a", "a/one", "big"]
    listed, _ = sync({"c": tree}, dir_name="c", exclude_patterns=["*", "!a/one"])
    assert list(listed) == ["a", "a/one"]
    listed, _ = sync({"c": tree}, dir_name="c", followpaths=["link"])
    assert list(listed) == ["a", "a/one", "link"]


def test_patterns_with_other_characters_are_escaped(tree: Path) -> None:
    (tree / "größe").touch()
    listed, _ = sync(
        {"c": tree}, dir_name="c", include_patterns="gr%C3%B6%C3%9Fe", include_patterns_encoded="1"
    )
    assert list(listed) == ["größe"]


def test_20000_files_are_requested_while_the_list_is_sent(tmp_path: Path) -> None:
    for directory in range(20):
        (tmp_path / f"{directory:02}").mkdir()
        for number in range(1000):
            (tmp_path / f"{directory:02}" / f"{number:04}").touch()
    listed, _ = sync({"c": tmp_path}, dir_name="c")
    assert len(listed) == 20_020


def test_the_recorded_transfer_is_reproduced(tmp_path: Path) -> None:
    """All packets but that of the directory, whose time the recording client left out."""
    (tmp_path / "d").mkdir()
    sizes = {"a.txt": b"A" * 10, "d/x": b"x" * 100_000, "d-e": b"sorted after d/x!\0\0"[:19]}
    recorded = [
        bytes.fromhex(case["hex"])
        for case in cases(DATA / "wire.jsonl")
        if case.get("rpc") == SYNC and case["from"] == "client" and not case.get("cut")
    ]
    stats = {each.stat.path: each.stat for each in map(Packet.decode, recorded) if each.stat}
    for path, data in sizes.items():
        stat = stats[path]
        (tmp_path / path).write_bytes(data[:1] * stat.size)
        (tmp_path / path).chmod(stat.mode)
        os.utime(tmp_path / path, ns=(stat.mod_time, stat.mod_time))
    (tmp_path / "link").symlink_to("a.txt")
    os.utime(tmp_path / "link", ns=(stats["link"].mod_time,) * 2, follow_symlinks=False)
    listed, _ = sync({"c": tmp_path}, dir_name="c")
    assert list(listed) == list(stats)
    for path, stat in stats.items():
        if path != "d":
            assert listed[path].encode() == Packet(stat=stat).encode()


def test_only_directories_that_were_offered_are_sent(tree: Path) -> None:
    with pytest.raises(StatusError, match=r'no access allowed to dir "\.\./tree"') as caught:
        sync({"c": tree}, dir_name="../tree")
    assert caught.value.code == Code.NOT_FOUND


@pytest.mark.parametrize("number", [0, 5, 99])  # a directory, a pipe, nothing
def test_only_files_that_were_listed_are_sent(tree: Path, number: int) -> None:
    with joined(sync_handlers({"c": tree})) as daemon:
        call = daemon.call(SYNC, [("dir-name", "c")])
        while (packet := call.receive(Packet)) is not None and packet.stat is not None:
            pass
        call.send(Packet(type=PacketType.REQ, id=number))
        with pytest.raises(StatusError, match=f"no file has the ID {number}"):
            call.receive(Packet)


def test_a_file_that_became_a_link_is_not_followed(tree: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    with joined(sync_handlers({"c": tree})) as daemon:
        call = daemon.call(SYNC, [("dir-name", "c")])
        while (packet := call.receive(Packet)) is not None and packet.stat is not None:
            pass
        (tree / "a-b").unlink()
        (tree / "a-b").symlink_to(secret)
        call.send(Packet(type=PacketType.REQ, id=2))
        with pytest.raises(StatusError, match="symbolic links"):
            call.receive(Packet)


def test_a_secret_is_given_by_its_name_only() -> None:
    method = "/moby.buildkit.secrets.v1.Secrets/GetSecret"
    with joined(secret_handlers({"token": b"\0secret"})) as daemon:
        found = daemon.unary(method, GetSecretRequest(id="token"), GetSecretResponse)
        assert found.data == b"\0secret"
        with pytest.raises(StatusError, match="not found") as caught:
            daemon.unary(method, GetSecretRequest(id="other"), GetSecretResponse)
        assert caught.value.code == Code.NOT_FOUND


def test_credentials_are_those_of_the_host(tmp_path: Path) -> None:
    authfile = tmp_path / "auth.json"
    authfile.write_text('{"auths": {"docker.io": {"auth": "bWU6cGFzcw=="}}}')
    options = tarkit.RegistryOptions(authfile=authfile)
    method = "/moby.filesync.v1.Auth/Credentials"
    with joined(auth_handlers(options)) as daemon:
        for host, expected in [("registry-1.docker.io", ("me", "pass")), ("other", ("", ""))]:
            found = daemon.unary(method, CredentialsRequest(host=host), CredentialsResponse)
            assert (found.username, found.secret) == expected


def test_credentials_without_a_registry_are_for_no_daemon(tmp_path: Path) -> None:
    given = tarkit.RegistryOptions(credentials=tarkit.Credentials("me", "secret"))
    with pytest.raises(tarkit.UsageError, match="for any registry") as caught:
        auth_handlers(given)
    assert "secret" not in str(caught.value)


def test_an_anonymous_client_has_no_credentials(tmp_path: Path) -> None:
    authfile = tmp_path / "auth.json"
    authfile.write_text('{"auths": {"docker.io": {"auth": "bWU6cGFzcw=="}}}')
    options = tarkit.RegistryOptions(authfile=authfile, credentials=tarkit.Credentials())
    with joined(auth_handlers(options)) as daemon:
        method = "/moby.filesync.v1.Auth/Credentials"
        request = CredentialsRequest(host="registry-1.docker.io")
        assert not daemon.unary(method, request, CredentialsResponse).secret


def test_an_identity_token_has_no_user_name(tmp_path: Path) -> None:
    authfile = tmp_path / "auth.json"
    authfile.write_text('{"auths": {"host": {"auth": "bWU6", "identitytoken": "tok"}}}')
    with joined(auth_handlers(tarkit.RegistryOptions(authfile=authfile))) as daemon:
        method = "/moby.filesync.v1.Auth/Credentials"
        found = daemon.unary(method, CredentialsRequest(host="host"), CredentialsResponse)
        assert (found.username, found.secret) == ("", "tok")


def test_an_agent_is_reached_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "agent"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def agent() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(connection.recv(100).upper())

        threading.Thread(target=agent, daemon=True).start()
        service = "/moby.sshforward.v1.SSH"
        with joined(agent_handlers({"default": path})) as daemon:
            daemon.unary(f"{service}/CheckAgent", CheckAgentRequest(), Empty)
            with pytest.raises(StatusError, match="unset ssh forward key other"):
                daemon.unary(f"{service}/CheckAgent", CheckAgentRequest(id="other"), Empty)
            call = daemon.call(f"{service}/ForwardAgent")
            call.send(BytesMessage(data=b"sign"))
            answer = call.receive(BytesMessage)
            assert answer is not None
            assert answer.data == b"SIGN"
            call.cancel()


def content(
    images: OpenedImages, digest: str, store: str, request: ReadContentRequest
) -> tuple[int, bytes]:
    service = "/containerd.services.content.v1.Content"
    metadata = [("buildkit-attachable-store-id", store)]
    with joined(content_handlers(images)) as daemon:
        found = daemon.unary(f"{service}/Info", InfoRequest(digest=digest), InfoResponse, metadata)
        call = daemon.call(f"{service}/Read", metadata)
        call.send(request)
        call.close_sending()
        data = b"".join(bytes(each.data) for each in call.messages(ReadContentResponse))
        assert found.info is not None
        return found.info.size, data


def test_images_are_read_from_their_archive(fixtures: Path) -> None:
    location = str(fixtures / "hello.tar")
    with OpenedImages(tarkit.open_source) as images:
        source = images.open(location)
        images.layouts[location] = location
        raw = source.manifest()
        request = ReadContentRequest(digest=str(raw.digest))
        assert content(images, str(raw.digest), f"oci:{location}", request) == (
            len(raw.data),
            raw.data,
        )
        part = ReadContentRequest(digest=str(raw.digest), offset=2, size=5)
        assert content(images, str(raw.digest), f"oci:{location}", part)[1] == raw.data[2:7]


@pytest.mark.parametrize(
    ("store", "code"),
    [("", Code.INVALID_ARGUMENT), ("oci:other", Code.NOT_FOUND), ("local:/", Code.NOT_FOUND)],
)
def test_other_stores_are_closed(store: str, code: Code) -> None:
    digest = f"sha256:{'0' * 64}"
    with (
        OpenedImages(tarkit.open_source) as images,
        pytest.raises(StatusError) as caught,
    ):
        content(images, digest, store, ReadContentRequest(digest=digest))
    assert caught.value.code == code


def test_a_session_tells_what_it_offers() -> None:
    handler: Handler = lambda call: None  # noqa: E731
    session = Session({"/a/B": handler})
    values = [value for name, value in session.metadata if name.endswith("grpc-method")]
    assert values == ["/a/B", "/grpc.health.v1.Health/Check"]
    with joined(session._handlers) as daemon:
        method = "/grpc.health.v1.Health/Check"
        assert daemon.unary(method, Empty(), HealthCheckResponse).status == 1
