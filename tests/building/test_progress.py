"""Progress in bytes, layers, speed and percent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tarkit.building.build import build_ext4
from tarkit.building.progress import PullMeter, PullProgress
from tarkit.copying.progress import Event, Progress
from tarkit.ext4 import Ext4Options
from tests.builders import digest_of
from tests.building.images import image, layout

DIGEST = digest_of(b"layer")


def event(
    done: int, *, layers: int = 0, kind: Event = Event.ADVANCED, total: int = 1_000
) -> Progress:
    return Progress(kind, DIGEST, done, total, layers, 2, done, total)


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_figures_follow_from_the_events() -> None:
    told: list[PullProgress] = []
    clock = Clock()
    meter = PullMeter(told.append, clock)
    meter(event(0, kind=Event.STARTED))
    clock.now += 2
    meter(event(500, layers=1))
    assert told == [
        PullProgress(1_000, 0, 2, 0, 0),
        PullProgress(total_bytes=1_000, done_bytes=500, total_layers=2, done_layers=1, speed=250),
    ]
    assert told[1].percent == 50.0


def test_it_is_told_ten_times_a_second_and_at_the_end() -> None:
    told: list[PullProgress] = []
    clock = Clock()
    meter = PullMeter(told.append, clock)
    for step in range(100):
        meter(event(step * 10))
        clock.now += 0.01
    assert 9 <= len(told) <= 11
    meter(event(1_000, layers=2, kind=Event.FINISHED))
    assert told[-1].percent == 100.0
    assert told[-1].done_layers == 2


def test_layers_count_where_bytes_are_not_known() -> None:
    assert PullProgress(0, 0, 4, 1, 0).percent == 25.0
    assert PullProgress(0, 0, 0, 0, 0).percent == 0.0
    assert PullProgress(100, 150, 4, 1, 0).percent == 100.0


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX")
def test_a_build_ends_at_a_hundred_percent(tmp_path: Path) -> None:
    told: list[PullProgress] = []
    source = layout(tmp_path / "layout", image())
    build_ext4(source, tmp_path / "out", Ext4Options(), on_progress=PullMeter(told.append))
    assert told[-1].percent == 100.0
    assert told[-1].done_layers == told[-1].total_layers == 3
    assert [each.done_bytes for each in told] == sorted(each.done_bytes for each in told)
