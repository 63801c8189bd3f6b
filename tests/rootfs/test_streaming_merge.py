"""The streaming merge: the tar is the same as from two passes, and sorted layers are read once."""

from __future__ import annotations

import io
import itertools
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import HealthCheck, example, given, settings

from tarkit.errors import (
    LimitExceededError,
    MalformedError,
    TarkitError,
    TransportError,
    TruncatedError,
)
from tarkit.image.descriptor import Descriptor
from tarkit.progress import Progress
from tarkit.rootfs.output.tarball import save_tar
from tarkit.rootfs.overlay.overlay import Overlay
from tarkit.streams.codecs import Compression
from tarkit.tar.scan import MAX_EXTENSION
from tests.builders import Layout, image_of, squeeze
from tests.copying.fakes import FakeSource
from tests.rootfs.layers import Item, directory, fifo, file, hard, link, pack, unaligned
from tests.rootfs.stacks import stacks

Stack = Sequence[Sequence[Item]]

LONG = "/".join(["n" * 200] * 30)
OPAQUE = ".wh..wh..opq"


def source_of(layers: Sequence[bytes], *, compressed: bool = True) -> FakeSource:
    layout = Layout()
    entry = layout.image(image_of(layers), pack=squeeze if compressed else None)
    return FakeSource(layout.files, entry)


def layers_opened(source: FakeSource) -> int:
    """Return how many layers were opened, if all differ; the config is opened once."""
    return len(source.opened) - 1


def tar_of(source: FakeSource, path: Path, overlay: Overlay | None = None) -> bytes:
    save_tar(source, path, compression=Compression.NONE, overlay=overlay)
    return path.read_bytes()


def outcome(source: FakeSource, path: Path) -> bytes | type[TarkitError]:
    try:
        return tar_of(source, path)
    except TarkitError as error:
        return type(error)


def assert_right(source: FakeSource, layers: Sequence[bytes], path: Path) -> None:
    """Assert that *source* gives the same tar as uncompressed *layers*, whose headers are read first."""
    plain = source_of(layers, compressed=False)
    assert tar_of(source, path / "out.tar") == tar_of(plain, path / "plain.tar")


def walked(layer: Sequence[Item]) -> list[Item]:
    """Return *layer* in the order of a walk, with whiteouts at the position of the hidden entry."""
    return sorted(layer, key=lambda item: item.name.replace(".wh.", "").split("/"))


def listed(layer: Sequence[Item]) -> list[Item]:
    """Return *layer* sorted by its own names."""
    return sorted(layer, key=lambda item: item.name.split("/"))


IN_ORDER: dict[str, Stack] = {
    "nothing": [[]],
    "one layer": [[file("a", "1"), file("a-b", "2" * 700), directory("b"), file("b/c", "3")]],
    "siblings that sort before a slash": [
        [directory("a"), file("a/x", "1"), file("a-b", "2")],
        [directory("a"), file("a/y", "3"), file("a b", "4"), file("a.b", "5")],
    ],
    "the same paths": [[file("a", "old"), file("b", "old")], [file("a", "new")], [file("b", "new")]],
    "a root": [[directory("./", 0o700), file("./a", "1")], [directory("./", 0o711), file("./b")]],
    "directories that no layer lists": [[file("a/b/c", "1")], [file("a/b/d/e"), file("f/g")]],
    "whiteouts at their own name": [
        [directory("d"), file("d/-a"), file("d/b"), file("d/c", "kept"), file("e")],
        [file(".wh.e"), directory("d"), file("d/.wh.-a"), file("d/.wh.b")],
    ],
    "whiteouts at the name they hide": [
        [directory("d"), file("d/a"), file("d/b", "kept"), directory("d/e"), file("d/e/f")],
        [directory("d"), file("d/.wh.a"), file("d/c"), file("d/.wh.e"), file("d/f", "x")],
    ],
    "an opaque directory": [
        [directory("d"), file("d/b"), directory("d/e"), file("d/e/f"), file("g", "kept")],
        [directory("d"), file(f"d/{OPAQUE}"), file("d/new", "x")],
    ],
    "a whiteout between layers": [
        [file("a", "0"), file("b", "0")],
        [file("a", "1")],
        [file(".wh.a")],
        [file("b", "3")],
    ],
    "a file and a directory in turn": [
        [directory("p"), file("p/bottom", "0")],
        [file("p", "1")],
        [directory("p", 0o700), file("p/top", "2")],
    ],
    "a directory gone": [[directory("p"), file("p/x", "0"), file("q", "0")], [link("p", "q")]],
    "links": [[file("a", "1" * 600), hard("b", "a"), directory("c"), hard("c/d", "b"), link("l", "a")]],
    "links across layers": [[file("a", "1"), file("b", "2")], [hard("c", "a"), hard("d", "b")]],
    "everything else": [[file("empty"), fifo("pipe"), unaligned("sparse"), file("t", "after")]],
    "names that need records": [[file(LONG, "0"), file("é" * 70, "1"), file("ê\udcff", uid=3_000_000)]],
}  # fmt: skip


@pytest.mark.parametrize("name", IN_ORDER)
def test_layers_in_order_are_read_once(tmp_path: Path, name: str) -> None:
    layers = [pack(layer) for layer in IN_ORDER[name]]
    source = source_of(layers)
    assert_right(source, layers, tmp_path)
    assert layers_opened(source) == len(layers)


TWICE: dict[str, Stack] = {
    "not in order": [[file("a", "1"), file("c", "2"), file("b", "3")], [file("d", "4")]],
    "one path twice": [[file("a", "1"), file("a", "2"), file("b", "3")]],
    "a link before what it leads to": [[hard("a", "b"), file("b", "1"), file("c", "2")]],
    "a link to what a layer above replaces": [
        [file("a", "old"), hard("b", "a")], [file("a", "new")],
    ],
    "a link to what a layer below had": [[file("a", "old")], [hard("b", "a")], [file("a", "new")]],
    "a directory behind a link": [[link("lib", "usr"), directory("usr")], [file("lib/x", "1")]],
    "a file in a directory's place": [[file("a/b", "1"), file("c", "1")], [file("a", "2")]],
    "a whiteout too late": [
        [directory("d"), file("d/!", "1"), file("z", "1")],
        [directory("d"), file("d/-"), file(f"d/{OPAQUE}")],
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", TWICE)
def test_wrong_predictions_do_not_change_the_tar(tmp_path: Path, name: str) -> None:
    layers = [pack(layer) for layer in TWICE[name]]
    source = source_of(layers)
    assert_right(source, layers, tmp_path)
    assert layers_opened(source) > len(layers)


def test_mispredicted_entries_are_not_in_the_tar(tmp_path: Path) -> None:
    secret = b"secret" * 10_000
    lower = [directory("d"), file("d/!", secret)]
    upper = [directory("d"), file("d/-"), file(f"d/{OPAQUE}")]
    data = tar_of(source_of([pack(lower), pack(upper)]), tmp_path / "out.tar")
    assert b"secret" not in data
    assert len(data) == 512 * 5  # the root, "d" and "d/-", and the end


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stack=stacks())
@example(stack=[[file("a/b", "1")], [file("a", "2")], [directory("a"), file("a/c", "3")]])
@pytest.mark.parametrize("order", [list, walked, listed])
def test_random_stacks_give_the_same_bytes_compressed_and_plain(
    tmp_path_factory: pytest.TempPathFactory, order: type[list[Item]], stack: list[list[Item]]
) -> None:
    top = tmp_path_factory.mktemp("stack")
    layers = [pack(order(layer)) for layer in stack]
    predicted = outcome(source_of(layers), top / "predicted.tar")
    assert predicted == outcome(source_of(layers, compressed=False), top / "plain.tar")


@pytest.mark.parametrize("number", [24, 25])
def test_many_layers_are_not_opened_at_once(tmp_path: Path, number: int) -> None:
    layers = [pack([file(f"f{layer:02}", str(layer))]) for layer in range(number)]
    source = source_of(layers)
    assert_right(source, layers, tmp_path)
    assert layers_opened(source) == (number if number <= 24 else 2 * number)


@pytest.mark.parametrize("number", [3, 4])
def test_a_remote_source_limits_the_number_of_open_layers(tmp_path: Path, number: int) -> None:
    class Distant(FakeSource):
        most_open = 3

    layout = Layout()
    layers = [pack([file(f"f{layer}", str(layer))]) for layer in range(number)]
    entry = layout.image(image_of(layers), pack=squeeze)
    source = Distant(layout.files, entry)
    assert_right(source, layers, tmp_path)
    assert layers_opened(source) == (3 if number == 3 else 8)


def test_overlays_disable_the_prediction(tmp_path: Path) -> None:
    layers = [pack([file("a", "1"), file("c", "2")])]
    overlay = Overlay().write("/b", b"new")
    data = tar_of(source_of(layers), tmp_path / "out.tar", overlay)
    assert data == tar_of(source_of(layers, compressed=False), tmp_path / "plain.tar", overlay)


def test_truncated_layers_are_errors(tmp_path: Path) -> None:
    """Even if an entry before the cut has ended the prediction."""
    whole = pack([file("b", "1"), file("a", "2"), file("c", "3" * 3_000_000)])
    source = source_of([pack([file("x", "1")]), whole[:2_000_000]])
    with pytest.raises(TruncatedError):
        tar_of(source, tmp_path / "out.tar")
    assert not list(tmp_path.iterdir())


def test_limits_of_the_reader_are_not_mispredictions(tmp_path: Path) -> None:
    """An error of the reader is raised and not mistaken for a name that is too deep to predict."""
    layer = pack([file("a", pax={"comment": "x" * (9 << 20)}), file("b")])
    with pytest.raises(LimitExceededError):
        tar_of(source_of([layer]), tmp_path / "out.tar")


@pytest.mark.parametrize("name", [".", "..", "a/.."])
def test_the_merge_reports_a_root_that_is_not_a_directory(tmp_path: Path, name: str) -> None:
    with pytest.raises(MalformedError, match="the root is not a directory"):
        tar_of(source_of([pack([file(name, "x")])]), tmp_path / "out.tar")


def test_hidden_entries_that_no_tar_can_hold_are_no_error(tmp_path: Path) -> None:
    swelling = {"SCHILY.xattr." + "%" * (MAX_EXTENSION // 2): "x"}  # each is written as three bytes
    lower = [directory("d"), file("d/!", "1", pax=swelling)]
    layers = [pack(lower), pack([directory("d"), file("d/-"), file(f"d/{OPAQUE}")])]
    assert_right(source_of(layers), layers, tmp_path)
    with pytest.raises(LimitExceededError):
        tar_of(source_of(layers[:1]), tmp_path / "lower.tar")


@pytest.mark.parametrize("name", [".wh.x/..", ".wh.x/../b", "b/.wh.x/../.."])
def test_whiteouts_before_dot_dot_are_not_whiteouts(tmp_path: Path, name: str) -> None:
    layers = [pack([directory("b"), directory(name), file("z", "1")])]
    predicted = outcome(source_of(layers), tmp_path / "out.tar")
    assert predicted == outcome(source_of(layers, compressed=False), tmp_path / "plain.tar")


def test_layers_are_read_in_turn_if_threads_run_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = [pack([file(f"f{layer}", "x" * 5_000)]) for layer in range(5)]
    source = source_of(layers)
    start, starts = threading.Thread.start, itertools.count()

    def fail_once(thread: threading.Thread) -> None:
        if next(starts) == 10:  # while the layers are opened: each needs two threads or three
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", fail_once)
    assert_right(source, layers, tmp_path)
    assert layers_opened(source) > len(layers)


def test_layers_are_read_in_turn_if_not_all_can_be_opened(tmp_path: Path) -> None:
    """A registry may limit the connections of a client."""
    layers = [pack([file(f"f{layer}", "x" * 5_000)]) for layer in range(5)]
    source = source_of(layers)
    open_blob, live = source.open_blob, set[int]()

    class Stream(io.BytesIO):
        def close(self) -> None:
            live.discard(id(self))
            super().close()

    def limited(descriptor: Descriptor) -> BinaryIO:
        if len(live) == 3:
            raise TransportError("too many connections")
        stream = Stream(open_blob(descriptor).read())
        live.add(id(stream))
        return stream

    source.open_blob = limited  # type: ignore[method-assign]
    events: list[Progress] = []
    save_tar(source, tmp_path / "out.tar", on_progress=events.append)
    data = (tmp_path / "out.tar").read_bytes()
    assert data == tar_of(source_of(layers, compressed=False), tmp_path / "plain.tar")
    assert (events[-1].percent, events[-1].blobs_done) == (100, 5)
    assert not live


def test_all_layers_are_closed_when_one_fails(tmp_path: Path) -> None:
    streams: list[io.BytesIO] = []
    source = source_of([pack([file("a", "1")]), pack([file("b", "2")])])
    open_blob = source.open_blob

    def kept(descriptor: object) -> io.BytesIO:
        data = open_blob(descriptor).read()  # type: ignore[arg-type]
        streams.append(io.BytesIO(data if b"architecture" in data else data[:-9]))
        return streams[-1]

    source.open_blob = kept  # type: ignore[method-assign]
    with pytest.raises(TarkitError):
        tar_of(source, tmp_path / "out.tar")
    assert len(streams) == 3
    assert all(stream.closed for stream in streams)
