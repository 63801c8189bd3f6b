"""If a registry loses a large layer half-way, the copy sends it again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tarkit import CopyOptions, LostBlobError, Progress, RegistryOptions, copy_image, open_source
from tarkit.transports.registry.writer import RegistryWriter
from tests.transports.registry.fake_registry import Exchange, FakeRegistry
from tests.transports.registry.images import big_image

SIZE = 20 << 20


def lose(exchange: Exchange) -> None:
    """A fault: receive an upload and lose it."""
    for _ in exchange.pieces():
        pass
    exchange.registry.uploads.clear()
    exchange.drop()


def push(layout: str, registry: FakeRegistry, options: RegistryOptions) -> list[Progress]:
    events: list[Progress] = []
    with (
        open_source(f"{layout}:x") as source,
        RegistryWriter.open(f"{registry.address}/app", options) as writer,
    ):
        copy_image(source, writer.destination("v1"), CopyOptions(on_progress=events.append))
    return events


def test_a_lost_layer_is_sent_again(
    registry: FakeRegistry, options: RegistryOptions, tmp_path: Path
) -> None:
    registry.fail_once("PUT", "uploads", lose)
    events = push(big_image(tmp_path / "image", SIZE), registry, options)
    assert max(len(blob) for blob in registry.blobs["app"].values()) > SIZE
    assert "v1" in registry.manifests["app"]
    assert all(event.total_done <= event.total for event in events)
    assert events[-1].total_done == events[-1].total


def test_the_number_of_restarts_is_limited(
    registry: FakeRegistry, options: RegistryOptions, tmp_path: Path
) -> None:
    registry.fail("PUT", "uploads", lose)
    with pytest.raises(LostBlobError):
        push(big_image(tmp_path / "image", SIZE), registry, options)
    assert registry.manifests.get("app", {}) == {}
