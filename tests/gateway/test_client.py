"""Test the client of build functions with the embedded engine."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tarkit import Digest, RegistryServer, llb
from tarkit.errors import (
    BuildError,
    ImageNotFoundError,
    NotFoundError,
    PathNotFoundError,
    RefusedError,
    UnsupportedError,
    UsageError,
)
from tarkit.gateway import (
    Builder,
    BuildOpts,
    CacheOptionsEntry,
    Client,
    FileRange,
    Mount,
    NewContainerRequest,
    ReadRequest,
    ResolveImageConfigOpt,
    Result,
    SolveRequest,
    StartRequest,
    WarnOpts,
)
from tarkit.image.platform import Platform
from tarkit.llb.messages import MountType, NetMode, Position, Range, SourceInfo
from tarkit.solver.events import BuildEvent, VertexEvent, WarningEvent
from tests.builders import docker_archive, make_image
from tests.gateway.conftest import Ask

HELLO = llb.scratch().file(llb.mkfile("/greeting", "hello"))
FAILING = llb.scratch().file(llb.rm("/none"))


def test_a_definition_is_solved_when_its_reference_is_used(builder: Builder) -> None:
    events: list[BuildEvent] = []

    def build(client: Client) -> None:
        ref = client.solve(HELLO).single_ref()
        assert ref is not None
        client.solve(FAILING)  # not used
        assert not any(isinstance(each, VertexEvent) and each.started for each in events)
        assert ref.read_file("/greeting") == b"hello"
        assert any(isinstance(each, VertexEvent) and each.started for each in events)

    builder.build(build, on_event=events.append)


def test_a_step_that_fails_has_its_line_and_reason(ask: Ask) -> None:
    def question(client: Client) -> None:
        lazy = client.solve(FAILING).single_ref()
        assert lazy is not None
        for use in (lazy.evaluate, lambda: lazy.read_file("/x"), lambda: lazy.stat_file("/x")):
            with pytest.raises(BuildError) as caught:
                use()
        with pytest.raises(BuildError) as caught:
            client.solve(FAILING, evaluate=True)
        error = caught.value
        assert isinstance(error.reason, PathNotFoundError)
        (position,) = error.positions
        line = Path(__file__).read_text().splitlines()[position.first - 1]
        assert line.startswith("FAILING = ")
        assert str(error).startswith(f"{position.filename}:{position.first}: rm /none: ")
        assert error.exit_code is None
        assert error.vertex in client.marshal(FAILING).digests

    ask(question)


def test_the_options_of_a_build_reach_its_function(ask: Ask) -> None:
    opts: BuildOpts = ask(
        lambda client: client.build_opts(),
        opts={"a": "b", "build-arg:V": "1"},
        platform="linux/arm64",
    )
    assert opts.opts == {"a": "b", "build-arg:V": "1", "platform": "linux/arm64"}
    assert opts.build_args == {"V": "1"}
    assert opts.session_id
    assert opts.product == "tarkit"


def test_there_is_a_worker_for_this_machine(ask: Ask) -> None:
    (worker,) = ask(lambda client: client.build_opts()).workers
    assert worker.id
    assert worker.platforms[0].os == "linux"
    assert worker.labels


def test_the_engine_tells_what_it_can_do(ask: Ask) -> None:
    opts: BuildOpts = ask(lambda client: client.build_opts())
    assert "readdir" in opts.caps
    assert "gateway.exec" in opts.caps
    assert "gateway.exec.filesystem" not in opts.caps
    assert "mergeop" in opts.llb_caps
    with pytest.raises(
        UnsupportedError, match=r"does not support the capability 'gateway\.exec\.fi"
    ):
        opts.caps.check("gateway.exec.filesystem")


def test_platforms_are_those_of_the_build_or_of_the_worker(ask: Ask) -> None:
    assert [str(each) for each in ask(lambda client: client.platforms)] == [
        str(ask(lambda client: client.build_opts()).workers[0].platforms[0])
    ]
    found = ask(lambda client: client.platforms, platform=["linux/arm64", "linux/s390x"])
    assert [str(each) for each in found] == ["linux/arm64", "linux/s390x"]


def test_inputs_are_states(ask: Ask) -> None:
    def question(client: Client) -> bytes:
        inputs = client.inputs()
        assert set(inputs) == {"base", "definition", "empty"}
        assert inputs["empty"].marshal().vertices == ()
        ref = client.solve(llb.merge([inputs["base"], inputs["definition"]])).single_ref()
        assert ref is not None
        return ref.read_file("x") + ref.read_file("greeting")

    other = llb.scratch().file(llb.mkfile("/x", "x"))
    inputs = {"base": HELLO, "definition": other.marshal(), "empty": llb.scratch().marshal()}
    assert ask(question, inputs=inputs) == b"xhello"


def test_a_function_can_be_a_frontend(ask: Ask) -> None:
    def frontend(client: Client) -> Result:
        result = client.solve(client.inputs()["base"].file(llb.mkfile("/more", "more")))
        result.add_meta("seen", client.build_opts().opts["name"].encode())
        return result

    def question(client: Client) -> None:
        request = SolveRequest(
            frontend=frontend, frontend_opt={"name": "inner"}, frontend_inputs={"base": HELLO}
        )
        result = client.solve(request)
        assert result.metadata == {"seen": b"inner"}
        assert result.ref is not None
        assert result.ref.read_file("more") == b"more"
        assert client.build_opts().opts == {"name": "outer"}

    ask(question, opts={"name": "outer"})


@pytest.mark.parametrize(
    ("request_", "kind", "message"),
    [
        (SolveRequest(definition=HELLO, frontend="x"), UsageError, "or a frontend, not both"),
        (SolveRequest(frontend="dockerfile.v0"), UsageError, "no frontend 'dockerfile.v0'"),
        (
            SolveRequest(definition=HELLO, cache_imports=[CacheOptionsEntry("registry")]),
            UnsupportedError,
            "cannot import caches yet",
        ),
        (SolveRequest(definition=llb.local("x"), evaluate=True), BuildError, "no access to the"),
    ],
)
def test_requests_that_are_refused(
    ask: Ask, request_: SolveRequest, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        ask(lambda client: client.solve(request_))


def test_nothing_to_solve_is_an_empty_result(ask: Ask) -> None:
    for request in (SolveRequest(), llb.scratch()):
        result = ask(lambda client, request=request: client.solve(request, evaluate=True))
        assert (result.ref, result.refs, result.metadata) == (None, {}, {})


def test_a_reference_becomes_a_state_with_the_same_definition(ask: Ask) -> None:
    def question(client: Client) -> None:
        definition = client.marshal(HELLO)
        ref = client.solve(definition).single_ref()
        assert ref is not None
        assert ref.to_state().marshal().vertices == definition.vertices
        further = client.solve(ref.to_state().file(llb.mkfile("/x", ""))).single_ref()
        assert further is not None
        assert [each.path for each in further.read_dir("/")] == ["greeting", "x"]

    ask(question)


def test_a_directory_is_read_once_in_a_build(builder: Builder, context: Path) -> None:
    parts = set()

    def build(client: Client) -> None:
        for name in ("/x", "/y"):
            state = llb.scratch().file(llb.copy(llb.local("context"), "/a.txt", name))
            client.solve(state, evaluate=True)

    def listen(event: BuildEvent) -> None:
        if isinstance(event, VertexEvent) and event.name == "local://context":
            parts.add(event.digest)

    builder.build(build, local={"context": context}, on_event=listen)
    assert len(parts) == 1


def test_an_archive_is_built_upon_without_unpacking(ask: Ask, tmp_path: Path) -> None:
    path = docker_archive(tmp_path / "save.tar", (make_image("base"), ["app:1"]))

    def question(client: Client) -> None:
        state = llb.docker_archive(str(path)).file(llb.mkfile("/more", "more"))
        ref = client.solve(state).single_ref()
        assert ref is not None
        assert ref.read_file("/more") == b"more"
        assert len(ref.read_dir("/")) > 1
        meta = client.resolve_source(llb.docker_archive(str(path)))
        assert meta.image is not None
        assert json.loads(meta.image.config)["rootfs"]
        store = meta.identifier.removeprefix("oci-layout://")
        found = client.resolve_image_config(
            store, ResolveImageConfigOpt(store=f"docker-archive:{path}")
        )
        assert (found.digest, found.config) == (meta.image.digest, meta.image.config)
        assert isinstance(found.digest, Digest)

    ask(question)


def test_an_image_in_a_registry_is_found_and_built_upon(ask: Ask, fixtures: Path) -> None:
    with RegistryServer.open(str(fixtures / "hello.tar")) as server:
        name = f"{server.address}/hello:latest"

        def question(client: Client) -> None:
            found = client.resolve_image_config(name, ResolveImageConfigOpt(platform="linux/amd64"))
            assert found.reference == name
            assert json.loads(found.config)["architecture"] == "amd64"
            with pytest.raises(ImageNotFoundError):
                client.resolve_image_config(f"{server.address}/hello:other")
            state = llb.image(name, platform="linux/amd64")
            meta = client.resolve_source(state)
            assert meta.identifier == f"docker-image://{name}"
            assert meta.image == found
            ref = client.solve(state.file(llb.mkfile("/more", ""))).single_ref()
            assert ref is not None
            assert "more" in [each.path for each in ref.read_dir("/")]

        ask(question)


def test_an_image_at_a_location_has_its_name(builder: Builder, tmp_path: Path) -> None:
    path = docker_archive(tmp_path / "save.tar", (make_image("base"), ["app:1"]))
    names = set()

    def listen(event: BuildEvent) -> None:
        if isinstance(event, VertexEvent):
            names.add(event.name)

    builder.build(llb.docker_archive(str(path), "app:1"), on_event=listen)
    builder.build(llb.docker_archive(str(path), custom_name="mine"), on_event=listen)
    assert names == {f"docker-archive:{path}:app:1", "mine"}


def test_an_image_that_is_not_there(ask: Ask) -> None:
    with pytest.raises(NotFoundError, match="no access to the OCI layout 'nosuch'"):
        ask(
            lambda client: client.resolve_image_config(
                "nosuch@sha256:" + "0" * 64, ResolveImageConfigOpt(store="nosuch")
            )
        )
    with pytest.raises(UsageError, match="not a source"):
        ask(lambda client: client.resolve_source(HELLO))


def test_a_source_that_is_no_image_has_its_identifier(ask: Ask) -> None:
    meta = ask(lambda client: client.resolve_source(llb.local("context")))
    assert (meta.identifier, meta.image) == ("local://context", None)


def test_warnings_reach_the_listener(builder: Builder) -> None:
    warnings: list[Any] = []

    def build(client: Client) -> None:
        client.warn("sha256:aa", "careful")
        options = WarnOpts(
            level=2,
            url="https://example.com",
            detail=[b"more"],
            source=SourceInfo(filename="a.py"),
            ranges=[Range(start=Position(line=3))],
        )
        client.warn("sha256:bb", "again", options)

    builder.build(build, on_event=warnings.append)
    first, second = warnings
    assert first == WarningEvent("sha256:aa", 1, b"careful")
    assert (second.level, second.url, second.detail) == (2, "https://example.com", (b"more",))
    assert (second.source.filename, second.ranges[0].start.line) == ("a.py", 3)


def test_a_container_needs_a_runtime(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tarkit.executor.executor.find_programs", list)

    def question(client: Client) -> None:
        with client.new_container(NewContainerRequest(mounts=[Mount(dest="/")])) as container:
            container.start(StartRequest(args=["/bin/true"]))

    with pytest.raises(UnsupportedError, match="need an OCI runtime; install runc or crun"):
        ask(question)


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (NewContainerRequest(mounts=[Mount(dest="/", mount_type=MountType.TMPFS)]), UsageError),
        (NewContainerRequest(mounts=[Mount(dest="/", result_id="x")]), NotFoundError),
        (NewContainerRequest(mounts=[Mount(dest="/")], net_mode=NetMode.HOST), RefusedError),
    ],
)
def test_some_containers_are_refused(
    ask: Ask, request_: NewContainerRequest, error: type[Exception]
) -> None:
    with pytest.raises(error):
        ask(lambda client: client.new_container(request_))


def test_a_container_without_root_cannot_start(ask: Ask) -> None:
    def question(client: Client) -> None:
        with client.new_container(NewContainerRequest()) as container:
            container.start(StartRequest(args=["/bin/true"]))

    with pytest.raises(UsageError, match="a process needs one root"):
        ask(question)


def test_a_range_has_no_negative_numbers() -> None:
    for offset, length in ((-1, 1), (0, -1)):
        with pytest.raises(UsageError, match="neither is negative"):
            ReadRequest("/a", FileRange(offset, length))


def test_a_process_fails_with_a_clear_message(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tarkit.executor.executor.find_programs", list)
    state = llb.scratch().run(["/bin/true"])
    with pytest.raises(BuildError, match="need an OCI runtime") as caught:
        ask(lambda client: client.solve(state, evaluate=True))
    assert isinstance(caught.value.reason, UnsupportedError)


@pytest.mark.parametrize(
    "state", [llb.scratch().network("host"), llb.scratch().security("insecure")]
)
def test_privileges_must_be_allowed(ask: Ask, state: llb.State) -> None:
    with pytest.raises(RefusedError, match=r"is not allowed; --allow "):
        ask(lambda client: client.solve(state.run(["/bin/true"]), evaluate=True))


def test_a_capability_that_nobody_knows_is_refused(ask: Ask) -> None:
    def question(client: Client) -> None:
        client.build_opts().llb_caps.require(["file.base", "no.such.cap"])

    with pytest.raises(UnsupportedError, match=r"unknown capability 'no\.such\.cap'"):
        ask(question)


def test_the_platform_of_a_definition_is_that_of_the_build(ask: Ask) -> None:
    def question(client: Client) -> Platform:
        graph = client.marshal(llb.image("busybox")).graph()
        assert graph.head is not None
        platform = graph.ops[graph.head.digest].platform
        assert platform is not None
        return Platform(platform.os, platform.architecture)

    assert str(ask(question, platform="linux/s390x")) == "linux/s390x"


def test_a_client_is_used_by_several_threads(builder: Builder) -> None:
    started: list[str] = []

    def listen(event: BuildEvent) -> None:
        if isinstance(event, VertexEvent) and event.started and event.completed is None:
            started.append(event.name)

    def build(client: Client) -> None:
        def read(number: int) -> bytes:
            state = HELLO.file(llb.mkfile(f"/{number}", str(number)), custom_name=str(number))
            ref = client.solve(state).single_ref()
            assert ref is not None
            return ref.read_file("greeting") + ref.read_file(str(number))

        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(read, range(8))) == [b"hello%d" % n for n in range(8)]

    builder.build(build, on_event=listen)
    assert sorted(started) == [*map(str, range(8)), "mkfile /greeting"]


def test_a_reference_waits_for_several_threads(ask: Ask) -> None:
    def question(client: Client) -> None:
        ref = client.solve(HELLO).single_ref()
        assert ref is not None
        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(ref.read_file, ["greeting"] * 40)) == {b"hello"}

    ask(question)


def test_a_reference_ends_with_its_build(ask: Ask) -> None:
    ref = ask(lambda client: client.solve(HELLO).single_ref())
    with pytest.raises(RefusedError):
        ref.evaluate()
