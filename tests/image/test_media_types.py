"""Media types of both families and their counterparts."""

from __future__ import annotations

from itertools import product

import pytest

from tarkit.errors import UnsupportedError
from tarkit.image import media_types as mt
from tarkit.image.media_types import Compression, Family

LAYERS = [
    mt.OCI_LAYER,
    mt.OCI_LAYER_GZIP,
    mt.OCI_LAYER_ZSTD,
    mt.OCI_FOREIGN_LAYER,
    mt.OCI_FOREIGN_LAYER + "+gzip",
    mt.DOCKER_LAYER,
    mt.DOCKER_LAYER_GZIP,
    mt.DOCKER_LAYER_ZSTD,
    mt.DOCKER_FOREIGN_LAYER,
    mt.DOCKER_FOREIGN_LAYER + ".gzip",
]


@pytest.mark.parametrize("media_type", LAYERS)
def test_layer_types_are_recognized(media_type: str) -> None:
    assert mt.is_layer(media_type)
    family = Family.OCI if ".oci." in media_type else Family.DOCKER
    assert mt.family_of(media_type) is family


@pytest.mark.parametrize("media_type", ["", mt.OCI_CONFIG, mt.OCI_LAYER + "+bzip2", "tar"])
def test_other_types_are_not_layers(media_type: str) -> None:
    assert not mt.is_layer(media_type)


@pytest.mark.parametrize(
    ("media_type", "compression"),
    [
        (mt.OCI_LAYER, Compression.NONE),
        (mt.OCI_LAYER_GZIP, Compression.GZIP),
        (mt.OCI_LAYER_ZSTD, Compression.ZSTD),
        (mt.DOCKER_LAYER_GZIP, Compression.GZIP),
        (mt.DOCKER_LAYER_ZSTD, Compression.ZSTD),
    ],
)
def test_compression_of_layer_types(media_type: str, compression: Compression) -> None:
    assert mt.layer_compression(media_type) is compression


@pytest.mark.parametrize(("media_type", "family"), list(product(LAYERS, Family)))
def test_conversion_keeps_layers_foreign_or_not(media_type: str, family: Family) -> None:
    for compression in (Compression.NONE, Compression.GZIP):
        other = mt.layer_type(media_type, family, compression)
        assert other is not None
        assert mt.family_of(other) is family
        assert mt.layer_compression(other) is compression
        assert ("foreign" in media_type or "nondist" in media_type) == (
            "foreign" in other or "nondist" in other
        )


def test_compressions_without_a_media_type() -> None:
    assert mt.layer_type(mt.OCI_LAYER, Family.OCI, Compression.ZSTD) == mt.OCI_LAYER_ZSTD
    assert mt.layer_type(mt.OCI_LAYER, Family.DOCKER, Compression.ZSTD) is None
    for family in Family:
        assert mt.layer_type(mt.OCI_LAYER, family, Compression.XZ) is None
        assert mt.layer_type(mt.OCI_LAYER, family, Compression.BZIP2) is None


@pytest.mark.parametrize("oci", [mt.OCI_MANIFEST, mt.OCI_INDEX, mt.OCI_CONFIG])
def test_document_types_have_unique_counterparts(oci: str) -> None:
    docker = mt.in_family(oci, Family.DOCKER)
    assert mt.in_family(docker, Family.OCI) == oci
    assert mt.in_family(oci, Family.OCI) == oci
    assert mt.in_family(docker, Family.DOCKER) == docker
    assert (mt.family_of(oci), mt.family_of(docker)) == (Family.OCI, Family.DOCKER)


def test_unknown_types_are_rejected() -> None:
    assert mt.layer_type("text/plain", Family.OCI, Compression.GZIP) is None
    with pytest.raises(UnsupportedError, match="'text/plain' is not a layer media type"):
        mt.layer_compression("text/plain")
    with pytest.raises(UnsupportedError, match="docker has no media type for 'text/plain'"):
        mt.in_family("text/plain", Family.DOCKER)
