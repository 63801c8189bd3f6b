"""A second copy reuses the compressed layers of the first. Tests count the requests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tarkit.copying.options import CopyResult, LayerCompression
from tarkit.transports.registry.options import RegistryOptions
from tests.builders import Image, Layout, docker_archive, make_image, named, on, write_files
from tests.transports.registry.copies import copy
from tests.transports.registry.fake_registry import Exchange, FakeRegistry

ZSTD, GZIP, AUTO = LayerCompression.ZSTD, LayerCompression.GZIP, LayerCompression.AUTO
IMAGE = make_image("one", "two", "three")


def counts(result: CopyResult) -> tuple[int, int, int]:
    return result.copied, result.recompressed, result.reused


def sent(registry: FakeRegistry) -> int:
    """Return the number of uploads since the last call."""
    number = len(registry.requests("POST", "/blobs/uploads/"))
    registry.seen.clear()
    return number


def source(tmp_path: Path, kind: str, image: Image = IMAGE) -> str:
    """Write *image* as a layout of gzip layers or an archive of plain ones."""
    if kind == "docker-archive":
        return f"docker-archive:{docker_archive(tmp_path / 'save.tar', (image, ['app:1']))}"
    layout = Layout()
    entry = layout.image(image, docker=kind == "docker layout")
    write_files(tmp_path / "in", layout.finish(named(entry, "x")))
    return f"oci:{tmp_path / 'in'}:x"


@pytest.mark.parametrize("kind", ["layout", "docker layout", "docker-archive"])
@pytest.mark.parametrize("compression", [ZSTD, GZIP, AUTO])
def test_a_repeated_copy_sends_no_blob(
    registry: FakeRegistry,
    options: RegistryOptions,
    tmp_path: Path,
    kind: str,
    compression: LayerCompression,
) -> None:
    image, target = source(tmp_path, kind), f"docker://{registry.address}/app:v1"
    first = copy(image, target, options, compression=compression)
    assert sent(registry) == 4
    second = copy(image, target, options, compression=compression)
    assert counts(second) == (0, 0, 4)
    assert second.descriptor == first.descriptor
    assert (sent(registry), second.bytes_written) == (0, 0)


def test_layers_are_reused_if_the_repository_has_several_compressions(
    registry: FakeRegistry, options: RegistryOptions, tmp_path: Path
) -> None:
    image, target = source(tmp_path, "layout"), f"docker://{registry.address}/app"
    copy(image, f"{target}:gzip", options)
    copy(image, f"{target}:zstd", options, compression=ZSTD)
    sent(registry)
    again = copy(image, f"{target}:zstd", options, compression=ZSTD)
    assert counts(again) == (0, 0, 4)
    assert sent(registry) == 0
    assert counts(copy(image, f"{target}:zstd", options)) == (0, 0, 4)  # the gzip layers are there


def test_only_the_layers_that_changed_are_sent(
    registry: FakeRegistry, options: RegistryOptions, tmp_path: Path
) -> None:
    target = f"docker://{registry.address}/app:v1"
    copy(source(tmp_path / "old", "layout"), target, options, compression=ZSTD)
    sent(registry)
    changed = make_image("one", "two", "changed")
    result = copy(source(tmp_path / "new", "layout", changed), target, options, compression=ZSTD)
    assert counts(result) == (1, 1, 2)
    assert sent(registry) == 2


def test_every_platform_of_an_index_is_known(
    registry: FakeRegistry, options: RegistryOptions, tmp_path: Path
) -> None:
    layout = Layout()
    images = [
        on(layout.image(make_image("shared", arch, architecture=arch)), f"linux/{arch}")
        for arch in ("amd64", "arm64")
    ]
    statement = make_image("statement", architecture="unknown", os="unknown")
    attestation = layout.image(statement, layer_type="application/vnd.in-toto+json")
    top = layout.index(on(attestation, "unknown/unknown"), *images)
    write_files(tmp_path / "in", layout.finish(named(top, "x")))
    target = f"docker://{registry.address}/app:v1"
    first = copy(f"oci:{tmp_path / 'in'}:x", target, options, all=True, compression=ZSTD)
    sent(registry)
    second = copy(f"oci:{tmp_path / 'in'}:x", target, options, all=True, compression=ZSTD)
    assert (second.copied, second.recompressed) == (0, 0)
    assert second.descriptor == first.descriptor
    assert sent(registry) == 0


def test_the_existing_image_is_requested_once(
    registry: FakeRegistry, options: RegistryOptions, tmp_path: Path
) -> None:
    image, target = source(tmp_path, "docker-archive"), f"docker://{registry.address}/app:v1"
    copy(image, target, options, compression=ZSTD)
    registry.seen.clear()
    copy(image, target, options, compression=ZSTD)
    assert len(registry.requests("GET", "/manifests/")) == 1
    assert len(registry.requests("GET", "/blobs/sha256:")) == 1
    assert len(registry.requests("HEAD", "/blobs/sha256:")) == 3 + 1
    assert len(registry.requests("PUT", "/manifests/")) == 1


@pytest.mark.parametrize("damage", ["config", "manifest", "layer"])
def test_a_damaged_existing_image_is_ignored(
    registry: FakeRegistry, options: RegistryOptions, tmp_path: Path, damage: str
) -> None:
    def answer_nonsense(exchange: Exchange) -> None:
        exchange.answer(200, b'{"rootfs": 7}', **{"Content-Type": "text/html"})

    image, target = source(tmp_path, "docker-archive"), f"docker://{registry.address}/app:v1"
    first = copy(image, target, options, compression=ZSTD)
    if damage == "layer":
        registry.blobs["app"] = {IMAGE.digest: IMAGE.config}
    else:
        part = "/manifests/" if damage == "manifest" else f"/blobs/{IMAGE.digest}"
        registry.fail("GET", part, answer_nonsense)
    second = copy(image, target, options, compression=ZSTD)
    assert second.recompressed == 3
    assert second.descriptor == first.descriptor
