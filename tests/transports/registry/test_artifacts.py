"""Artifacts are copied to a registry and back byte for byte."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from tarkit.copying.options import LayerCompression
from tarkit.errors import NotAnImageError
from tarkit.image import media_types
from tarkit.transports.registry.options import RegistryOptions
from tarkit.transports.registry.reader import RegistryReader
from tests.builders import (
    Doc,
    Files,
    Layout,
    dump,
    make_image,
    named,
    on,
    read_files,
    sha256,
    write_files,
)
from tests.transports.registry.copies import copy
from tests.transports.registry.fake_registry import FakeRegistry

EMPTY = "application/vnd.oci.empty.v1+json"
INTOTO = "application/vnd.in-toto+json"


def artifact(
    layout: Layout, config: tuple[bytes, str], *layers: tuple[bytes, str], **fields: object
) -> Doc:
    """Add an artifact of typed blobs. Return the descriptor of its manifest."""
    media_type = fields.pop("mediaType", media_types.OCI_MANIFEST)
    manifest = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": layout.blob(*config),
        "layers": [layout.blob(*layer) for layer in layers],
        **fields,
    }
    return layout.blob(dump(manifest), str(media_type))


def attestation(layout: Layout, subject: Doc) -> Doc:
    statement = b'{"_type":"https://in-toto.io/Statement/v0.1"}'
    config = {"architecture": "unknown", "os": "unknown", "config": {},
              "rootfs": {"type": "layers", "diff_ids": [sha256(statement)]}}  # fmt: skip
    entry = artifact(layout, (dump(config), media_types.OCI_CONFIG), (statement, INTOTO))
    marks = {
        "vnd.docker.reference.type": "attestation-manifest",
        "vnd.docker.reference.digest": subject["digest"],
    }
    return on(entry, "unknown/unknown") | {"annotations": marks}


def attested(layout: Layout) -> Doc:
    """An index of two platforms with attestations, as buildx writes it."""
    images = [
        on(layout.image(make_image("shared", arch, architecture=arch)), f"linux/{arch}")
        for arch in ("amd64", "arm64")
    ]
    return layout.index(*images, *(attestation(layout, image) for image in images))


def attested_by_subject(layout: Layout) -> Doc:
    """Attestations as OCI artifacts, which newer builders write."""
    image = on(layout.image(make_image("one")), "linux/amd64")
    subject = {key: image[key] for key in ("mediaType", "digest", "size")}
    entry = artifact(layout, (b"{}", EMPTY), (b"{}", INTOTO), subject=subject, artifactType=INTOTO)
    return layout.index(image, on(entry, "unknown/unknown"))


def helm(layout: Layout) -> Doc:
    chart = (b"\x1f\x8b chart", "application/vnd.cncf.helm.chart.content.v1.tar+gzip")
    return artifact(
        layout, (b'{"name":"chart"}', "application/vnd.cncf.helm.config.v1+json"), chart
    )


def cosign(layout: Layout) -> Doc:
    payload = (b"signed", "application/vnd.dev.cosign.simplesigning.v1+json")
    return artifact(layout, (make_image("x").config, media_types.OCI_CONFIG), payload)


def bare(layout: Layout) -> Doc:
    return artifact(layout, (b"{}", EMPTY), artifactType="application/x", annotations={"a": "b"})


def plain_files(layout: Layout) -> Doc:
    """Blobs with layer media types that are not layers, one of them listed twice."""
    blob = (b"no gzip", media_types.OCI_LAYER_GZIP)
    return artifact(layout, (b"", "application/vnd.unknown.config.v1+json"), blob, blob, (b"", ""))


def in_docker_terms(layout: Layout) -> Doc:
    plugin = (b"{}", "application/vnd.docker.plugin.v1+json")
    layer = (b"rootfs", media_types.DOCKER_LAYER_GZIP)
    return artifact(layout, plugin, layer, mediaType=media_types.DOCKER_MANIFEST)


def mixed(layout: Layout) -> Doc:
    """An index in an index, of artifacts of every kind beside an image."""
    image = on(layout.image(make_image("one")), "linux/amd64")
    artifacts = layout.index(helm(layout), cosign(layout), bare(layout), plain_files(layout))
    return layout.index(image, artifacts, annotations={"kept": "yes"})


KINDS: list[Callable[[Layout], Doc]] = [
    attested, attested_by_subject, helm, cosign, bare, plain_files, in_docker_terms, mixed,
]  # fmt: skip


def blobs(files: Files) -> Files:
    return {name: data for name, data in files.items() if name.startswith("blobs/")}


@pytest.mark.parametrize("preserve", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_from_a_layout_and_between_repositories_and_back(
    registry: FakeRegistry,
    options: RegistryOptions,
    tmp_path: Path,
    kind: Callable[[Layout], Doc],
    preserve: bool,
) -> None:
    layout = Layout()
    top = kind(layout)
    write_files(tmp_path / "in", layout.finish(named(top, "x")))
    steps = [
        f"oci:{tmp_path / 'in'}:x",
        f"docker://{registry.address}/first:v1",
        f"docker://{registry.address}/second:v1",
        f"oci:{tmp_path / 'out'}:x",
    ]
    for source, target in pairwise(steps):
        result = copy(source, target, options, all=True, preserve_digests=preserve)
        assert str(result.descriptor.digest) == top["digest"]
        assert result.recompressed == 0
        assert result.notes == ()
    assert blobs(read_files(tmp_path / "out")) == blobs(read_files(tmp_path / "in"))


@pytest.mark.parametrize("kind", [attested, mixed])
def test_artifacts_are_unchanged_if_layers_are_recompressed(
    registry: FakeRegistry,
    options: RegistryOptions,
    tmp_path: Path,
    kind: Callable[[Layout], Doc],
) -> None:
    layout = Layout()
    files = layout.finish(named(kind(layout), "x"))
    write_files(tmp_path / "in", files)
    target = f"docker://{registry.address}/app:v1"
    copy(f"oci:{tmp_path / 'in'}:x", target, options, all=True, compression=LayerCompression.ZSTD)
    pushed = set(registry.blobs["app"]) | set(registry.manifests["app"])
    for name, data in blobs(files).items():
        is_artifact = b"in-toto" in data or b"helm" in data or b"simplesigning" in data
        if is_artifact and b'"manifests"' not in data:
            assert f"sha256:{name.rpartition('/')[2]}" in pushed


def test_a_docker_archive_takes_images_only(
    registry: FakeRegistry, options: RegistryOptions, tmp_path: Path
) -> None:
    layout = Layout()
    write_files(tmp_path / "in", layout.finish(named(helm(layout), "x")))
    name = f"docker://{registry.address}/chart:v1"
    copy(f"oci:{tmp_path / 'in'}:x", name, options)
    with pytest.raises(NotAnImageError, match="helm"):
        copy(name, f"docker-archive:{tmp_path / 'out.tar'}", options)
    assert not (tmp_path / "out.tar").exists()


@pytest.mark.parametrize("api", [True, False])
def test_a_referrer_is_listed_before_it_is_tagged(
    registry: FakeRegistry, options: RegistryOptions, tmp_path: Path, api: bool
) -> None:
    registry.referrers_api = api
    layout = Layout()
    image = layout.image(make_image("one"))
    signature = artifact(layout, (b"{}", EMPTY), (b"s", "application/sig"), subject=image,
                         artifactType="application/sig")  # fmt: skip
    write_files(tmp_path / "in", layout.finish(named(image, "image"), named(signature, "sig")))
    for name, tag in (("image", "v1"), ("sig", "v1.sig")):
        copy(f"oci:{tmp_path / 'in'}:{name}", f"docker://{registry.address}/app:{tag}", options)
    with RegistryReader.open(f"{registry.address}/app", options) as reader:
        (found,) = reader.source("v1").referrers().manifests
    assert str(found.digest) == signature["digest"]
    put = [seen.path.rpartition("/")[2] for seen in registry.requests("PUT", "/manifests/")]
    fallback = [] if api else [image["digest"].replace(":", "-")]
    assert put == ["v1", signature["digest"], *fallback, "v1.sig"]


@pytest.mark.parametrize("method", ["GET", "PUT"])
@pytest.mark.parametrize("status", [400, 403, 405, 500])
def test_a_push_succeeds_if_the_referrers_cannot_be_listed(
    registry: FakeRegistry, options: RegistryOptions, tmp_path: Path, method: str, status: int
) -> None:
    registry.referrers_api = False
    registry.fail(method, "/manifests/sha256-", lambda exchange: exchange.refuse(status, "DENIED"))
    layout = Layout()
    top = attested_by_subject(layout)
    write_files(tmp_path / "in", layout.finish(named(top, "x")))
    target = f"docker://{registry.address}/app:v1"
    result = copy(f"oci:{tmp_path / 'in'}:x", target, options, all=True)
    assert str(result.descriptor.digest) == top["digest"]
    assert json.loads(registry.manifests["app"]["v1"][1])["manifests"]
    (note,) = result.notes
    assert "referrers" in note
    assert not any(name.startswith("sha256-") for name in registry.manifests["app"])
