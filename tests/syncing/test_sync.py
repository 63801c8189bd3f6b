"""``tarkit sync``: lists, repositories, second runs, dry runs and shards."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tarkit.copying.options import CopyOptions
from tarkit.errors import ImageNotFoundError, MalformedError, TarkitError, UsageError
from tarkit.syncing.images import copy_images
from tarkit.syncing.options import Shard, SyncOptions
from tarkit.syncing.sync import plan_sync, sync
from tests.builders import check_layout, multi_platform, named, names_in, read_files, write_files
from tests.cli.conftest import Tarkit
from tests.syncing.images import laid_out, saved
from tests.transports.registry.fake_registry import FakeRegistry
from tests.transports.registry.token_server import basic

DESTINATIONS = ("oci:{dir}/out", "oci-archive:{dir}/out", "docker-archive:{dir}/out", "registry")
KINDS = pytest.mark.parametrize("kind", DESTINATIONS)


def placed(kind: str, directory: Path, registry: FakeRegistry) -> str:
    where = f"docker://{registry.address}/mirror/"
    return where if kind == "registry" else kind.format(dir=directory)


def filled(registry: FakeRegistry, directory: Path, *tags: str, repository: str = "app") -> str:
    """Push a different image under each tag of a repository."""
    source = laid_out(directory / repository, *tags)
    where = f"docker://{registry.address}/team/{repository}"
    copy_images([source], where, SyncOptions(all_images=True))
    registry.seen.clear()
    return where


def written(registry: FakeRegistry) -> list[str]:
    return [seen.path for seen in registry.seen if seen.method in ("PUT", "POST", "PATCH")]


@KINDS
@pytest.mark.parametrize("origin", ["classic", "layout", "registry"])
def test_a_second_run_transfers_nothing(
    registry: FakeRegistry, tmp_path: Path, kind: str, origin: str
) -> None:
    out = placed(kind, tmp_path, registry)
    source = {
        "classic": lambda: saved(tmp_path / "in.tar", 3),
        "layout": lambda: laid_out(tmp_path / "in", "team/a:1", "team/b:1", "team/c:1"),
        "registry": lambda: filled(registry, tmp_path, "1", "2", "3"),
    }[origin]()
    first = sync(source, out)
    assert [image.result is None for image in first.images] == [False] * 3
    path = tmp_path / "out"
    before = path.stat().st_mtime_ns if path.is_file() else None
    registry.seen.clear()
    second = sync(source, out)
    assert [image.result for image in second.images] == [None] * 3
    assert (second.bytes_read, second.bytes_written) == (0, 0)
    assert not written(registry)
    assert not registry.requests("GET", "/blobs/") or kind == "docker-archive:{dir}/out"
    assert before is None or path.stat().st_mtime_ns == before


@KINDS
def test_a_change_transfers_only_its_blobs(
    registry: FakeRegistry, tmp_path: Path, kind: str
) -> None:
    out = placed(kind, tmp_path, registry)
    sync(laid_out(tmp_path / "in", "team/a:1", "team/b:1"), out)
    changed = laid_out(tmp_path / "new", "team/a:1", "team/x:1", "team/b:1")
    result = sync(changed, out)
    copied = {image.names[0].rpartition("/")[2] for image in result.images if image.result}
    assert copied == {"x:1", "b:1"}
    # a new repository needs the shared layer once
    assert result.bytes_read < (210_000 if kind == "registry" else 10_000)


def test_digests_are_preserved(registry: FakeRegistry, tmp_path: Path) -> None:
    layout, index, _ = multi_platform("amd64", "arm64")
    write_files(tmp_path / "in", layout.finish(named(index, "team/app:1")))
    out = f"docker://{registry.address}/mirror/"
    everything = SyncOptions(copy=CopyOptions(all=True))
    (image,) = sync(f"oci:{tmp_path / 'in'}", out, everything).images
    assert image.result is not None
    assert str(image.result.descriptor.digest) == index["digest"]
    assert index["digest"] in registry.manifests["mirror/app"]
    assert [i.result for i in sync(f"oci:{tmp_path / 'in'}", out, everything).images] == [None]


def test_tags_of_a_repository(registry: FakeRegistry, tmp_path: Path) -> None:
    source = filled(registry, tmp_path, "1.0", "1.1", "2.0")
    sync(source, f"oci:{tmp_path / 'out'}", SyncOptions(tags="1.*"))
    names = names_in(check_layout(read_files(tmp_path / "out")))
    assert names == [f"{registry.address}/team/app:{tag}" for tag in ("1.0", "1.1")]
    with pytest.raises(ImageNotFoundError, match="no tag is wanted"):
        sync(source, f"oci:{tmp_path / 'none'}", SyncOptions(tags="9*"))
    with pytest.raises(UsageError, match="--tags needs a repository"):
        sync(f"oci:{tmp_path / 'out'}", f"oci:{tmp_path / 'x'}", SyncOptions(tags="1*"))


def test_a_list_of_skopeo(registry: FakeRegistry, tmp_path: Path) -> None:
    filled(registry, tmp_path, "1.10", "1.9", repository="some")
    filled(registry, tmp_path, "a", "b", repository="all")
    filled(registry, tmp_path, "v1", "x1", repository="regex")
    filled(registry, tmp_path, "1.2.0", "2.0.0", "latest", repository="semver")
    text = f"""
{registry.address}:
  images:
    team/some: [1.10]
    team/all: []
  images-by-tag-regex:
    team/regex: ^v
  images-by-semver:
    team/semver: ">=1, <2"
  tls-verify: false
"""
    (tmp_path / "list.yaml").write_text(text)
    sync(str(tmp_path / "list.yaml"), f"oci:{tmp_path / 'out'}")
    names = names_in(check_layout(read_files(tmp_path / "out")))
    assert [str(name).removeprefix(f"{registry.address}/team/") for name in names] == [
        "some:1.10", "all:a", "all:b", "regex:v1", "semver:1.2.0",
    ]  # fmt: skip


@pytest.mark.parametrize("suffix", ["yaml", "json"])
def test_a_list_of_our_own(tmp_path: Path, suffix: str) -> None:
    layout, archive = laid_out(tmp_path / "in", "v1"), saved(tmp_path / "save.tar", 2)
    images = [archive, {"source": f"{layout}:v1", "name": "registry.example/app:1.10"}]
    path = tmp_path / f"list.{suffix}"
    path.write_text(json.dumps({"images": images}))  # JSON is YAML as well
    sync(str(path), f"oci:{tmp_path / 'out'}")
    names = names_in(check_layout(read_files(tmp_path / "out")))
    assert names == ["team/app0:1", "team/app1:1", "registry.example/app:1.10"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("images: x", "not a list"),
        ("images: [{source: a, nam: b}]", "image 1: unknown key 'nam'"),
        ("images: [{source: [a]}]", "image 1: not the location of an image"),
        ("images: ['oci:x', '']", "image 2: not the location"),
        ("a: [b", "not valid YAML, line 2"),
        ("quay.io: {imges: {}}", "quay.io: unknown key 'imges'"),
        ("quay.io: {images: {a: b}}", "the tags of a are not a list"),
        ("quay.io: {images: {'a:1': []}}", "has a tag"),
        ("quay.io: {images-by-tag-regex: {a: '['}}", "invalid pattern"),
        ("quay.io: {images-by-semver: {a: '>'}}", "malformed version constraint"),
        ("quay.io: {tls-verify: maybe}", "neither true nor false"),
        ("quay.io: {credentials: {username: a}}", "a username and a password"),
        ("quay.io: x", "not a mapping"),
        ("x", "not a list"),
        ("&a [*a]", "recursive"),
        ("[" * 100_000, "not valid YAML"),
    ],
)
def test_invalid_lists(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "list.yaml"
    path.write_text(text)
    with pytest.raises(TarkitError) as raised:
        sync(str(path), f"oci:{tmp_path / 'out'}")
    assert words in str(raised.value)
    assert str(path) in str(raised.value)
    assert isinstance(raised.value, MalformedError | UsageError)


def test_credentials_of_a_list_are_sent_but_not_shown(
    registry: FakeRegistry, tmp_path: Path, tarkit: Tarkit
) -> None:
    filled(registry, tmp_path, "1")
    registry.authorize = basic("reader", "hunter2-is-secret")
    path = tmp_path / "list.yaml"
    entry = "{images: {team/app: [1]}, credentials: {username: reader, password: %s}}"
    path.write_text(f"{registry.address}: " + entry % "hunter2-is-secret")
    assert tarkit("sync", path, f"oci:{tmp_path / 'out'}").code == 0
    path.write_text(f"{registry.address}: " + entry % "hunter3-is-wrong")
    refused = tarkit("sync", path, f"oci:{tmp_path / 'no'}")
    assert refused.code == 5
    assert "hunter" not in refused.err


def test_a_dry_run_counts_and_writes_nothing(
    registry: FakeRegistry, tmp_path: Path, tarkit: Tarkit
) -> None:
    source, out = filled(registry, tmp_path, "1", "2"), f"oci:{tmp_path / 'out'}"
    (first, second), failed = plan_sync(source, out)
    assert (first.blobs, first.present, second.blobs, second.present) == (3, 0, 2, 1)
    assert not failed
    assert not (tmp_path / "out").exists()
    assert not registry.requests("GET", "/blobs/")
    result = sync(source, out)
    assert result.bytes_read == first.bytes + second.bytes
    document = tarkit("sync", "--dry-run", "--json", source, out).document
    assert [image["unchanged"] for image in document["images"]] == [True, True]
    assert "total of 2 images" in tarkit("sync", "--dry-run", source, out).out


@pytest.mark.parametrize("kind", ["oci", "oci-archive", "docker-archive"])
def test_a_dry_run_knows_the_blobs_of_files(tmp_path: Path, kind: str) -> None:
    source, out = laid_out(tmp_path / "in", "a:1", "b:1"), f"{kind}:{tmp_path / 'out'}"
    copy_images([f"{source}:a:1"], out)
    transfers, _ = plan_sync(source, out)
    assert [(t.unchanged, t.blobs, t.present) for t in transfers] == [(True, 0, 0), (False, 2, 1)]


def test_keep_going_with_a_list(tmp_path: Path, tarkit: Tarkit) -> None:
    layout = laid_out(tmp_path / "in", "a", "b")
    path = tmp_path / "list.json"
    path.write_text(json.dumps([f"{layout}:a", f"{layout}:none", f"oci:{tmp_path / 'no'}"]))
    refused = tarkit("sync", path, f"oci:{tmp_path / 'out'}")
    assert refused.code == 3
    assert not (tmp_path / "out").exists()
    result = tarkit("sync", "--keep-going", "--json", path, f"oci:{tmp_path / 'out'}")
    assert result.code == 1
    assert [image["names"] for image in result.document["images"]] == [["a"]]
    assert [f["source"] for f in result.document["failed"]] == [
        f"{layout}:none", f"oci:{tmp_path / 'no'}",
    ]  # fmt: skip


def test_shards_are_a_partition(tmp_path: Path) -> None:
    source = laid_out(tmp_path / "in", *(f"app{n}:1" for n in range(12)))
    found: list[str] = []
    for number in (1, 2, 3):
        options = SyncOptions(shard=Shard(number, 3))
        transfers, _ = plan_sync(source, f"oci:{tmp_path / 'out'}", options)
        again, _ = plan_sync(source, f"oci:{tmp_path / 'out'}", options)
        assert transfers == again
        found += [transfer.names[0] for transfer in transfers]
        assert len(transfers) < 12
    assert sorted(found) == sorted(f"app{n}:1" for n in range(12))


def test_a_shard_does_not_depend_on_the_path(tmp_path: Path) -> None:
    names = [f"app{n}:1" for n in range(8)]
    options = SyncOptions(shard=Shard(1, 2))
    plans = [
        plan_sync(laid_out(tmp_path / place, *names), f"oci:{tmp_path / 'out'}", options)[0]
        for place in ("here", "there")
    ]
    first, second = ([transfer.names for transfer in plan] for plan in plans)
    assert first == second


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "1/0", "a/b", "1/3/5"])
def test_invalid_shards(text: str, tmp_path: Path, tarkit: Tarkit) -> None:
    assert tarkit("sync", "--shard", text, "oci:in", f"oci:{tmp_path / 'out'}").code == 2


def test_a_prefix_in_an_archive(tmp_path: Path, tarkit: Tarkit) -> None:
    source = saved(tmp_path / "in.tar", 1)
    out = tmp_path / "out.tar"
    arguments = ("sync", source, f"docker-archive:{out}", "--prefix", "registry.local:5000/m")
    assert tarkit(*arguments).out.split()[1:] == ["registry.local:5000/m/app0:1"]
    assert tarkit("sync", source, f"oci:{tmp_path / 'o'}", "--scoped").code == 2
