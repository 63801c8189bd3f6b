"""Docker schema 1 manifests: layers top first, each with a document in a string."""

from __future__ import annotations

from typing import Any

import pytest

from tarkit.errors import MalformedError, UnsupportedError
from tarkit.image.manifest import RawManifest
from tarkit.image.media_types import DOCKER_SCHEMA1, OCI_MANIFEST
from tarkit.image.schema1 import Schema1Manifest
from tests.builders import dump, sha256


def raw(**changes: Any) -> RawManifest:
    document = {
        "schemaVersion": 1,
        "name": "library/app",
        "fsLayers": [
            {"blobSum": sha256(b"top")},
            {"blobSum": sha256(b"x")},
            {"blobSum": sha256(b"bottom")},
        ],
        "history": [
            {"v1Compatibility": '{"id": "3", "os": "linux"}'},
            {"v1Compatibility": '{"id": "2", "throwaway": true}'},
            {"v1Compatibility": '{"id": "1"}'},
        ],
    }
    return RawManifest.of(dump(document | changes), DOCKER_SCHEMA1)


def test_layers_are_bottom_first() -> None:
    layers = Schema1Manifest.parse(raw()).layers
    assert [layer.document["id"] for layer in layers] == ["1", "2", "3"]
    assert [str(layer.blob) for layer in layers] == [sha256(b"bottom"), "None", sha256(b"top")]


@pytest.mark.parametrize(
    "changes",
    [
        {"fsLayers": []},
        {"history": None},
        {"fsLayers": [{"blobSum": sha256(b"")}]},
        {"history": [{}] * 3},
        {"history": [{"v1Compatibility": "[]"}] * 3},
        {"history": [{"v1Compatibility": "\ud800"}] * 3},
        {"fsLayers": [{"blobSum": ""}] * 3},
        {"fsLayers": [1] * 3},
    ],
    ids=repr,
)
def test_malformed(changes: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        Schema1Manifest.parse(raw(**changes))


def test_a_lone_surrogate_in_a_document() -> None:
    history = [{"v1Compatibility": '{"comment": "\ud800"}'}] * 3
    assert Schema1Manifest.parse(raw(history=history)).layers[0].document["comment"] == "\ud800"


def test_other_manifests_are_unsupported() -> None:
    with pytest.raises(UnsupportedError):
        Schema1Manifest.parse(RawManifest.of(b"{}", OCI_MANIFEST))
