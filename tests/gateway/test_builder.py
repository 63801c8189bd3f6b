"""Test whole builds with the embedded engine, and their outputs."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

import tarkit
from tarkit import llb
from tarkit.errors import (
    BuildError,
    CancelledError,
    PathNotFoundError,
    RefusedError,
    TransportError,
    UnsupportedError,
    UsageError,
)
from tarkit.exporters.outputs import Output
from tarkit.gateway import Builder, CacheOptionsEntry, Client, Reference, Result
from tarkit.gateway.metadata import metadata_document
from tarkit.llb.state import State
from tarkit.solver.events import BuildEvent, VertexEvent

HELLO = llb.scratch().file(llb.mkfile("/greeting", "hello"))


def config_of(path: Path) -> dict[str, Any]:
    with tarkit.open_source(f"oci-archive:{path}") as source:
        raw = tarkit.select_image(source)
        document: dict[str, Any] = json.loads(
            tarkit.read_config(source, tarkit.Manifest.parse(raw))
        )
    return document


def from_client(client: Client) -> Result:
    return client.solve(HELLO)


def reference(client: Client) -> Reference | None:
    return client.solve(HELLO).ref


def state(client: Client) -> State:
    return HELLO


@pytest.mark.parametrize("function", [from_client, reference, state, HELLO, HELLO.marshal()])
def test_what_a_build_can_be(builder: Builder, tmp_path: Path, function: Any) -> None:
    builder.build(function, output=f"type=local,dest={tmp_path / 'out'}")
    assert (tmp_path / "out" / "greeting").read_text() == "hello"


def test_outputs_of_all_types(builder: Builder, tmp_path: Path) -> None:
    outputs: list[str | Output] = [
        f"type=oci,dest={tmp_path / 'oci.tar'},name=app",
        f"type=oci,dest={tmp_path / 'layout'},tar=false,compression=zstd",
        f"type=docker,dest={tmp_path / 'docker.tar'},name=app:1",
        f"type=tar,dest={tmp_path / 'files.tar'}",
        Output("local", str(tmp_path / "files")),
    ]
    response = builder.build(HELLO, output=outputs).exporter_response
    with tarfile.open(tmp_path / "files.tar") as archive:
        assert [member.name for member in archive if member.isfile()] == ["greeting"]
    assert (tmp_path / "files" / "greeting").read_text() == "hello"
    for location in ("oci-archive:{}/oci.tar", "oci:{}/layout", "docker-archive:{}/docker.tar"):
        assert tarkit.verify(location.format(tmp_path)).ok
        with (
            tarkit.open_source(location.format(tmp_path)) as source,
            tarkit.FileSystem.of(source) as files,
        ):
            assert files.read_text("/greeting") == "hello"
    assert response["image.name"] == "docker.io/library/app:1"  # of the last image
    document = metadata_document(response)
    assert document["containerimage.descriptor"]["digest"] == document["containerimage.digest"]


def test_a_result_without_files(builder: Builder, tmp_path: Path) -> None:
    for output in ("local", "tar", "oci", "docker"):
        builder.build(llb.scratch(), output=f"type={output},dest={tmp_path / output}")
    assert list((tmp_path / "local").iterdir()) == []
    assert config_of(tmp_path / "oci")["rootfs"] == {"type": "layers", "diff_ids": []}


def test_the_config_of_an_image_has_its_history(builder: Builder, tmp_path: Path) -> None:
    config = {"architecture": "arm64", "os": "linux", "x": [1], "config": {"Cmd": ["/a"]}}
    history = [{"created_by": "first"}, {"created_by": "none", "empty_layer": True}]

    def build(client: Client) -> Result:
        two = HELLO.file(llb.mkfile("/more", ""), custom_name="second")
        result = client.solve(two)
        result.add_meta("containerimage.config", json.dumps(config | {"history": history}).encode())
        return result

    builder.build(build, output=f"type=oci,dest={tmp_path / 'a.tar'}")
    found = config_of(tmp_path / "a.tar")
    assert {key: found[key] for key in config} == config
    assert [each["created_by"] for each in found["history"]] == ["first", "none", "second"]
    assert found["created"] == found["history"][2]["created"]
    assert len(found["rootfs"]["diff_ids"]) == 2


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"{}",
        b'{"os":"linux"}',
        b'{"os":1}',
        b'{"os":"linux","architecture":"amd64","history":3}',
        b'{"os":"linux","architecture":"amd64","history":[3]}',
        b'{"os":"linux","architecture":"amd64","created":[1]}',
        b"[" * 100_000,
    ],
    ids=lambda data: data[:40],
)
def test_a_malformed_config_leaves_no_output(builder: Builder, tmp_path: Path, data: bytes) -> None:
    def build(client: Client) -> Result:
        result = client.solve(HELLO)
        result.add_meta("containerimage.config", data)
        return result

    with pytest.raises(tarkit.MalformedError, match="image config of the result"):
        builder.build(build, output=f"type=oci,dest={tmp_path / 'a.tar'}")
    assert not (tmp_path / "a.tar").exists()


def test_a_state_is_built_for_each_platform(builder: Builder, tmp_path: Path) -> None:
    builder.build(
        HELLO,
        output=f"type=oci,dest={tmp_path / 'a.tar'}",
        platform=["linux/amd64", "linux/arm64"],
    )
    with tarkit.open_source(f"oci-archive:{tmp_path / 'a.tar'}") as source:
        index = tarkit.Index.parse(source.manifest())
    assert [str(each.platform) for each in index.manifests] == ["linux/amd64", "linux/arm64"]
    for output in ("docker", "tar", "local"):
        with pytest.raises(UnsupportedError):
            builder.build(
                HELLO, output=f"type={output},dest={tmp_path / 'b'}", platform=["a/b", "c/d"]
            )
        assert not (tmp_path / "b").exists()


def test_references_without_platforms_are_refused(builder: Builder) -> None:
    def build(client: Client) -> Result:
        result = Result()
        result.add_ref("a", client.solve(HELLO).ref)
        return result

    with pytest.raises(RefusedError, match="references without platforms"):
        builder.build(build)


def test_a_function_may_return_nothing_but_no_number(builder: Builder) -> None:
    assert builder.build(lambda client: None).exporter_response == {}
    with pytest.raises(UsageError, match="returned int, not a result or state"):
        builder.build(lambda client: 3)  # type: ignore[arg-type,return-value]


def test_the_error_of_a_function_is_raised_as_it_is(builder: Builder) -> None:
    def build(client: Client) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        builder.build(build)


def test_steps_run_without_an_output(builder: Builder) -> None:
    with pytest.raises(BuildError, match="rm /none"):
        builder.build(llb.scratch().file(llb.rm("/none")))


def test_a_later_build_finds_the_results_of_an_earlier_process(
    tmp_path: Path, context: Path
) -> None:
    copied = llb.scratch().file(llb.copy(llb.local("context"), "/a.txt", "/b.txt"))

    def build(no_cache: bool = False) -> set[str]:
        events: list[BuildEvent] = []
        with tarkit.build_client("local", store=tmp_path / "store") as builder:
            builder.build(
                copied, local={"context": context}, no_cache=no_cache, on_event=events.append
            )
        return {each.name for each in events if isinstance(each, VertexEvent) and each.cached}

    assert build() == set()
    assert build() == {"copy /a.txt /b.txt"}
    assert build(no_cache=True) == set()
    (context / "a.txt").write_text("changed")
    assert build() == set()


def test_outputs_are_checked_before_anything_is_built(builder: Builder, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()

    def build(client: Client) -> None:
        raise AssertionError("called")

    for output, kind in (
        (f"type=local,dest={tmp_path / 'full'}", RefusedError),
        (f"type=local,dest={tmp_path / 'full' / 'file'}", RefusedError),
        (f"type=tar,dest={tmp_path / 'full'}", RefusedError),
        (f"type=oci,dest={tmp_path / 'none' / 'a.tar'}", PathNotFoundError),
    ):
        with pytest.raises(kind):
            builder.build(build, output=output)
    with pytest.raises(PathNotFoundError):
        builder.build(build, local={"context": tmp_path / "none"})


def test_a_build_can_be_cancelled(builder: Builder) -> None:
    cancellation = tarkit.Cancellation()

    def build(client: Client) -> State:
        cancellation.cancel()
        return HELLO

    with cancellation, pytest.raises(CancelledError):
        builder.build(build)


@pytest.mark.parametrize("name", ["cache-imports", "cache-from", "attest:sbom", "source-policy"])
def test_options_of_later_versions_are_refused(builder: Builder, name: str) -> None:
    with pytest.raises(UnsupportedError, match=f"the option '{name}' comes in a later version"):
        builder.build(HELLO, opts={name: "x"})


@pytest.mark.parametrize("name", ["cache_from", "cache_to"])
def test_caches_of_later_versions_are_refused(builder: Builder, name: str) -> None:
    options: dict[str, Any] = {name: [CacheOptionsEntry("registry", {"ref": "a"})]}
    with pytest.raises(UnsupportedError, match="later version"):
        builder.build(HELLO, **options)


@pytest.mark.parametrize("engine", ["remote", "unix://", "http://host", "kube-pod://-x"])
def test_engines_that_are_unknown(engine: str) -> None:
    with pytest.raises(UsageError, match="engine"):
        tarkit.build_client(engine)


@pytest.mark.parametrize("engine", ["unix:///no/such/socket", "tcp://localhost:1"])
def test_engines_that_are_not_there(engine: str) -> None:
    with pytest.raises(TransportError, match=f"{engine}: no daemon is listening"):
        tarkit.build_client(engine)


def test_a_named_build_explains_which_input_has_changed(builder: Builder, context: Path) -> None:
    def explained(text: str) -> list[str]:
        made = llb.scratch().file(llb.mkfile("/made", text))
        copied = made.file(llb.copy(llb.local("context"), "/a.txt", "/b.txt"))
        response = builder.build(copied, local={"context": context}, name="mine")
        return [str(each) for each in response.explanations]

    assert explained("a") == [
        "mkfile /made: was not part of the last build",
        "copy /a.txt /b.txt: was not part of the last build",
    ]
    assert explained("a") == []
    (context / "a.txt").write_text("other")
    (change,) = explained("a")
    assert change.startswith("copy /a.txt /b.txt: content of input 1 (/a.txt) changed: sha256:")
    first, second = explained("b")
    assert first.startswith('mkfile /made: Actions[0].data changed: "1 bytes, sha256:')
    assert second.startswith("copy /a.txt /b.txt: definition of input 0 changed: sha256:")
    unnamed = builder.build(HELLO)
    assert unnamed.explanations == ()
