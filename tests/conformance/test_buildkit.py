"""Builds in the BuildKit of a real Docker daemon."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest

import tarkit
from tarkit import gateway, llb
from tarkit.gateway.buildkit.builder import RemoteBuilder
from tarkit.gateway.buildkit.control import Control
from tarkit.gateway.buildkit.dial import Endpoint, endpoint
from tarkit.gateway.buildkit.headers import Metadata
from tarkit.gateway.buildkit.peer import Peer
from tarkit.gateway.buildkit.pipes import Pipe
from tarkit.gateway.buildkit.status import Code, StatusError
from tarkit.solver.events import BuildEvent, StatusEvent, VertexEvent
from tests.conformance.tools import Tool
from tests.test_examples import BLOCKS, ROOT, run_block


@pytest.fixture
def host(docker: Tool, monkeypatch: pytest.MonkeyPatch) -> str:
    address = docker.command[-1]
    monkeypatch.setenv("DOCKER_HOST", address)
    return address


@pytest.fixture
def builder(host: str) -> Iterator[gateway.Builder]:
    with tarkit.build_client("docker-daemon:") as found:
        yield found


@pytest.fixture
def context(tmp_path: Path) -> Path:
    top = tmp_path / "context"
    (top / "sub").mkdir(parents=True)
    (top / "a.txt").write_text("hello")
    (top / "sub" / "big").write_bytes(os.urandom(300_000))
    (top / "link").symlink_to("a.txt")
    os.link(top / "a.txt", top / "z")
    return top


def members(archive: Path) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(archive) as tar:
        return {member.name: member for member in tar}


def test_the_daemon_tells_its_workers(host: str) -> None:
    with Peer(endpoint("docker-daemon:").connect()) as peer:
        control = Control(peer)
        assert all(worker.id for worker in control.workers())
        try:
            assert control.info()
        except StatusError as error:  # it came with Docker 23
            assert error.code == Code.UNIMPLEMENTED  # noqa: PT017  one of both is right


def test_a_directory_goes_in_and_an_archive_comes_out(
    builder: gateway.Builder, context: Path, tmp_path: Path
) -> None:
    events: list[BuildEvent] = []
    state = llb.scratch().file(llb.copy(llb.local("ctx"), "/", "/out/"))
    archive = tmp_path / "out.tar"
    builder.build(
        state, local={"ctx": context}, output=f"type=tar,dest={archive}", on_event=events.append
    )
    found = members(archive)
    assert set(found) == {"out"} | {
        f"out/{name}" for name in ("a.txt", "link", "sub", "sub/big", "z")
    }
    assert found["out/z"].linkname == "out/a.txt"
    assert found["out/link"].linkname == "a.txt"
    assert {(each.uid, each.gid) for each in found.values()} == {(0, 0)}
    with tarfile.open(archive) as tar:
        big = tar.extractfile("out/sub/big")
        assert big is not None
        assert big.read() == (context / "sub" / "big").read_bytes()
    done = {event.name for event in events if isinstance(event, VertexEvent) and event.completed}
    assert {"local://ctx", "copy / /out/"} <= done
    assert any(isinstance(event, StatusEvent) for event in events)


def test_both_engines_make_the_same_directory(
    builder: gateway.Builder, context: Path, tmp_path: Path
) -> None:
    # Old daemons follow a link that they remove, and apply the umask to new directories.
    state = (
        llb.scratch()
        .file(llb.copy(llb.local("ctx"), "/", "/out/"))
        .file(llb.mkdir("/dir", mode=0o755))
        .file(llb.mkfile("/dir/file", "text", mode=0o640))
        .file(llb.rm("/out/z"))
    )
    trees = []
    with tarkit.build_client("local", store=tmp_path / "store") as local:
        for number, engine in enumerate((local, builder)):
            path = tmp_path / str(number)
            engine.build(state, local={"ctx": context}, output=f"type=local,dest={path}")
            trees.append(
                {
                    found.relative_to(path).as_posix(): (
                        found.lstat().st_mode,
                        found.lstat().st_nlink,
                        found.read_bytes() if found.is_file() else b"",
                    )
                    for found in path.rglob("*")
                }
            )
    assert trees[0] == trees[1]


def test_the_second_build_transfers_changes_only(builder: gateway.Builder, context: Path) -> None:
    state = llb.local("ctx", shared_key_hint="the second build")
    sent = []
    for text in ("hello", "changed"):
        (context / "a.txt").write_text(text)
        events: list[BuildEvent] = []
        builder.build(
            lambda client: client.solve(state, evaluate=True),
            local={"ctx": context},
            on_event=events.append,
        )
        sent.append(max(each.current for each in events if isinstance(each, StatusEvent)))
    assert sent[0] > 300_000 > 10_000 > sent[1]


def test_references_answer_as_those_of_the_embedded_engine(
    builder: gateway.Builder, context: Path, tmp_path: Path
) -> None:
    def ask(client: gateway.Client) -> None:
        ref = client.solve(llb.local("ctx")).single_ref()
        assert ref is not None
        with pytest.raises(tarkit.PathNotFoundError):
            ref.read_file("/none")
        part = gateway.ReadRequest("/sub/big", gateway.FileRange(299_990, 100))
        answers.append(
            (
                ref.read_file("/a.txt"),
                ref.read_file("link"),
                ref.read_file(part),
                [(each.path, each.mode, each.linkname) for each in ref.read_dir("/sub")],
                [each.path for each in ref.read_dir(gateway.ReadDirRequest("/", "*.txt"))],
                ref.stat_file("/sub").mode,
                ref.to_state().marshal().digests,
            )
        )

    answers: list[object] = []
    builder.build(ask, local={"ctx": context})
    with tarkit.build_client("local", store=tmp_path / "store") as local:
        local.build(ask, local={"ctx": context})
    remote, embedded = answers
    assert isinstance(remote, tuple)
    assert isinstance(embedded, tuple)
    assert remote[:-1] == embedded[:-1]  # the definitions differ in the session


def test_an_image_stays_in_the_daemon(builder: gateway.Builder, docker: Tool) -> None:
    state = llb.scratch().file(llb.mkfile("/greeting", "hello"))
    response = builder.build(state, output="type=moby,name=tarkit-made:1")
    assert response.exporter_response["containerimage.digest"].startswith("sha256:")
    assert docker("images", "--quiet", "tarkit-made:1").strip()


def test_an_unknown_exporter_is_the_daemons_error(builder: gateway.Builder, tmp_path: Path) -> None:
    with pytest.raises(tarkit.BuildError, match='exporter "oci" could not be found'):
        builder.build(llb.scratch(), output=f"type=oci,dest={tmp_path / 'out'}")
    assert not list(tmp_path.iterdir())


def test_errors_are_those_of_the_step_or_the_function(
    builder: gateway.Builder, tmp_path: Path
) -> None:
    output = f"type=tar,dest={tmp_path / 'out.tar'}"

    def fail(client: gateway.Client) -> None:
        raise OSError(5, "of the function")

    with pytest.raises(OSError, match="of the function"):
        builder.build(fail, output=output)
    missing = llb.scratch().file(llb.copy(llb.local("nope"), "/", "/"))
    with pytest.raises(tarkit.TarkitError, match='no access allowed to dir "nope"'):
        builder.build(missing, output=output)
    merged = llb.merge(
        [llb.scratch().file(llb.mkfile("/a", "")), llb.scratch().file(llb.mkfile("/b", ""))]
    )
    with pytest.raises(tarkit.UnsupportedError, match="mergeop"):
        builder.build(merged, output=output)
    assert not list(tmp_path.iterdir())


def test_a_listener_that_fails_ends_the_build(builder: gateway.Builder) -> None:
    def listen(event: BuildEvent) -> None:
        raise ValueError("enough")

    with pytest.raises(ValueError, match="enough"):
        builder.build(llb.scratch().file(llb.mkfile("/a", "")), on_event=listen)


def test_a_process_runs_in_a_container(
    builder: gateway.Builder, fixtures: Path, tmp_path: Path
) -> None:
    with tarkit.open_source(str(fixtures / "hello.tar")) as source:
        tarkit.write_directory(source, tmp_path / "root")
    out = BytesIO()

    def run(client: gateway.Client) -> None:
        ref = client.solve(llb.local("root")).single_ref()
        request = gateway.NewContainerRequest(
            mounts=[gateway.Mount(dest="/", ref=ref)], net_mode=llb.NetMode.NONE
        )
        with client.new_container(request) as container:
            container.start(gateway.StartRequest(args=["/bin/hello"], stdout=out)).wait()

    builder.build(run, local={"root": tmp_path / "root"})
    assert out.getvalue() == b"Hello from a very small image.\n"


class Cut:
    """A daemon whose connections end after some bytes."""

    def __init__(self, inner: Endpoint, after: int, *, in_session: bool) -> None:
        self._inner, self._after, self._in_session = inner, after, in_session
        self.where = inner.where

    def connect(self) -> Pipe:
        pipe = self._inner.connect()
        return pipe if self._in_session else CutPipe(pipe, self._after)

    def session(self, peer: Peer, metadata: Metadata) -> Pipe:
        pipe = self._inner.session(peer, metadata)
        return CutPipe(pipe, self._after) if self._in_session else pipe


class CutPipe:
    def __init__(self, inner: Pipe, after: int) -> None:
        self._inner, self._left = inner, after
        self.write, self.close = inner.write, inner.close

    def read(self) -> bytes:
        data = self._inner.read()[: self._left] if self._left else b""
        self._left -= len(data)
        return data


@pytest.mark.parametrize("in_session", [False, True], ids=["control", "session"])
def test_a_connection_that_is_cut_leaves_nothing(
    host: str, context: Path, tmp_path: Path, in_session: bool
) -> None:
    output = tmp_path / "output"
    output.mkdir()
    state = llb.scratch().file(llb.copy(llb.local("ctx"), "/", "/out/"))
    for after in range(0, 1000, 20):
        cut = Cut(endpoint("docker-daemon:"), after, in_session=in_session)
        with (
            RemoteBuilder(cut, tarkit.open_source) as builder,
            pytest.raises(tarkit.TarkitError) as caught,
        ):
            builder.build(state, local={"ctx": context}, output=f"type=tar,dest={output / 'a'}")
        assert "\n" not in str(caught.value)
        assert not list(output.iterdir()), after


def test_dockerfiles_are_built_on_the_command_line(
    host: str, tmp_path: Path, context: Path
) -> None:
    (context / "Dockerfile").write_text("FROM scratch\nCOPY a.txt /b\n")
    for program, more in (
        (context, ["--frontend", "dockerfile.v0"]),
        (context / "Dockerfile", []),
    ):
        archive = tmp_path / "out.tar"
        arguments = ["build", str(program), "--engine", "docker-daemon:", *more]
        command = [sys.executable, "-m", "tarkit", *arguments, "-o", f"type=tar,dest={archive}"]
        subprocess.run(command, check=True)
        assert set(members(archive)) == {"b"}
        archive.unlink()


def test_a_cache_is_exported_as_asked(builder: gateway.Builder, tmp_path: Path) -> None:
    """Old daemons have inline caches only, and say so."""
    caches = [gateway.CacheOptionsEntry("none-such", {})]
    state = llb.scratch().file(llb.mkfile("/a", ""))
    output = f"type=tar,dest={tmp_path / 'a'}"
    with pytest.raises(
        tarkit.BuildError, match=r"could not get cache exporter|unknown cache exporter"
    ):
        builder.build(state, cache_to=caches, output=output)
    assert not list(tmp_path.iterdir())


def test_the_guide(host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in BLOCKS[ROOT / "docs" / "guides" / "buildkit.md"]:
        run_block(block, names)
    assert set(members(tmp_path / "hello.tar")) == {"srv", "srv/greeting.txt"}
    assert set(members(tmp_path / "app.tar")) == {"greeting.txt"}
    assert (tmp_path / "out/app/greeting.txt").read_text() == "hello from tarkit\n"
