"""Manifests and indexes of both families: parsing, validation and lossless writing."""

from __future__ import annotations

from typing import Any

import pytest

from tarkit.errors import MalformedError, NotAnImageError, UnsupportedError
from tarkit.image import media_types as mt
from tarkit.image.manifest import Index, Manifest, RawManifest, guess_media_type
from tests.builders import Doc, dump, load

DIGEST = "sha256:" + "a" * 64
CONFIG = {"mediaType": mt.OCI_CONFIG, "digest": DIGEST, "size": 2}
LAYER = {"mediaType": mt.OCI_LAYER_GZIP, "digest": DIGEST, "size": 7, "annotations": {"k": "v"}}
MANIFEST = {
    "schemaVersion": 2,
    "mediaType": mt.OCI_MANIFEST,
    "artifactType": "application/x",
    "config": CONFIG,
    "layers": [LAYER],
    "subject": CONFIG,
    "annotations": {"a": "b"},
    "vendor": {"deep": [1]},
}
INDEX = {
    "schemaVersion": 2,
    "mediaType": mt.OCI_INDEX,
    "artifactType": "application/x",
    "manifests": [LAYER | {"platform": {"architecture": "arm64", "os": "linux"}}],
    "subject": CONFIG,
    "annotations": {"a": "b"},
    "vendor": 1,
}


def raw(document: object, media_type: str = "") -> RawManifest:
    return RawManifest.of(dump(document), media_type)


def test_writing_a_manifest_preserves_all_fields() -> None:
    again = Manifest.parse(raw(MANIFEST)).serialize()
    assert (
        load({f"blobs/sha256/{again.digest.hex}": again.data}, again.descriptor.to_json())
        == MANIFEST
    )


def test_writing_an_index_preserves_all_fields() -> None:
    again = Index.parse(raw(INDEX)).serialize()
    assert (
        load({f"blobs/sha256/{again.digest.hex}": again.data}, again.descriptor.to_json()) == INDEX
    )


def test_writing_is_idempotent() -> None:
    once = Manifest.parse(raw(MANIFEST)).serialize()
    assert Manifest.parse(once).serialize() == once


def test_descriptor_of_a_raw_manifest() -> None:
    manifest = raw(MANIFEST)
    assert manifest.descriptor.size == len(manifest.data)
    assert manifest.descriptor.digest.matches(manifest.data)
    assert not manifest.is_index
    assert raw(INDEX).is_index


@pytest.mark.parametrize(
    ("document", "media_type"),
    [
        ({"mediaType": "application/custom"}, "application/custom"),
        ({"schemaVersion": 1, "fsLayers": []}, mt.DOCKER_SCHEMA1),
        ({"schemaVersion": 1, "signatures": []}, mt.DOCKER_SCHEMA1_SIGNED),
        ({"schemaVersion": 2, "manifests": []}, mt.OCI_INDEX),
        ({"schemaVersion": 2, "config": CONFIG, "layers": []}, mt.OCI_MANIFEST),
        (
            {"schemaVersion": 2, "config": {"mediaType": mt.DOCKER_CONFIG}, "layers": []},
            mt.DOCKER_MANIFEST,
        ),
    ],
)
def test_a_media_type_is_guessed_from_the_fields(document: Doc, media_type: str) -> None:
    assert guess_media_type(dump(document)) == media_type


def test_other_documents_have_no_media_type() -> None:
    with pytest.raises(MalformedError, match="neither an image manifest nor an index"):
        guess_media_type(b"{}")


@pytest.mark.parametrize(
    "change",
    [
        {"schemaVersion": 1},
        {"schemaVersion": "2"},
        {"schemaVersion": None},
        {"manifests": []},
        {"config": None},
        {"config": []},
        {"layers": {}},
        {"layers": [1]},
        {"layers": [{}]},
        {"mediaType": mt.DOCKER_MANIFEST},
        {"annotations": {"a": 1}},
        {"subject": "x"},
    ],
    ids=str,
)
def test_malformed_manifests(change: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        Manifest.parse(raw(MANIFEST | change, mt.OCI_MANIFEST))


@pytest.mark.parametrize(
    "change",
    [
        {"schemaVersion": 1},
        {"layers": []},
        {"config": CONFIG},
        {"manifests": {}},
        {"manifests": [[]]},
        {"mediaType": mt.OCI_MANIFEST},
    ],
    ids=str,
)
def test_malformed_indexes(change: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        Index.parse(raw(INDEX | change, mt.OCI_INDEX))


def test_manifest_and_index_reject_each_other() -> None:
    with pytest.raises(UnsupportedError):
        Manifest.parse(raw(INDEX))
    with pytest.raises(UnsupportedError):
        Index.parse(raw(MANIFEST))


def test_an_artifact_is_not_an_image() -> None:
    config = CONFIG | {"mediaType": "application/vnd.oci.empty.v1+json"}
    with pytest.raises(NotAnImageError, match="application/x"):
        Manifest.parse(raw(MANIFEST | {"config": config})).require_image(b"{}")


def test_errors_name_an_unknown_layer_type() -> None:
    layers = [LAYER | {"mediaType": "application/vnd.example.layer"}]
    with pytest.raises(UnsupportedError, match=r"application/vnd\.example\.layer"):
        Manifest.parse(raw(MANIFEST | {"layers": layers})).require_image(b"")
