"""Several images to one archive, layout or registry: sharing, names, failures and progress."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tarkit.copying.engine import copy_image
from tarkit.copying.options import CopyOptions
from tarkit.errors import DigestMismatchError, RefusedError, TarkitError, UsageError
from tarkit.progress import Progress
from tarkit.syncing.images import copy_images
from tarkit.syncing.options import SyncOptions
from tarkit.transports.location import open_source, open_writer
from tests.builders import (
    check_layout,
    multi_platform,
    named,
    names_in,
    read_files,
    untar,
    write_files,
)
from tests.cli.conftest import Tarkit
from tests.syncing.images import app, laid_out, saved
from tests.transports.registry.fake_registry import Exchange, FakeRegistry

ALL = SyncOptions(all_images=True)
GOING = SyncOptions(all_images=True, keep_going=True)


def opened(destination: str) -> dict[str, bytes]:
    path = Path(destination.partition(":")[2])
    return read_files(path) if path.is_dir() else untar(path)


def blobs_in(files: dict[str, bytes]) -> set[str]:
    return {name for name in files if name.startswith("blobs/")}


def break_blob(layout: str, number: int) -> str:
    """Change the manifest of image *number*, and return its digest."""
    path = Path(layout.partition(":")[2])
    entry = json.loads((path / "index.json").read_bytes())["manifests"][number]
    manifest = json.loads((path / "blobs/sha256" / entry["digest"][7:]).read_bytes())
    layer = manifest["layers"][-1]["digest"]
    blob = path / "blobs/sha256" / layer[7:]
    blob.write_bytes(b"x" * blob.stat().st_size)
    return str(layer)


def copy_image_as(layout: Path, archive: str, *names: str) -> None:
    with open_source(archive) as source, open_writer(f"oci:{layout}") as writer:
        copy_image(source, writer.destination(*names))


@pytest.mark.parametrize("transport", ["oci", "oci-archive", "docker-archive"])
def test_a_shared_layer_is_read_and_stored_once(tmp_path: Path, transport: str) -> None:
    source = saved(tmp_path / "save.tar", 4)
    out = f"{transport}:{tmp_path / 'out'}"
    result = copy_images([source], out, ALL)
    assert [image.names for image in result.images] == [(f"team/app{n}:1",) for n in range(4)]
    layers = [sum(map(len, app(n).layers[1:])) + len(app(n).config) for n in range(4)]
    assert result.bytes_read == len(app(0).layers[0]) + sum(layers)
    assert sum(image.result.reused for image in result.images if image.result) == 3
    assert len(blobs_in(opened(out))) == 4 * 3 + 1


def test_sources_of_several_kinds_keep_their_names(tmp_path: Path) -> None:
    archive, layout = saved(tmp_path / "save.tar", 2), laid_out(tmp_path / "in", "x", "y")
    out = f"oci:{tmp_path / 'out'}"
    copy_images([f"{archive}:team/app1:1", f"{layout}:x", f"{layout}:y"], out)
    assert names_in(check_layout(opened(out))) == ["team/app1:1", "x", "y"]


def test_one_image_under_two_names_is_stored_once(tmp_path: Path) -> None:
    archive = saved(tmp_path / "save.tar", 1)
    copy_image_as(tmp_path / "two", archive, "x:1", "y:1")
    out = f"oci-archive:{tmp_path / 'out'}"
    result = copy_images([f"oci:{tmp_path / 'two'}"], out, ALL)
    assert [image.names for image in result.images] == [("x:1",), ("y:1",)]
    digests = {image.result.descriptor.digest for image in result.images if image.result}
    assert len(digests) == 1
    assert len(blobs_in(opened(out))) == 4


def test_two_images_never_share_a_name(tmp_path: Path) -> None:
    one, two = laid_out(tmp_path / "one", "app"), laid_out(tmp_path / "two", "other", "app")
    with pytest.raises(RefusedError, match="would have the same name 'app'"):
        copy_images([one, two], f"oci:{tmp_path / 'out'}", ALL)
    assert not (tmp_path / "out").exists()
    result = copy_images([one, two], f"oci:{tmp_path / 'out'}", GOING)
    assert [image.names for image in result.images] == [("app",), ("other",)]
    assert len(result.failed) == 1


def test_the_same_image_twice_under_a_name_is_one(tmp_path: Path) -> None:
    one, two = laid_out(tmp_path / "one", "app"), laid_out(tmp_path / "two", "app")
    copy_images([one, two], f"oci:{tmp_path / 'out'}", ALL)
    assert names_in(check_layout(read_files(tmp_path / "out"))) == ["app"]


@pytest.mark.parametrize("transport", ["oci", "oci-archive", "docker-archive"])
def test_a_bad_image_is_named_and_nothing_is_published(tmp_path: Path, transport: str) -> None:
    source = laid_out(tmp_path / "in", "a:1", "b:1", "c:1")
    break_blob(source, 1)
    out = tmp_path / "out"
    with pytest.raises(DigestMismatchError, match=f"{source}:b:1"):
        copy_images([source], f"{transport}:{out}", ALL)
    assert not out.exists()


@pytest.mark.parametrize("transport", ["oci", "oci-archive", "docker-archive"])
@pytest.mark.parametrize("bad", [0, 1, 2])
def test_good_images_are_published_without_remains_of_bad_ones(
    tmp_path: Path, transport: str, bad: int
) -> None:
    source = laid_out(tmp_path / "in", "a:1", "b:1", "c:1")
    good = [f"{source}:{name}" for at, name in enumerate(("a:1", "b:1", "c:1")) if at != bad]
    copy_images(good, f"{transport}:{tmp_path / 'expected'}")
    break_blob(source, bad)
    out = f"{transport}:{tmp_path / 'out'}"
    result = copy_images([source], out, GOING)
    assert [type(failed.error) for failed in result.failed] == [DigestMismatchError]
    assert opened(out) == opened(f"{transport}:{tmp_path / 'expected'}")


def test_a_bad_image_leaves_nothing_in_a_classic_archive(tmp_path: Path, tarkit: Tarkit) -> None:
    source = laid_out(tmp_path / "in", "a:1", "b:1")
    classic = ("--docker-format=classic", "--all-images", "--keep-going")
    expected = tmp_path / "expected.tar"
    tarkit("copy", "--docker-format=classic", f"{source}:b:1", f"docker-archive:{expected}")
    break_blob(source, 0)
    result = tarkit("copy", *classic, source, f"docker-archive:{tmp_path / 'out.tar'}")
    assert result.code == 1
    assert "failed: " in result.err
    assert f"{source}:a:1" in result.err
    assert (tmp_path / "out.tar").read_bytes() == expected.read_bytes()


def test_images_are_added_to_those_of_a_layout(tmp_path: Path) -> None:
    out = laid_out(tmp_path / "out", "old")
    result = copy_images([saved(tmp_path / "save.tar", 2)], out, ALL)
    assert names_in(check_layout(opened(out))) == ["old", "team/app0:1", "team/app1:1"]
    first = result.images[0].result
    assert first is not None
    assert first.bytes_written < 2000  # the layout had the layers


def test_progress_covers_all_images(tmp_path: Path) -> None:
    events: list[Progress] = []
    options = SyncOptions(all_images=True, copy=CopyOptions(on_progress=events.append))
    copy_images([saved(tmp_path / "save.tar", 3)], f"oci:{tmp_path / 'out'}", options)
    done = [event.total_done for event in events]
    assert done == sorted(done)
    assert (events[-1].blobs_done, events[-1].blobs) == (6, 6)
    assert events[-1].total_done == events[-1].total


@pytest.mark.parametrize(
    ("sources", "destination", "words"),
    [
        (["{save}"], "oci:{out}", "--all-images takes all"),
        (["{save}"], "oci:{out}:name", "cannot share one name"),
        (["{save}"], "dir:{out}", "holds one image"),
        (["{save}:team/app0:1", "{save}:none:1"], "oci:{out}", "no image 'none:1'"),
        (["{save}:team/app0:1"], "docker://localhost:1/app:1", "cannot share one name"),
        ([], "oci:{out}", "no images given"),
    ],
)
def test_refusals(tmp_path: Path, sources: list[str], destination: str, words: str) -> None:
    places = {"save": saved(tmp_path / "save.tar", 2), "out": str(tmp_path / "out")}
    with pytest.raises(TarkitError, match=words):
        copy_images([s.format(**places) for s in sources], destination.format(**places))
    assert not (tmp_path / "out").exists()


class TestRegistry:
    def test_a_prefix_takes_the_last_component(
        self, registry: FakeRegistry, tmp_path: Path
    ) -> None:
        source = saved(tmp_path / "save.tar", 3)
        copy_images([source], f"docker://{registry.address}/mirror/", ALL)
        assert sorted(registry.manifests) == [f"mirror/app{n}" for n in range(3)]
        base = [set(blobs) for blobs in registry.blobs.values()]
        assert len(set.intersection(*base)) == 1
        uploads = registry.requests("PUT", "/blobs/uploads/")
        assert len(uploads) == 1 + 2 * 3  # the shared layer is mounted from the first repository

    def test_scoped_names_keep_all_components(self, registry: FakeRegistry, tmp_path: Path) -> None:
        source = saved(tmp_path / "save.tar", 1)
        options = SyncOptions(scoped=True, prefix="deep")
        copy_images([source], f"docker://{registry.address}/m/", options)
        assert list(registry.manifests) == ["m/deep/docker.io/team/app0"]

    def test_one_repository_takes_tags(self, registry: FakeRegistry, tmp_path: Path) -> None:
        source = laid_out(tmp_path / "in", "v1", "v2")
        copy_images([source], f"docker://{registry.address}/one", ALL)
        assert {"v1", "v2"} < set(registry.manifests["one"])

    def test_several_repositories_need_a_prefix(
        self, registry: FakeRegistry, tmp_path: Path
    ) -> None:
        with pytest.raises(UsageError, match="with a slash at its end"):
            copy_images([saved(tmp_path / "s.tar", 2)], f"docker://{registry.address}/one", ALL)
        assert not registry.seen

    def test_manifests_follow_all_blobs(self, registry: FakeRegistry, tmp_path: Path) -> None:
        copy_images([saved(tmp_path / "s.tar", 3)], f"docker://{registry.address}/m/", ALL)
        puts = [seen.path for seen in registry.requests("PUT")]
        first = next(at for at, path in enumerate(puts) if "/manifests/" in path)
        assert all("/manifests/" in path for path in puts[first:])

    def test_a_bad_image_publishes_no_manifest(
        self, registry: FakeRegistry, tmp_path: Path
    ) -> None:
        source = laid_out(tmp_path / "in", "a:1", "b:1")
        break_blob(source, 1)
        with pytest.raises(DigestMismatchError):
            copy_images([source], f"docker://{registry.address}/m/", ALL)
        assert not registry.manifests
        result = copy_images([source], f"docker://{registry.address}/m/", GOING)
        assert (list(registry.manifests), len(result.failed)) == (["m/a"], 1)

    def test_an_error_lists_the_published_images(
        self, registry: FakeRegistry, tmp_path: Path, tarkit: Tarkit
    ) -> None:
        def reject(exchange: Exchange) -> None:
            exchange.refuse(400, "MANIFEST_INVALID")

        registry.fail("PUT", "m/app1/manifests", reject)
        source = saved(tmp_path / "s.tar", 3)
        arguments = ("--all-images", source, f"docker://{registry.address}/m/")
        failed = tarkit("copy", *arguments)
        assert failed.code == 6
        assert f"1 of 3 images were published: {registry.address}/m/app0:1" in failed.err
        going = tarkit("copy", "--keep-going", "--json", *arguments)
        assert going.code == 1
        assert [image["names"] for image in going.document["images"]] == [
            [f"{registry.address}/m/app{n}:1"] for n in (0, 2)
        ]
        assert len(going.document["failed"]) == 1

    def test_nameless_images_are_refused(self, registry: FakeRegistry, tmp_path: Path) -> None:
        source = laid_out(tmp_path / "in", "v1")
        with pytest.raises(UsageError, match="names no repository"):
            copy_images([source], f"docker://{registry.address}/m/")


class TestDualArchives:
    def test_all_platforms_and_one_for_older_docker(self, tmp_path: Path, tarkit: Tarkit) -> None:
        layout, index, images = multi_platform("amd64", "arm64")
        write_files(tmp_path / "in", layout.finish(named(index, "x")))
        out = tmp_path / "out.tar"
        arguments = ("copy", "--all", f"oci:{tmp_path / 'in'}", f"docker-archive:{out}:app:1")
        result = tarkit(*arguments, "--platform", "linux/arm64")
        assert result.out.strip() == index["digest"]
        assert "loads linux/arm64; the OCI half holds linux/amd64, linux/arm64" in result.err
        files = untar(out)
        (item,) = json.loads(files["manifest.json"])
        assert item["Config"].endswith(images["arm64"].digest[7:])
        (entry,) = check_layout(files)["manifests"]
        assert entry["digest"] == index["digest"]

    def test_a_missing_platform_is_an_error_if_requested(
        self, tmp_path: Path, tarkit: Tarkit
    ) -> None:
        layout, index, _ = multi_platform("s390x", "ppc64le")
        write_files(tmp_path / "in", layout.finish(named(index, "x")))
        out = tmp_path / "out.tar"
        arguments = ("copy", "--all", f"oci:{tmp_path / 'in'}", f"docker-archive:{out}:app:1")
        assert tarkit(*arguments, "--platform", "linux/amd64").code == 3
        assert not out.exists()
        assert "loads linux/s390x" in tarkit(*arguments).err
