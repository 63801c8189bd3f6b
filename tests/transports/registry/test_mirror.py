"""A base URL replaces the host in the name."""

from __future__ import annotations

from dataclasses import replace

from tarkit.transports.registry.options import RegistryOptions
from tarkit.transports.registry.reader import RegistryReader
from tests.transports.registry.conftest import add_image
from tests.transports.registry.fake_registry import FakeRegistry


def test_an_image_is_fetched_from_the_base_url(
    registry: FakeRegistry, options: RegistryOptions
) -> None:
    image = add_image(registry)
    mirrored = replace(options, base_url=f"http://{registry.address}/")
    with RegistryReader.open("example.invalid/app", mirrored) as reader:
        assert reader.source("latest").manifest().data == image.manifest
