"""Boundaries of zstd frames, compared with those of the library."""

from __future__ import annotations

import io

import zstandard
from hypothesis import given
from hypothesis import strategies as st

from tarkit.streams.zstdframes import FrameTracker


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    """Generate a frame: skippable, single-segment or streamed, with or without checksum and size."""
    kind = draw(st.sampled_from(["skippable", "whole", "streamed"]))
    size = draw(st.sampled_from([0, 1, 30, 255, 256, 70_000, 300_000]))
    data = draw(st.sampled_from([bytes(size), (b"some words " * 30_000)[:size]]))
    if kind == "skippable":
        number = draw(st.integers(0, 15))
        return bytes([0x50 + number]) + b"\x2a\x4d\x18" + size.to_bytes(4, "little") + data
    packer = zstandard.ZstdCompressor(
        level=draw(st.sampled_from([1, 3])),
        write_checksum=draw(st.booleans()),
        write_content_size=draw(st.booleans()),
    )
    if kind == "whole":
        return packer.compress(data)
    stream = packer.compressobj()
    middle = len(data) // 2
    parts = [
        stream.compress(data[:middle]),
        stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK),
        stream.compress(data[middle:]),
        stream.flush(),
    ]
    return b"".join(parts)


@given(st.lists(frames(), max_size=3), st.integers(1, 100_000))
def test_whole_frames_are_complete_however_they_are_read(parts: list[bytes], step: int) -> None:
    whole = b"".join(parts)
    tracker = FrameTracker(io.BytesIO(whole))
    assert b"".join(iter(lambda: tracker.read(step), b"")) == whole
    assert tracker.complete


@given(st.lists(frames(), min_size=1, max_size=3), st.data())
def test_only_the_borders_between_frames_are_complete(
    parts: list[bytes], data: st.DataObject
) -> None:
    whole = b"".join(parts)
    borders = {len(b"".join(parts[:count])) for count in range(len(parts) + 1)}
    near = sorted({at + by for at in borders for by in (-4, -3, -1, 0, 1, 4, 5, 8)})
    places = [at for at in near if 0 <= at <= len(whole)]
    cut = data.draw(st.sampled_from(places) | st.integers(0, len(whole)))
    tracker = FrameTracker(io.BytesIO(whole[:cut]))
    tracker.read()
    assert tracker.complete == (cut in borders)


def test_many_empty_frames_are_followed_header_by_header() -> None:
    frame = zstandard.ZstdCompressor().compress(b"")
    skippable = b"\x50\x2a\x4d\x18" + bytes(4)
    tracker = FrameTracker(io.BytesIO((frame + skippable) * 1_000))
    entered = 0
    enter = tracker._enter

    def counted() -> None:
        nonlocal entered
        entered += 1
        enter()

    tracker._enter = counted  # type: ignore[method-assign]
    tracker.read()
    assert tracker.complete
    assert entered == 3 * 1_000  # two headers of frames and one of a block
