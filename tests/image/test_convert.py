"""Conversion between Docker and OCI changes media types, not content."""

from __future__ import annotations

import pytest

from tarkit.errors import UnsupportedError
from tarkit.image import media_types as mt
from tarkit.image.convert import convert_index, convert_layer, convert_manifest, lost_in_docker
from tarkit.image.descriptor import Descriptor
from tarkit.image.manifest import Index, Manifest
from tarkit.image.media_types import Compression, Family

CONFIG = Descriptor.of(b"{}", mt.DOCKER_CONFIG)
LAYERS = tuple(
    Descriptor.of(media_type.encode(), media_type)
    for media_type in (mt.DOCKER_LAYER, mt.DOCKER_LAYER_GZIP, mt.DOCKER_FOREIGN_LAYER + ".gzip")
)
DOCKER = Manifest(mt.DOCKER_MANIFEST, CONFIG, LAYERS, extra={"vendor": [1]})


def test_docker_to_oci_and_back_returns_the_same_manifest() -> None:
    oci = convert_manifest(DOCKER, Family.OCI)
    assert oci.media_type == mt.OCI_MANIFEST
    assert oci.config.media_type == mt.OCI_CONFIG
    assert [layer.media_type for layer in oci.layers] == [
        mt.OCI_LAYER,
        mt.OCI_LAYER_GZIP,
        mt.OCI_FOREIGN_LAYER + "+gzip",
    ]
    assert convert_manifest(oci, Family.DOCKER) == DOCKER


def test_content_never_changes() -> None:
    oci = convert_manifest(DOCKER, Family.OCI)
    assert oci.config.digest == DOCKER.config.digest
    assert [(d.digest, d.size) for d in oci.layers] == [(d.digest, d.size) for d in DOCKER.layers]
    assert oci.extra == {"vendor": [1]}


def test_converting_to_the_same_family_returns_the_same_object() -> None:
    assert convert_manifest(DOCKER, Family.DOCKER) is DOCKER


def test_losses_in_docker_are_listed() -> None:
    layer = Descriptor(mt.OCI_LAYER, CONFIG.digest, 1, annotations={"a": "b"})
    config = Descriptor.of(b"{}", mt.OCI_CONFIG)
    full = Manifest(mt.OCI_MANIFEST, config, (layer,), annotations={"a": "b"}, subject=config)
    assert lost_in_docker(full) == ("annotations", "layer annotations", "subject")
    docker = convert_manifest(full, Family.DOCKER)
    assert lost_in_docker(docker) == ()
    assert not docker.annotations
    assert not docker.layers[0].annotations


def test_annotations_are_kept_in_oci() -> None:
    layer = Descriptor(mt.DOCKER_LAYER, CONFIG.digest, 1, annotations={"a": "b"})
    assert convert_layer(layer, Family.OCI, Compression.GZIP).annotations == {"a": "b"}


@pytest.mark.parametrize("compression", [Compression.ZSTD, Compression.XZ])
def test_compressions_without_a_docker_type_are_rejected(compression: Compression) -> None:
    with pytest.raises(UnsupportedError, match=compression.value):
        convert_layer(LAYERS[0], Family.DOCKER, compression)


def test_indexes_convert_with_their_children() -> None:
    child = Descriptor.of(b"child", mt.OCI_MANIFEST)
    index = Index(mt.DOCKER_LIST, (), extra={"vendor": 1})
    oci = convert_index(index, Family.OCI, (child,))
    assert (oci.media_type, oci.manifests, oci.extra) == (mt.OCI_INDEX, (child,), {"vendor": 1})
    annotated = Index(mt.OCI_INDEX, (child,), annotations={"a": "b"}, subject=child)
    docker = convert_index(annotated, Family.DOCKER, ())
    assert (docker.media_type, docker.annotations, docker.subject) == (mt.DOCKER_LIST, {}, None)


def test_unknown_types_are_not_converted() -> None:
    odd = Descriptor.of(b"x", "text/plain")
    with pytest.raises(UnsupportedError, match="oci has no media type for 'text/plain'"):
        convert_layer(odd, Family.OCI, Compression.GZIP)
    for manifest in (
        Manifest(mt.DOCKER_MANIFEST, odd, LAYERS),
        Manifest(mt.DOCKER_MANIFEST, CONFIG, (odd,)),
        Manifest("text/plain", CONFIG, LAYERS),
    ):
        with pytest.raises(UnsupportedError, match="'text/plain'"):
            convert_manifest(manifest, Family.OCI)
    with pytest.raises(UnsupportedError, match="'text/plain'"):
        convert_index(Index("text/plain", ()), Family.OCI, ())
