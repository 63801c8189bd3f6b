"""Fixtures: a registry in memory, and a client with short timeouts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tarkit.image import media_types
from tarkit.image.descriptor import Descriptor
from tarkit.transports.registry.options import RegistryOptions, RetryPolicy
from tarkit.transports.registry.reader import RegistryReader
from tarkit.transports.registry.source import RegistrySource
from tarkit.transports.registry.writer import RegistryWriter
from tests.transports.registry.fake_registry import FakeRegistry, fake_registry

HASTY = RetryPolicy(connect=2, read=1, metadata=2, attempts=4, delay=0.01, longest=0.2)


@pytest.fixture(autouse=True)
def no_credentials_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "DOCKER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    """An empty registry in memory."""
    with fake_registry() as server:
        yield server


@pytest.fixture
def options() -> RegistryOptions:
    """Anonymous access with short timeouts."""
    return RegistryOptions(retry=HASTY)


@dataclass(frozen=True)
class Image:
    """The descriptors and bytes of an image in a registry."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    manifest: bytes
    layer_data: tuple[bytes, ...]


def add_image(registry: FakeRegistry, name: str = "app", *layers: bytes) -> Image:
    """Put an image of *layers* at ``name:latest``."""
    config = json.dumps(
        {
            "os": "linux",
            "architecture": "amd64",
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{'0' * 64}"] * len(layers)},
        }
    ).encode()
    parts = [Descriptor.of(config, media_types.OCI_CONFIG)]
    parts += [Descriptor.of(layer, media_types.OCI_LAYER_GZIP) for layer in layers]
    for data in (config, *layers):
        registry.add_blob(name, data)
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": media_types.OCI_MANIFEST,
            "config": parts[0].to_json(),
            "layers": [part.to_json() for part in parts[1:]],
        }
    ).encode()
    registry.add_manifest(name, "latest", manifest, media_types.OCI_MANIFEST)
    return Image(parts[0], tuple(parts[1:]), manifest, layers)


@pytest.fixture
def open_source(registry: FakeRegistry, options: RegistryOptions) -> Iterator[RegistrySource]:
    """The image ``app:latest`` of the registry."""
    with RegistryReader.open(f"{registry.address}/app", options) as reader:
        yield reader.source("latest")


@pytest.fixture
def writer(registry: FakeRegistry, options: RegistryOptions) -> Iterator[RegistryWriter]:
    """The repository ``app`` of the registry, to write to."""
    with RegistryWriter.open(f"{registry.address}/app", options) as opened:
        yield opened
