"""ImageBuilder: deterministic, self-contained layers and configs with their history."""

from __future__ import annotations

import io
import json
import os
import tarfile
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

import tarkit
from tarkit import ImageBuilder, open_image
from tarkit.errors import (
    PathNotFoundError,
    RefusedError,
    TarkitError,
    UnsupportedError,
    UsageError,
    VerificationError,
)
from tarkit.rootfs.filesystem import FileSystem
from tarkit.streams.codecs import Compression, compress
from tarkit.transports.registry.options import RegistryOptions
from tests.builders import docker_archive, image_of, make_image
from tests.rootfs.layers import (
    Item,
    char,
    directory,
    fifo,
    file,
    hard,
    link,
    members,
    merge,
    pack,
    unaligned,
)
from tests.rootfs.stacks import layers, stacks
from tests.rootfs.test_merge_model import shape_of
from tests.transports.registry.fake_registry import fake_registry


def layer_of(builder: ImageBuilder, number: int = -1) -> tarfile.TarFile:
    """Return a new layer, as the standard library reads it."""
    with builder.build() as source:
        descriptor = tarkit.inspect_image(source).layers[number].descriptor
        with source.open_blob(descriptor) as stream:
            return tarfile.open(fileobj=io.BytesIO(stream.read()))


def config_of(builder: ImageBuilder) -> dict[str, Any]:
    with builder.build() as source:
        manifest = tarkit.Manifest.parse(source.manifest())
        document: dict[str, Any] = json.loads(tarkit.read_config(source, manifest))
        return document


def base(tmp_path: Path, *layer_items: list[Item]) -> Path:
    """Write a docker archive of an image with these layers."""
    image = image_of([pack(items) for items in layer_items])
    return docker_archive(tmp_path / "base.tar", (image, ["base"]))


@pytest.fixture
def site(tmp_path: Path) -> Path:
    top = tmp_path / "site"
    (top / "sub").mkdir(parents=True)
    (top / "index.html").write_text("<html>")
    (top / "index.html").chmod(0o640)
    (top / "sub" / "empty").touch()
    (top / "latest").symlink_to("index.html")
    os.link(top / "index.html", top / "sub" / "same")
    return top


@pytest.mark.parametrize(
    "location", ["docker-archive:{}/a.tar:example.org/a:1", "oci:{}/a:a", "oci-archive:{}/b.tar:a"]
)
def test_an_image_from_scratch_verifies_everywhere(
    tmp_path: Path, site: Path, location: str
) -> None:
    target = location.format(tmp_path)
    builder = ImageBuilder(platform="linux/arm64").add_directory(site, "/srv/www")
    builder.add_files({"/etc/motd": b"hi", "/srv/extra": site / "index.html"})
    builder.configure(cmd=["/bin/sh"], env={"A": "1"}).write(target)
    report = tarkit.verify(target)
    assert (report.ok, report.findings) == (True, ())
    with open_image(target, platform="linux/arm64") as image:
        assert [entry.path for entry in image.files.walk()] == [
            "/", "/etc", "/etc/motd", "/srv", "/srv/extra", "/srv/www", "/srv/www/index.html",
            "/srv/www/latest", "/srv/www/sub", "/srv/www/sub/empty", "/srv/www/sub/same",
        ]  # fmt: skip
        assert image.files.read_text("/srv/www/latest") == "<html>"
        assert image.files.stat("/srv/www/sub/same").links == 2
        assert image.files.stat("/srv/www/index.html").mode == 0o640


def test_the_result_depends_only_on_contents(tmp_path: Path, site: Path) -> None:
    def digest() -> tarkit.Digest:
        builder = ImageBuilder(platform="linux/amd64").add_directory(site, "/srv")
        builder.add_files({"/b": b"2", "/a": b"1"}).configure(labels={"x": "y"})
        with builder.build() as source:
            return source.manifest().digest

    before = digest()
    for path in site.rglob("*"):
        os.utime(path, (5, 5), follow_symlinks=False)
    assert digest() == before
    (site / "sub" / "empty").write_text("x")
    assert digest() != before


def test_times_are_source_date_epoch_or_kept_up_to_it(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.utime(site / "index.html", (5_000, 5_000))
    plain = ImageBuilder().add_directory(site)
    kept = ImageBuilder().add_directory(site, keep_times=True)
    assert {member.mtime for member in layer_of(plain)} == {0}
    assert layer_of(kept).getmember("index.html").mtime == 5_000
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "4000")
    assert {member.mtime for member in layer_of(plain)} == {4_000}
    assert layer_of(kept).getmember("index.html").mtime == 4_000
    assert config_of(plain)["created"] == "1970-01-01T01:06:40Z"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
def test_owners_are_root_or_kept(site: Path) -> None:
    os.chown(site / "index.html", 1234, 4321)
    member = layer_of(ImageBuilder().add_directory(site)).getmember("index.html")
    assert (member.uid, member.gid, member.uname) == (0, 0, "")
    member = layer_of(ImageBuilder().add_directory(site, keep_owners=True)).getmember("index.html")
    assert (member.uid, member.gid, member.uname) == (1234, 4321, "")


def test_a_layer_lists_the_parents_with_their_metadata_below(tmp_path: Path, site: Path) -> None:
    archive = base(
        tmp_path, [directory("usr", 0o711, uid=7), directory("usr/lib"), link("lib", "usr/lib")]
    )
    builder = ImageBuilder(archive).add_directory(site, "/lib/site")
    layer = layer_of(builder)
    assert layer.getnames() == [
        "usr", "usr/lib", "usr/lib/site", "usr/lib/site/index.html", "usr/lib/site/latest",
        "usr/lib/site/sub", "usr/lib/site/sub/empty", "usr/lib/site/sub/same",
    ]  # fmt: skip
    assert (layer.getmember("usr").mode, layer.getmember("usr").uid) == (0o711, 7)
    assert layer.getmember("usr/lib/site/sub/same").linkname == "usr/lib/site/index.html"
    with builder.build() as source, FileSystem.of(source) as files:
        assert files.stat("/lib", follow=False).target == "usr/lib"
        assert files.read_text("/lib/site/index.html") == "<html>"


def test_a_later_layer_sees_the_earlier_ones(tmp_path: Path, site: Path) -> None:
    tar = tmp_path / "links.tar"
    tar.write_bytes(pack([directory("opt/real", 0o700), link("short", "opt/real")]))
    builder = ImageBuilder().add_tar(tar).add_files({"/short/file": b"x"})
    layer = layer_of(builder)
    assert layer.getnames() == ["opt", "opt/real", "opt/real/file"]
    assert layer.getmember("opt/real").mode == 0o700


@pytest.mark.parametrize("suffix", ["", "gz", "xz", "bz2"])
def test_a_tar_keeps_its_metadata_unless_told_otherwise(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "root.tar"
    with tarfile.open(path, f"w:{suffix}") as tar:  # type: ignore[call-overload]
        info = tarfile.TarInfo("./bin/tool")
        info.size, info.mode, info.uid, info.mtime, info.uname = 4, 0o4755, 12, 77, "somebody"
        tar.addfile(info, io.BytesIO(b"tool"))
    kept = layer_of(ImageBuilder().add_tar(path)).getmember("bin/tool")
    assert (kept.mode, kept.uid, kept.mtime, kept.uname) == (0o4755, 12, 77, "")
    builder = ImageBuilder().add_tar(path, "/opt", keep_owners=False, keep_times=False)
    layer = layer_of(builder)
    assert layer.getnames() == ["opt", "opt/bin", "opt/bin/tool"]
    plain = layer.getmember("opt/bin/tool")
    assert (plain.uid, plain.mtime, plain.size) == (0, 0, 4)


def test_an_opaque_marker_becomes_whiteouts(tmp_path: Path) -> None:
    archive = base(tmp_path, [file("d/old"), file("d/e/older"), file("keep")])
    tar = tmp_path / "layer.tar"
    tar.write_bytes(pack([directory("d"), file("d/.wh..wh..opq"), file("d/new"), file(".wh.keep")]))
    builder = ImageBuilder(archive).add_tar(tar)
    assert layer_of(builder).getnames() == ["d", "d/.wh.e", "d/.wh.old", "d/new", ".wh.keep"]
    with builder.build() as source, FileSystem.of(source) as files:
        assert [entry.path for entry in files.walk()] == ["/", "/d", "/d/new"]


def test_a_sparse_file_keeps_its_holes(tmp_path: Path) -> None:
    tar = tmp_path / "layer.tar"
    tar.write_bytes(pack([unaligned("s")]))
    with ImageBuilder().add_tar(tar).build() as source, FileSystem.of(source) as files:
        assert files.read_bytes("s") == b"A" * 100 + bytes(900) + b"B" * 100 + bytes(900)
        assert files.file("s").member.sparse is not None


def test_devices_and_attributes_of_a_tar_survive(tmp_path: Path) -> None:
    tar = tmp_path / "layer.tar"
    items = [char("dev/null", 1, 3), fifo("pipe"), file("x", pax={"SCHILY.xattr.user.a": "b"})]
    tar.write_bytes(pack(items))
    with ImageBuilder().add_tar(tar).build() as source, FileSystem.of(source) as files:
        null = files.stat("dev/null")
        assert (null.type, null.major, null.minor) == (tarkit.MemberType.CHAR, 1, 3)
        assert files.stat("pipe").type is tarkit.MemberType.FIFO
        assert files.stat("x").xattrs == {b"user.a": b"b"}


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_the_base_may_be_a_compressed_archive(tmp_path: Path, suffix: str) -> None:
    archive = base(tmp_path, [file("a", "1"), file("c")], [file("a", "2")])
    packed = tmp_path / f"base.tar.{suffix}"
    compression = Compression.GZIP if suffix == "gz" else Compression.ZSTD
    with archive.open("rb") as plain:
        packed.write_bytes(compress(plain, compression).read())
    target = f"docker-archive:{tmp_path / 'new.tar'}:example.org/new:1"
    ImageBuilder(packed).add_files({"/b": b"3"}).write(target)
    with open_image(target) as image:
        assert [image.files.read_text(name) for name in ("a", "b", "c")] == ["2", "3", ""]
        assert image.verify().ok


def test_layers_of_the_base_are_mounted_in_its_registry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))  # no credentials of this machine
    with fake_registry() as registry:
        options = RegistryOptions(tls_verify=False)
        origin = f"docker://{registry.address}/origin:1"
        with open_image(base(tmp_path, [file("a", "1")])) as image:
            image.copy_to(origin, registry=options)
        pushed = len(registry.requests("PUT"))
        with tarkit.open_source(origin, registry=options) as source:
            builder = ImageBuilder(source).add_files({"/b": b"2"})
            builder.write(f"docker://{registry.address}/new:1", registry=options)
        assert registry.requests("POST", "mount=")
        # the new layer, the config and the manifest, but not the layer of the base
        assert len(registry.requests("PUT")) == pushed + 3
        with open_image(f"docker://{registry.address}/new:1", registry=options) as image:
            assert image.files.read_text("a") + image.files.read_text("b") == "12"


def test_an_open_image_is_a_base(tmp_path: Path) -> None:
    with open_image(base(tmp_path, [file("a", "1")])) as image:
        ImageBuilder(image.source).add_files({"/b": b"2"}).write(f"oci:{tmp_path / 'new'}:x")
        assert image.files.read_text("a") == "1"
    with open_image(f"oci:{tmp_path / 'new'}") as image:
        assert image.files.read_text("a") + image.files.read_text("b") == "12"


def test_memory_does_not_depend_on_the_size_of_files(tmp_path: Path) -> None:
    large = tmp_path / "large"
    with large.open("wb") as hole:
        hole.truncate(96 << 20)
    builder = ImageBuilder().add_files({"/large": large})
    tracemalloc.start()
    try:
        with builder.build() as source:
            assert tarkit.inspect_image(source).layers[0].descriptor.size > 96 << 20
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 40 << 20


def test_a_hard_link_out_of_the_layer_is_refused(tmp_path: Path) -> None:
    archive = base(tmp_path, [file("below", "x")])
    tar = tmp_path / "layer.tar"
    tar.write_bytes(pack([hard("link", "below")]))
    with (
        pytest.raises(UnsupportedError, match="not in the same layer"),
        ImageBuilder(archive).add_tar(tar).build(),
    ):
        pass


@given(stack=stacks(), top=layers())
def test_a_tar_has_the_effect_of_the_layer(
    tmp_path_factory: pytest.TempPathFactory, stack: list[list[Item]], top: list[Item]
) -> None:
    tmp_path = tmp_path_factory.mktemp("effect")
    tar = tmp_path / "layer.tar"
    top.sort(key=lambda item: item.name)  # the writer applies entries in order, as producers write
    tar.write_bytes(pack(top))
    try:
        expected = merge([members(*layer) for layer in [*stack, top]])
    except TarkitError:
        return
    builder = ImageBuilder(base(tmp_path, *stack)).add_tar(tar)
    try:
        with builder.build() as source, FileSystem.of(source) as files:
            found = shape_of(files.tree)
    except (UnsupportedError, VerificationError):
        found = None
    refusable = any(item.kind == tarfile.LNKTYPE for item in top)  # links out of the layer
    assert found == shape_of(expected) or (found is None and refusable)


def test_settings_change_the_config_and_leave_the_rest(tmp_path: Path) -> None:
    archive = docker_archive(tmp_path / "base.tar", (make_image("one"), ["base"]))
    before = config_of(ImageBuilder(archive))
    builder = ImageBuilder(archive).configure(
        env={"PATH": "/opt", "NEW": "a=b"},
        entrypoint=["/app"],
        user="1000:1000",
        workdir="/srv",
        labels={"k": "v"},
        ports=[8080, "53/udp"],
        volumes=["/data"],
        platform="linux/arm/v7",
    )
    after = config_of(builder)
    runtime = after["config"]
    assert "NEW=a=b" in runtime["Env"]
    assert sum(entry.startswith("PATH=") for entry in runtime["Env"]) == 1
    assert runtime["Entrypoint"] == ["/app"]
    assert "Cmd" not in runtime
    assert (runtime["User"], runtime["WorkingDir"]) == ("1000:1000", "/srv")
    assert runtime["Labels"] == {**before["config"].get("Labels", {}), "k": "v"}
    assert runtime["ExposedPorts"].items() >= {"8080/tcp": {}, "53/udp": {}}.items()
    assert runtime["Volumes"].items() >= {"/data": {}}.items()
    assert (after["architecture"], after["variant"]) == ("arm", "v7")
    assert after["rootfs"] == before["rootfs"]
    assert after["config"].get("Healthcheck") == before["config"].get("Healthcheck")
    new = after["history"][len(before["history"]) :]
    assert all(entry["empty_layer"] for entry in new)
    assert [entry["created_by"].split()[0] for entry in new] == [
        "ENV", "ENV", "ENTRYPOINT", "USER", "WORKDIR", "LABEL", "EXPOSE", "VOLUME",
    ]  # fmt: skip


def test_settings_alone_read_no_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = base(tmp_path, [file("a")])
    monkeypatch.setattr(FileSystem, "of", lambda *_, **__: pytest.fail("layers were read"))
    with ImageBuilder(archive).configure(user="1").build() as source:
        assert source.manifest()


def test_every_layer_has_history_even_if_the_base_has_none(tmp_path: Path) -> None:
    archive = docker_archive(
        tmp_path / "base.tar", (image_of([pack([file("a")])], history=[]), ["base"])
    )
    history = config_of(ImageBuilder(archive).add_files({"/b": b""}))["history"]
    assert [entry.get("created_by") for entry in history] == [None, "ADD /b"]


def test_an_archive_keeps_its_base(tmp_path: Path) -> None:
    target = f"docker-archive:{base(tmp_path, [file('a', 'x')])}"
    ImageBuilder(f"{target}:base").add_files({"/b": b"y"}).write(f"{target}:example.org/new:1")
    with tarkit.open_reader(target) as reader:
        assert len(reader.images()) == 2
    with open_image(f"{target}:example.org/new:1") as image:
        assert image.files.read_text("/a") + image.files.read_text("/b") == "xy"
    assert tarkit.verify(target).ok


@pytest.mark.parametrize(
    "settings",
    [
        {"cmd": "text"},
        {"env": {"A=B": "c"}},
        {"workdir": "relative"},
        {"volumes": ["relative"]},
        {"ports": ["http"]},
        {"platform": "linux"},
    ],
)
def test_invalid_settings_are_refused_at_once(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        ImageBuilder().configure(**settings)


def test_missing_and_wrong_inputs_are_refused_at_once(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_bytes(b"not a tar" * 100)
    builder = ImageBuilder()
    with pytest.raises(PathNotFoundError):
        builder.add_directory(tmp_path / "nothing")
    with pytest.raises(UsageError, match="not a directory"):
        builder.add_directory(plain)
    with pytest.raises(PathNotFoundError):
        builder.add_tar(tmp_path / "nothing")
    with pytest.raises(UsageError, match="pass bytes"):
        builder.add_files({"/a": "text"})  # type: ignore[dict-item]
    assert repr(builder) == "<tarkit.ImageBuilder steps=0>"


def test_a_failed_build_writes_nothing(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_bytes(b"not a tar" * 100)
    target = tmp_path / "layout"
    with pytest.raises(VerificationError):
        ImageBuilder().add_tar(plain).write(f"oci:{target}:a")
    with pytest.raises(RefusedError, match="in the way"):
        ImageBuilder().add_files({"/a": b"x"}).add_files({"/a/b": b"y"}).write(f"oci:{target}:a")
    assert not target.exists()
