"""Whole copies to and from the fake registry."""

from __future__ import annotations

import json
from typing import Any

from tarkit.copying.engine import copy_image
from tarkit.copying.options import CopyOptions, CopyResult
from tarkit.transports.location import Location, open_source, open_writer
from tarkit.transports.registry.options import RegistryOptions
from tests.builders import Doc, Files
from tests.transports.registry.fake_registry import FakeRegistry


def copy(source: str, destination: str, registry: RegistryOptions, **options: Any) -> CopyResult:
    """Copy between two locations, under the name in *destination*."""
    target = Location.parse(destination)
    with (
        open_source(source, registry=registry) as image,
        open_writer(target, registry=registry) as writer,
    ):
        names = (target.name,) if target.name else ()
        return copy_image(image, writer.destination(*names), CopyOptions(**options))


def add_layout(registry: FakeRegistry, repo: str, tag: str, files: Files, top: Doc) -> None:
    """Put all blobs of a layout into *repo*, and the manifest or index *top* under *tag*."""
    for name, data in files.items():
        if not name.startswith("blobs/"):
            continue
        registry.add_blob(repo, data)
        kind = _manifest_type(data)
        if kind:
            registry.add_manifest(repo, f"sha256:{name.rpartition('/')[2]}", data, kind)
    data = files[f"blobs/sha256/{top['digest'][7:]}"]
    registry.add_manifest(repo, tag, data, top["mediaType"])


def _manifest_type(data: bytes) -> str:
    try:
        document = json.loads(data)
    except ValueError:
        return ""
    is_manifest = isinstance(document, dict) and document.get("schemaVersion") == 2
    return str(document["mediaType"]) if is_manifest else ""
