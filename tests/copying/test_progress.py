"""Test progress events: their order for each blob, and the totals."""

from __future__ import annotations

import io
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from tarkit.copying.engine import copy_image
from tarkit.copying.options import CopyOptions, LayerCompression
from tarkit.errors import VerificationError
from tarkit.image.digest import Digest
from tarkit.progress import Event, Progress
from tests.builders import Layout, copy, docker_archive, make_image, multi_platform
from tests.copying.fakes import FakeDestination, FakeSource

IMAGE = make_image("one", "two", "three")


def told(source: FakeSource, destination: FakeDestination, **options: object) -> list[Progress]:
    events: list[Progress] = []
    copy_image(source, destination, CopyOptions(on_progress=events.append, **options))  # type: ignore[arg-type]
    return events


def by_blob(events: list[Progress]) -> dict[str, list[Event]]:
    blobs: dict[str, list[Event]] = defaultdict(list)
    for progress in events:
        if progress.event is not Event.ADVANCED:
            blobs[str(progress.digest)].append(progress.event)
    return blobs


@pytest.fixture
def source() -> FakeSource:
    layout = Layout()
    return FakeSource(layout.files, layout.image(IMAGE))


@pytest.mark.parametrize("compression", LayerCompression)
def test_every_blob_starts_and_finishes_once(
    source: FakeSource, compression: LayerCompression
) -> None:
    events = told(source, FakeDestination(), compression=compression)
    blobs = by_blob(events)
    assert len(blobs) == 3
    assert all(kinds == [Event.STARTED, Event.FINISHED] for kinds in blobs.values())


def test_totals_add_up(source: FakeSource) -> None:
    events = told(source, FakeDestination())
    last = events[-1]
    assert (last.blobs_done, last.blobs) == (3, 3)
    assert last.total_done == last.total
    sizes = {progress.digest: progress.size for progress in events}
    assert sum(sizes.values()) == last.total
    assert [p.total_done for p in events] == sorted(p.total_done for p in events)
    assert all(p.done == p.size for p in events if p.event is Event.FINISHED)


def test_reused_blobs_count_as_done(source: FakeSource) -> None:
    destination = FakeDestination()
    told(source, destination)
    source.opened.clear()
    events = told(source, destination)
    assert [progress.event for progress in events] == [Event.REUSED] * 3
    assert events[-1].total_done == events[-1].total
    assert len(source.opened) == 1  # the config, to know the layers


def test_several_images_in_one_sum() -> None:
    layout, index, _ = multi_platform("amd64", "arm64")
    events = told(FakeSource(layout.files, index), FakeDestination(), all=True)
    last = events[-1]
    assert (last.blobs_done, last.blobs) == (3, 3)  # one layer is in both
    assert last.total_done == last.total


def test_failure_is_the_last_event_of_a_blob(source: FakeSource) -> None:
    events: list[Progress] = []
    bad = FakeSource(source._files, source._top.to_json())
    digest = str(list(by_blob(told(source, FakeDestination())))[1])
    bad.opening = {digest: lambda: io.BytesIO(b"not it")}
    with pytest.raises(VerificationError):
        copy_image(bad, FakeDestination(), CopyOptions(on_progress=events.append))
    for kinds in by_blob(events).values():
        assert len(kinds) == len(set(kinds))
        if Event.FAILED in kinds:
            assert kinds[-1] is Event.FAILED
            assert Event.FINISHED not in kinds
    assert Event.FAILED in by_blob(events)[digest]


def test_bytes_read_and_written_are_those_of_the_blobs(tmp_path: Path) -> None:
    archive = docker_archive(tmp_path / "a.tar", (IMAGE, ["a:1"]))
    result = copy(
        f"docker-archive:{archive}",
        f"oci:{tmp_path / 'out'}:x",
        compression=LayerCompression.PRESERVE,
    )
    size = sum(map(len, IMAGE.layers)) + len(IMAGE.config)
    assert (result.bytes_read, result.bytes_written) == (size, size)
    assert (result.copied, result.recompressed, result.reused) == (4, 0, 0)


def test_percent_and_speed_follow_from_the_bytes() -> None:
    def event(**figures: Any) -> Progress:
        known = {"done": 0, "size": 0, "blobs_done": 0, "blobs": 0, "total_done": 0, "total": 0}
        digest = Digest.of(b"")
        return Progress(Event.ADVANCED, digest, **(known | {"seconds": 0.0} | figures))

    halfway = event(total_done=50, total=100, blobs_done=0, blobs=3, seconds=2.0)
    assert (halfway.percent, halfway.speed) == (50.0, 25)
    assert event(blobs_done=1, blobs=4).percent == 25.0  # where no size is known, blobs count
    assert (event().percent, event().speed) == (0.0, 0)
    assert event(total_done=101, total=100).percent == 100.0
