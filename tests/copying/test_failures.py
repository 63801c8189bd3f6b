"""Test failures: the first one stops a copy promptly and leaves no output and no thread."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tarkit.copying.engine import copy_image
from tarkit.copying.options import CopyOptions, LayerCompression
from tarkit.errors import (
    CancelledError,
    DigestMismatchError,
    LayerCountError,
    TarkitError,
    TransportError,
    UsageError,
    VerificationError,
)
from tarkit.image.media_types import MANIFESTS, Compression
from tarkit.progress import Event, Progress
from tarkit.protocols import Profile
from tarkit.streams import CHUNK_SIZE
from tarkit.streams.chunks import ChunkReader
from tarkit.streams.codecs import compress
from tests.builders import (
    Doc,
    Layout,
    copy,
    dump,
    image_of,
    layout_of,
    leftovers,
    listing,
    load,
    make_image,
    noise,
    sha256,
    squeeze,
    tar,
    write_files,
)
from tests.copying.fakes import FakeDestination, FakeSource, Forever, layer_digests

IMAGE = make_image("one", "two", "three")


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    left = {thread.name for thread in set(threading.enumerate()) - before}
    assert not {name for name in left if not name.startswith("deflate")}  # shared, and kept


@pytest.fixture
def source() -> FakeSource:
    layout = Layout()
    return FakeSource(layout.files, layout.image(IMAGE))


def digests(source: FakeSource) -> list[str]:
    return [layer["digest"] for layer in json.loads(source.manifest().data)["layers"]]


def endless_manifest(source: FakeSource) -> FakeSource:
    """Return *source* with a first layer that claims an enormous size."""
    layout = Layout()
    entry = layout.image(IMAGE)
    manifest: Doc = load(layout.files, entry)
    manifest["layers"][0]["size"] = 1 << 60
    return FakeSource(layout.files, layout.blob(dump(manifest), entry["mediaType"]))


@pytest.mark.parametrize("to", ["oci:{}", "oci-archive:{}", "docker-archive:{}:a:1", "dir:{}"])
def test_a_plain_layer_is_what_the_config_says(tmp_path: Path, to: str) -> None:
    """The digest of a plain layer is its diff ID, so a mismatch is found without decompression."""
    right = make_image("right")
    lying = image_of(make_image("other").layers, rootfs=json.loads(right.config)["rootfs"])
    write_files(tmp_path / "in", layout_of(lying, pack=None))
    with pytest.raises(DigestMismatchError):
        copy(
            f"oci:{tmp_path / 'in'}",
            to.format(tmp_path / "out"),
            compression=LayerCompression.PRESERVE,
        )
    assert listing(tmp_path) == ["in"]


class _Long(io.BytesIO):
    """Signals when the amount that is read ahead has been read."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.is_ahead = threading.Event()

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() >= 4 * CHUNK_SIZE:
            self.is_ahead.set()
        return super().read(size)


def test_level_is_checked_against_the_actual_codec(monkeypatch: pytest.MonkeyPatch) -> None:
    """The layer claims to be compressed but is not, so the copy compresses it."""
    layout = Layout()
    image = image_of([tar({"data": noise(16 * CHUNK_SIZE)})])
    entry = layout.image(image, pack=None)
    manifest = load(layout.files, entry)
    manifest["layers"][0]["mediaType"] += "+gzip"
    long = _Long(image.layers[0])

    def compress_later(*arguments: Any, level: int | None) -> ChunkReader:
        assert long.is_ahead.wait(30)
        return compress(*arguments, level=level)

    monkeypatch.setattr("tarkit.copying.blobs.compress", compress_later)
    source = FakeSource(layout.files, layout.blob(dump(manifest), entry["mediaType"]))
    source.opening = {image.diff_ids[0]: lambda: long}
    profile = Profile(
        media_types=MANIFESTS, default_compression={Compression.NONE: Compression.GZIP}
    )
    with pytest.raises(UsageError, match="gzip has the levels 0 to 9, not 12"):
        copy_image(source, FakeDestination(profile), CopyOptions(level=12))


def test_failure_stops_running_transfers(source: FakeSource) -> None:
    source = endless_manifest(source)
    first, second, _ = digests(source)
    forever = Forever()
    started = threading.Event()

    def endless() -> Forever:
        started.set()
        return forever

    def failing() -> io.BytesIO:
        assert started.wait(30)
        raise TransportError("the network is gone")

    source.opening = {first: endless, second: failing}
    destination = FakeDestination()
    with pytest.raises(TransportError, match="the network is gone"):
        copy_image(source, destination, CopyOptions(jobs=2))
    assert forever.was_closed
    assert not destination.committed
    assert not destination.manifests


def test_pending_transfers_never_start_after_a_failure(source: FakeSource) -> None:
    first, second, third = digests(source)
    source.opening = {first: lambda: io.BytesIO(b"something else")}
    with pytest.raises(VerificationError):
        copy_image(source, FakeDestination(), CopyOptions(jobs=1))
    assert first in source.opened
    assert third not in source.opened
    assert second not in source.opened


def test_first_failure_is_raised_rather_than_its_consequences(source: FakeSource) -> None:
    first, second, third = digests(source)
    barrier = threading.Barrier(3, timeout=30)

    def failing() -> io.BytesIO:
        barrier.wait()
        raise TransportError("first hand")

    def waiting() -> io.BytesIO:
        barrier.wait()
        return io.BytesIO(bytes(1 << 10))

    source.opening = {first: waiting, second: waiting, third: failing}
    with pytest.raises(TarkitError) as caught:
        copy_image(source, FakeDestination(), CopyOptions(jobs=3))
    assert isinstance(caught.value, TransportError | VerificationError)


def test_layers_that_do_not_match_the_config(source: FakeSource) -> None:
    other = make_image("one", "two", "other")
    layout = Layout()
    entry = layout.image(IMAGE)
    manifest = load(layout.files, entry)
    digest = sha256(squeeze(other.layers[2]))
    manifest["layers"][2] = layout.blob(
        squeeze(other.layers[2]), manifest["layers"][2]["mediaType"]
    )
    source = FakeSource(layout.files, layout.blob(dump(manifest), entry["mediaType"]))
    for compression in (LayerCompression.ZSTD, LayerCompression.NONE):
        with pytest.raises(DigestMismatchError) as caught:
            copy_image(source, FakeDestination(), CopyOptions(compression=compression))
        assert digest in str(caught.value)
        assert caught.value.expected == IMAGE.diff_ids[2]


def test_more_layers_than_diff_ids() -> None:
    layout = Layout()
    fewer = image_of(IMAGE.layers, rootfs=json.loads(make_image("one").config)["rootfs"])
    destination = FakeDestination()
    with pytest.raises(LayerCountError) as caught:
        copy_image(FakeSource(layout.files, layout.image(fewer)), destination)
    assert (caught.value.layers, caught.value.diff_ids) == (3, 1)
    assert str(caught.value).startswith("the source: config sha256:")
    assert not destination.blobs


@pytest.mark.parametrize("event", [Event.STARTED, Event.FINISHED])
def test_errors_of_the_listener_reach_the_caller(source: FakeSource, event: Event) -> None:
    def listener(progress: Progress) -> None:
        if progress.event is event:
            raise KeyError("mine")

    destination = FakeDestination()
    with pytest.raises(KeyError, match="mine"):
        copy_image(source, destination, CopyOptions(on_progress=listener))
    assert not destination.committed


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_an_interruption_from_a_listener_is_raised(
    source: FakeSource, interruption: type[BaseException]
) -> None:
    def listener(progress: Progress) -> None:
        raise interruption

    with pytest.raises(interruption):
        copy_image(source, FakeDestination(), CopyOptions(on_progress=listener))


@pytest.mark.parametrize(
    "destination", ["oci:{}:x", "oci-archive:{}:x", "docker-archive:{}:x:1", "dir:{}"]
)
def test_a_failing_copy_leaves_no_file(tmp_path: Path, destination: str) -> None:
    files = layout_of(IMAGE)
    name = next(n for n in sorted(files) if files[n] == squeeze(IMAGE.layers[2]))
    files[name] = files[name][:-1]
    (tmp_path / "out").mkdir()
    write_files(tmp_path / "in", files)
    with pytest.raises(VerificationError):
        copy(f"oci:{tmp_path / 'in'}", destination.format(tmp_path / "out" / "x"))
    assert list((tmp_path / "out").iterdir()) == []
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("event", [Event.STARTED, Event.ADVANCED, Event.FINISHED])
@pytest.mark.parametrize(
    "destination", ["oci:{}:x", "oci-archive:{}:x", "docker-archive:{}:x:1", "dir:{}"]
)
def test_a_listener_can_stop_a_copy(tmp_path: Path, destination: str, event: Event) -> None:
    heard = []

    def listener(progress: Progress) -> None:
        heard.append(progress.event)
        if progress.event is event:
            raise CancelledError("enough")

    write_files(tmp_path / "in", layout_of(IMAGE, pack=None))
    with pytest.raises(CancelledError):
        copy(f"oci:{tmp_path / 'in'}", destination.format(tmp_path / "out"), on_progress=listener)
    assert event in heard
    assert listing(tmp_path) == ["in"]


def test_the_builders_layers_are_sound() -> None:
    layout = Layout()
    entry = layout.image(IMAGE)
    assert len(layer_digests(layout.files, load(layout.files, entry))) == 3
