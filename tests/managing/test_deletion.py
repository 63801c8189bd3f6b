"""Test that deletion removes an image and its own content, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tarkit.blobs.writing import BlobWriter
from tarkit.errors import (
    AmbiguousImageError,
    ImageNotFoundError,
    LimitExceededError,
    RefusedError,
    UnsupportedError,
    VerificationError,
)
from tarkit.image.media_types import OCI_INDEX, OCI_MANIFEST
from tarkit.managing.deletion import delete_image
from tarkit.transports.docker_archive.format import DockerFormat
from tarkit.transports.location import open_reader, open_writer
from tarkit.transports.oci_layout.pruning import prune_layout
from tarkit.verifying.runner import verify
from tests.builders import (
    CONTAINERD_NAME,
    Doc,
    Files,
    Layout,
    Link,
    check_layout,
    copy,
    docker_archive,
    dump,
    layout_of,
    make_image,
    multi_platform,
    named,
    names_in,
    read_files,
    sha256,
    tar,
    untar,
    write_files,
)
from tests.transports.registry.copies import add_layout
from tests.transports.registry.fake_registry import Exchange, FakeRegistry

ONE, TWO = make_image("base", "one"), make_image("base", "two")


def blobs(files: Files) -> set[str]:
    return {name for name in files if name.startswith("blobs/")}


def signature(layout: Layout, subject: Doc, text: str = "signed") -> Doc:
    """Add an artifact about *subject*; return its descriptor."""
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": "example/signature",
        "config": layout.blob(b"{}", "application/vnd.oci.empty.v1+json"),
        "layers": [layout.blob(text.encode(), "text/plain")],
        "subject": subject,
    }
    return layout.blob(dump(document), OCI_MANIFEST)


def list_of(layout: Layout, subject: Doc, *referrers: Doc) -> Doc:
    """Add an index of *referrers*; return its entry, named after *subject*."""
    return named(layout.index(*referrers), subject["digest"].replace(":", "-"))


def test_only_the_image_s_own_blobs_go(tmp_path: Path) -> None:
    layout = Layout()
    one, two = layout.image(ONE), layout.image(TWO)
    files = layout.finish(named(one, "one"), named(two, "two"))
    layout_only_two = Layout()
    layout_only_two.image(TWO)
    write_files(tmp_path / "in", files)
    result = delete_image(f"oci:{tmp_path / 'in'}:one")
    after = read_files(tmp_path / "in")
    assert names_in(check_layout(after)) == ["two"]
    assert blobs(after) == blobs(layout_only_two.files)
    gone = [data for name, data in files.items() if name not in after]
    assert (str(result.digest), result.blobs, result.bytes) == (
        one["digest"],
        len(gone),
        sum(map(len, gone)),
    )
    assert result.blobs == 3


def test_other_names_keep_the_image(tmp_path: Path) -> None:
    layout = Layout()
    one = layout.image(ONE)
    before = write_files(tmp_path / "in", layout.finish(named(one, "a"), named(one, "b")))
    assert delete_image(f"oci:{before}:a").blobs == 0
    assert names_in(check_layout(read_files(before))) == ["b"]
    assert blobs(read_files(before)) == blobs(layout.files)
    delete_image(f"oci:{before}:b")
    assert read_files(before).keys() == {"index.json", "oci-layout"}


def test_blobs_that_no_image_ever_used_stay(tmp_path: Path) -> None:
    layout = Layout()
    stray = layout.blob(b"another writer is about to use this", "text/plain")
    write_files(tmp_path / "in", layout.finish(named(layout.image(ONE), "one")))
    delete_image(f"oci:{tmp_path / 'in'}")
    assert blobs(read_files(tmp_path / "in")) == {f"blobs/sha256/{stray['digest'][7:]}"}


def test_a_child_of_another_index_stays(tmp_path: Path) -> None:
    layout, index, images = multi_platform("amd64", "arm64")
    amd64 = layout.image(images["amd64"])
    nested = layout.index(index)
    write_files(tmp_path / "in", layout.finish(named(amd64, "amd64"), named(nested, "all")))
    assert delete_image(f"oci:{tmp_path / 'in'}:amd64").blobs == 0
    assert blobs(read_files(tmp_path / "in")) == blobs(layout.files)


def test_an_unnamed_image_is_deleted_by_position(tmp_path: Path) -> None:
    layout = Layout()
    files = layout.finish(layout.image(ONE), layout.image(TWO))
    where = write_files(tmp_path / "in", files)
    with pytest.raises(AmbiguousImageError):
        delete_image(f"oci:{where}")
    delete_image(f"oci:{where}:@0")
    assert len(check_layout(read_files(where))["manifests"]) == 1
    with pytest.raises(ImageNotFoundError):
        delete_image(f"oci:{where}:@1")


def test_referrers_go_with_their_image(tmp_path: Path) -> None:
    layout = Layout()
    one, two = layout.image(ONE), layout.image(TWO)
    kept = set(blobs(layout.files)) - {
        f"blobs/sha256/{digest[7:]}"
        for digest in (one["digest"], ONE.digest, *(_own_layer(layout, ONE),))
    }
    signed = signature(layout, one)
    countersigned = signature(layout, signed, "twice")
    direct = signature(layout, one, "as ORAS lists it")
    other = signature(layout, two, "of the other image")
    before = set(blobs(layout.files))
    files = layout.finish(
        named(one, "one"),
        named(two, "two"),
        list_of(layout, one, signed),
        list_of(layout, signed, countersigned),
        direct,
        list_of(layout, two, other),
    )
    where = write_files(tmp_path / "in", files)
    delete_image(f"oci:{where}:one")
    after = read_files(where)
    assert names_in(check_layout(after)) == ["two", two["digest"].replace(":", "-")]
    assert kept < blobs(after)
    assert {f"blobs/sha256/{other['digest'][7:]}"} < blobs(after)
    for gone in (signed, countersigned, direct):
        assert f"blobs/sha256/{gone['digest'][7:]}" in before - blobs(after)


def _own_layer(layout: Layout, image: object) -> str:
    from tests.builders import squeeze

    assert image is ONE
    return sha256(squeeze(ONE.layers[1]))


def test_referrers_of_an_image_with_another_name_stay(tmp_path: Path) -> None:
    layout = Layout()
    one = layout.image(ONE)
    files = layout.finish(
        named(one, "a"), named(one, "b"), list_of(layout, one, signature(layout, one))
    )
    where = write_files(tmp_path / "in", files)
    assert delete_image(f"oci:{where}:a").blobs == 0
    assert blobs(read_files(where)) == blobs(files)


def test_an_artifact_with_any_name_is_an_image_of_its_own(tmp_path: Path) -> None:
    layout = Layout()
    one = layout.image(ONE)
    artifacts = [
        named(signature(layout, one, "a"), "signature"),
        signature(layout, one, "b") | {"annotations": {CONTAINERD_NAME: "example/signature:1"}},
    ]
    where = write_files(tmp_path / "in", layout.finish(named(one, "one"), *artifacts))
    assert delete_image(f"oci:{where}:one").blobs == 0  # they refer to it
    after = read_files(where)
    assert check_layout(after)["manifests"] == artifacts
    assert blobs(after) == blobs(layout.files)


def test_a_corrupt_image_can_be_deleted(tmp_path: Path) -> None:
    layout = Layout()
    one, two = layout.image(ONE), layout.image(TWO)
    files = layout.finish(named(one, "one"), named(two, "two"))
    files[f"blobs/sha256/{one['digest'][7:]}"] = b"{broken"
    where = write_files(tmp_path / "in", files)
    delete_image(f"oci:{where}:one")
    assert f"blobs/sha256/{one['digest'][7:]}" not in read_files(where)
    assert not [f for f in verify(f"oci:{where}:two").findings if f.severity.name == "ERROR"]


def test_another_image_that_cannot_be_read_forbids_it(tmp_path: Path) -> None:
    layout = Layout()
    one, two = layout.image(ONE), layout.image(TWO)
    files = layout.finish(named(one, "one"), named(two, "two"))
    files[f"blobs/sha256/{two['digest'][7:]}"] = b"{broken"
    where = write_files(tmp_path / "in", files)
    with pytest.raises(VerificationError):
        delete_image(f"oci:{where}:one")
    assert read_files(where) == files
    huge = layout.blob(b"{" + b" " * (4 << 20) + b"}", OCI_INDEX)
    files = layout.finish(named(one, "one"), named(huge, "huge"))
    write_files(where, files)
    with pytest.raises(LimitExceededError):
        delete_image(f"oci:{where}:one")


def test_an_archive_loses_only_the_image_s_blobs(tmp_path: Path) -> None:
    layout = Layout()
    one, two = layout.image(ONE), layout.image(TWO)
    path = tmp_path / "in.tar"
    path.write_bytes(tar(layout.finish(named(one, "one"), named(two, "two"))))
    result = delete_image(f"oci-archive:{path}:one")
    after = untar(path)
    assert (names_in(check_layout(after)), result.blobs) == (["two"], 3)
    only_two = Layout()
    only_two.image(TWO)
    assert blobs(after) == blobs(only_two.files)
    with pytest.raises(RefusedError, match="only image"):
        delete_image(f"oci-archive:{path}")
    assert untar(path) == after


@pytest.mark.parametrize("format", DockerFormat)
def test_a_docker_archive_equals_that_of_the_other_image(
    tmp_path: Path, format: DockerFormat
) -> None:
    save = docker_archive(tmp_path / "save.tar", (ONE, ["one:1"]), (TWO, ["two:1", "two:2"]))
    both, only = tmp_path / "both.tar", tmp_path / "only.tar"
    from tarkit.copying.existing import copy_existing

    for path, dropped in ((both, ()), (only, ("one:1",))):
        with (
            open_reader(f"docker-archive:{save}") as reader,
            open_writer(f"docker-archive:{path}", docker_format=format) as writer,
        ):
            copy_existing(reader, writer, except_names=dropped)
    before = untar(both)
    result = delete_image(f"docker-archive:{both}:one:1")
    after = untar(both)
    assert after.keys() - untar(only).keys() <= _first_layer_s_legacy_files(after)
    assert untar(only).items() <= after.items()
    assert result.blobs == len(before) - len(after) + len(_links(both, save, format))
    assert not verify(f"docker-archive:{both}").findings


def _first_layer_s_legacy_files(files: Files) -> set[str]:
    """The files that skopeo's format repeats for a layer below another one, which still exists."""
    return {name for name in files if name.endswith(("/json", "/VERSION"))}


def _links(both: Path, save: Path, format: DockerFormat) -> range:
    """The links that went: one for the top layer in skopeo's format."""
    return range(1 if format is DockerFormat.CLASSIC else 0)


def test_one_of_several_names_is_deleted_alone(tmp_path: Path) -> None:
    save = docker_archive(tmp_path / "save.tar", (ONE, ["one:1"]), (TWO, ["two:1", "two:2"]))
    before = untar(save)
    assert delete_image(f"docker-archive:{save}:two:1").blobs == 0
    after = untar(save)
    assert after.keys() == before.keys()
    assert [i["RepoTags"] for i in json.loads(after["manifest.json"])] == [["one:1"], ["two:2"]]


def test_all_files_of_a_layer_of_docker_20_go(tmp_path: Path) -> None:
    layers = ["a/layer.tar", "b/layer.tar"]
    config = {"Config": "c.json", "RepoTags": ["one:1"], "Layers": layers}
    other = config | {"RepoTags": ["two:1"], "Layers": ["a/layer.tar", "d/layer.tar"]}
    other["Config"] = "e.json"
    files: dict[str, bytes | Link] = {
        f"{folder}/{name}": f"{folder}{name}".encode()
        for folder in "abd"
        for name in ("VERSION", "json")
    }
    files |= {"a/layer.tar": ONE.layers[0], "b/layer.tar": ONE.layers[1]}
    files |= {"d/layer.tar": TWO.layers[1], "c.json": ONE.config, "e.json": TWO.config}
    files |= {"manifest.json": dump([config, other])}
    files |= {"repositories": dump({"one": {"1": "b"}, "two": {"1": "d"}})}
    path = tmp_path / "save.tar"
    path.write_bytes(tar(files))
    assert delete_image(f"docker-archive:{path}:one:1").blobs == 4
    after = untar(path)
    assert files.keys() - after.keys() == {"b/VERSION", "b/json", "b/layer.tar", "c.json"}
    assert json.loads(after["repositories"]) == {"two": {"1": "d"}}


def test_a_shared_layer_that_is_a_link_keeps_its_target(tmp_path: Path) -> None:
    one = {"Config": "c.json", "RepoTags": ["one:1"], "Layers": ["a/layer.tar", "b/layer.tar"]}
    two = {"Config": "e.json", "RepoTags": ["two:1"], "Layers": ["x/layer.tar", "d/layer.tar"]}
    files: dict[str, bytes | Link] = {"a/layer.tar": ONE.layers[0], "b/layer.tar": ONE.layers[1]}
    files |= {"x/layer.tar": Link("../a/layer.tar"), "d/layer.tar": TWO.layers[1]}
    files |= {"c.json": ONE.config, "e.json": TWO.config, "manifest.json": dump([one, two])}
    path = tmp_path / "save.tar"
    path.write_bytes(tar(files))
    delete_image(f"docker-archive:{path}:one:1")
    assert untar(path).keys() == {"a/layer.tar", "d/layer.tar", "e.json", "manifest.json"}
    copy(f"docker-archive:{path}:two:1", f"oci:{tmp_path / 'out'}")


def test_a_registry_deletes_by_digest(registry: FakeRegistry) -> None:
    layout = Layout()
    one = layout.image(ONE)
    for tag in ("1", "2"):
        add_layout(registry, "app", tag, layout.files, one)
    result = delete_image(f"docker://{registry.address}/app:1")
    assert (str(result.digest), result.blobs) == (one["digest"], 0)
    assert [seen.path for seen in registry.requests("DELETE")] == [
        f"/v2/app/manifests/{one['digest']}"
    ]
    with pytest.raises(ImageNotFoundError):
        delete_image(f"docker://{registry.address}/app:2")


def test_a_registry_that_refuses_says_so(registry: FakeRegistry) -> None:
    layout = Layout()
    add_layout(registry, "app", "1", layout.files, layout.image(ONE))
    registry.deletes = False
    with pytest.raises(UnsupportedError, match=r"not allow deletion \(405\): UNSUPPORTED"):
        delete_image(f"docker://{registry.address}/app:1")


def test_other_transports_are_refused(tmp_path: Path) -> None:
    write_files(tmp_path / "in", layout_of(ONE))
    copy(f"oci:{tmp_path / 'in'}", f"dir:{tmp_path / 'out'}")
    for location in (f"dir:{tmp_path / 'out'}", "docker-daemon:x"):
        with pytest.raises(UnsupportedError, match="cannot delete images from"):
            delete_image(location)


def test_a_token_for_deletion_is_asked_for(registry: FakeRegistry) -> None:
    layout = Layout()
    add_layout(registry, "app", "1", layout.files, layout.image(ONE))

    def authorize(exchange: Exchange) -> bool:
        if exchange.path.startswith("/token"):
            exchange.answer(200, b'{"token": "secret"}')
            return False
        if exchange.headers.get("Authorization") == "Bearer secret":
            return True
        realm = f'Bearer realm="http://{registry.address}/token",service="x"'
        exchange.refuse(401, "UNAUTHORIZED", **{"WWW-Authenticate": realm})
        return False

    registry.authorize = authorize
    delete_image(f"docker://{registry.address}/app:1")
    scopes = [seen.path for seen in registry.requests("GET", "/token")]
    assert [path.partition("scope=")[2].partition("&")[0] for path in scopes] == [
        "repository%3Aapp%3Apull%2Cdelete"
    ]


def test_an_interruption_leaves_blobs_that_prune_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout()
    files = layout.finish(named(layout.image(ONE), "one"), named(layout.image(TWO), "two"))
    where = write_files(tmp_path / "in", files)

    def interrupt(self: BlobWriter, digest: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(BlobWriter, "remove", interrupt)
        with pytest.raises(KeyboardInterrupt):
            delete_image(f"oci:{where}:one")
    after = read_files(where)
    assert (names_in(check_layout(after)), blobs(after)) == (["two"], blobs(files))
    assert len(prune_layout(where)) == 3
