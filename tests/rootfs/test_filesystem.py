"""FileSystem: paths, metadata, contents, patterns."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from tarkit.errors import (
    DigestMismatchError,
    LimitExceededError,
    PathNotFoundError,
    TransportError,
    UnsafePathError,
    UnsupportedError,
)
from tarkit.image.descriptor import Descriptor
from tarkit.rootfs.filesystem import FileSystem
from tarkit.rootfs.hidden_paths import HiddenPaths
from tarkit.rootfs.layers import ImageLayers
from tarkit.rootfs.passes import read_headers, read_layers
from tarkit.rootfs.table import DataLocation
from tarkit.tar.member import Member, MemberType
from tarkit.transports.location import open_source
from tests.builders import Layout, image_of, layout_of, squeeze, write_files
from tests.copying.fakes import FakeSource
from tests.rootfs.layers import char, directory, file, hard, link, members, pack, source_of

LOWER = [
    directory("usr/lib"),
    file("usr/lib/a.so", b"\x7fELF" + bytes(3000)),
    file("usr/lib/b.so", "old"),
    hard("usr/lib/c.so", "usr/lib/b.so"),
    link("lib", "usr/lib"),
    link("up", "../../usr"),
    link("loop", "loop"),
    char("dev/null", 1, 3),
    file("latin-\udce9", b"\xe9t\xe9"),
]
UPPER = [
    file("lib/b.so", "newer"),
    file("etc/motd", "Welcome.\n", pax={"SCHILY.xattr.user.x": "y"}),
]


@pytest.fixture(params=[True, False], ids=["compressed", "plain"])
def files(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[FileSystem]:
    with (
        source_of(tmp_path, LOWER, UPPER, compressed=request.param) as source,
        FileSystem.of(source) as opened,
    ):
        yield opened


def test_compressed_layers_are_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with source_of(tmp_path, LOWER, UPPER) as source:
        asked: list[Descriptor] = []
        open_blob = source.open_blob

        def counted(blob: Descriptor) -> BinaryIO:
            asked.append(blob)
            return open_blob(blob)

        monkeypatch.setattr(source, "open_blob", counted)
        layers = ImageLayers.of(source)
        asked.clear()
        read_headers(layers, verified=False)
        assert sorted(asked, key=str) == sorted(
            (layer.descriptor for layer in layers.layers), key=str
        )


def test_walk_yields_parents_first_sorted_by_name(files: FileSystem) -> None:
    assert [entry.path for entry in files.walk()] == [
        "/", "/dev", "/dev/null", "/etc", "/etc/motd", "/latin-\udce9", "/lib", "/loop", "/up",
        "/usr", "/usr/lib", "/usr/lib/a.so", "/usr/lib/b.so", "/usr/lib/c.so",
    ]  # fmt: skip
    assert [entry.path for entry in files.walk("lib")] == [
        "/lib", "/lib/a.so", "/lib/b.so", "/lib/c.so",
    ]  # fmt: skip


def test_an_entry_holds_all_metadata(files: FileSystem) -> None:
    motd = files.stat("/etc/motd")
    assert (motd.path, motd.type, motd.mode) == ("/etc/motd", MemberType.FILE, 0o644)
    assert (motd.size, motd.layer, motd.links) == (9, 1, 1)
    assert dict(motd.xattrs) == {b"user.x": b"y"}
    null = files.stat("dev/null")
    assert (null.type, null.major, null.minor) == (MemberType.CHAR, 1, 3)
    lib = files.stat("lib", follow=False)
    assert (lib.type, lib.target, lib.mode, lib.size) == (MemberType.SYMLINK, "usr/lib", 0o777, 7)
    assert files.stat("lib").type is MemberType.DIRECTORY


@pytest.mark.parametrize("path", ["usr/lib/b.so", "/lib/b.so", "/up/lib/b.so", "lib/../lib/b.so"])
def test_paths_go_through_links_inside_the_image(files: FileSystem, path: str) -> None:
    assert files.read_text(path) == "newer"
    assert files.resolve(path) == "/usr/lib/b.so"


def test_a_replaced_hard_link_keeps_its_content(files: FileSystem) -> None:
    assert files.read_bytes("usr/lib/c.so") == b"old"


def test_files_open_in_any_order_and_again(files: FileSystem) -> None:
    for _ in range(2):
        assert files.read_bytes("usr/lib/c.so") == b"old"
        assert files.read_bytes("usr/lib/a.so")[:4] == b"\x7fELF"


def test_text_that_is_not_utf8_is_escaped(files: FileSystem) -> None:
    assert files.read_text("latin-\udce9") == "\udce9t\udce9"
    assert files.read_text(b"latin-\xe9") == "\udce9t\udce9"


def test_missing_paths_and_other_types_are_errors(files: FileSystem) -> None:
    assert not files.exists("nothing")
    for path in ("nothing", "etc/motd/x", "usr/lib/none"):
        with pytest.raises(PathNotFoundError):
            files.stat(path)
    with pytest.raises(UnsafePathError):
        files.stat("loop")
    for path in ("usr", "dev/null"):
        with pytest.raises(UnsupportedError, match="not a file"):
            files.open(path)
    with pytest.raises(LimitExceededError):
        files.read_bytes("etc/motd", limit=3)


def test_files_of_plain_layers_are_seekable(tmp_path: Path) -> None:
    with (
        source_of(tmp_path, LOWER, compressed=False) as source,
        FileSystem.of(source) as files,
        files.open("usr/lib/a.so") as stream,
    ):
        assert stream.seekable()
        stream.seek(3000)
        assert stream.read() == bytes(4)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("/usr/lib/*.so", ["/usr/lib/a.so", "/usr/lib/b.so", "/usr/lib/c.so"]),
        ("usr/*/[ab].so", ["/usr/lib/a.so", "/usr/lib/b.so"]),
        ("**/motd", ["/etc/motd"]),
        ("etc/**", ["/etc", "/etc/motd"]),
        ("**/lib/**/a.so", ["/usr/lib/a.so"]),
        ("lib/*", []),
        ("./etc/./*", ["/etc/motd"]),
        ("/", ["/"]),
        ("latin-?", ["/latin-\udce9"]),
        ("nothing/**", []),
    ],
)
def test_patterns(files: FileSystem, pattern: str, expected: list[str]) -> None:
    assert [entry.path for entry in files.glob(pattern)] == expected


def test_patterns_match_characters(tmp_path: Path) -> None:
    with source_of(tmp_path, [file("café/ñ")]) as source, FileSystem.of(source) as files:
        assert [entry.path for entry in files.glob("caf?/[ñ-ó]")] == ["/café/ñ"]


def test_sparse_files_read_with_their_holes(tmp_path: Path) -> None:
    sparse = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.name": "s"}
    sparse |= {"GNU.sparse.size": "12", "GNU.sparse.map": "4,5"}
    layer = [file("GNUSparseFile.0/s", "hello", pax=sparse)]
    with source_of(tmp_path, layer) as source, FileSystem.of(source) as files:
        assert files.read_bytes("s") == b"\0\0\0\0hello\0\0\0"


def test_compressed_layers_are_verified(tmp_path: Path) -> None:
    layout = Layout()
    image = image_of([pack([file("a")])])
    entry = layout.image(image, pack=lambda _: pack([file("b")]))
    write_files(tmp_path, layout.finish(entry))
    with open_source(f"oci:{tmp_path}") as source, pytest.raises(DigestMismatchError):
        FileSystem.of(source, verified=True)


def test_an_artifact_has_no_files(tmp_path: Path) -> None:
    files = layout_of(image_of([pack([])]), layer_type="text/plain")
    write_files(tmp_path, files)
    with open_source(f"oci:{tmp_path}") as source, pytest.raises(UnsupportedError):
        FileSystem.of(source)


class Recorder:
    """A sink that records its calls."""

    def __init__(self) -> None:
        self.seen: list[tuple[bytes, bytes]] = []

    def store(self, place: DataLocation, member: Member, chunks: Iterator[memoryview]) -> None:
        self.seen.append((member.name, b"".join(chunks)))


def test_visible_data_is_delivered_from_the_top_layer(tmp_path: Path) -> None:
    lower = [file("a", "1"), file("d/x", "2"), file("d/y", "3"), file("e/x", "4"), file("k", "5")]
    middle = [file("a", "6"), file("d/.wh..wh..opq"), directory("k"), file("new", "7")]
    upper = [file("e", "8"), file(".wh.new")]
    recorder = Recorder()
    with source_of(tmp_path, lower, middle, upper) as source:
        entries = read_layers(ImageLayers.of(source), recorder)
    assert recorder.seen == [(b"e", b"8"), (b"a", b"6")]
    assert [len(layer) for layer in entries] == [5, 4, 2]


def test_a_hidden_falls_on_what_lies_below_only() -> None:
    hidden = HiddenPaths()
    hidden.add(1, members(file("a"), file(".wh.b"), directory("d"), file("e/.wh..wh..opq")))
    assert hidden.covers(0, b"./a")
    assert hidden.covers(0, b"b/x")
    assert hidden.covers(0, b"e/x/y")
    assert not hidden.covers(0, b"e")
    assert not hidden.covers(0, b"d/x")
    assert not hidden.covers(1, b"a")
    assert not hidden.covers(0, b"c")
    hidden.add(2, members(file("c"), file(".wh.d")))
    assert hidden.covers(1, b"c")
    assert hidden.covers(0, b"d/x")
    assert not hidden.covers(1, b"a")


@pytest.mark.parametrize("plain", [False, True])
def test_a_layer_that_cannot_be_read_is_closed(plain: bool) -> None:
    class Broken(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def seekable(self) -> bool:
            return True

        def read(self, size: int = -1, /) -> bytes:
            raise TransportError("gone")

    layout = Layout()
    entry = layout.image(image_of([pack([file("a")])]), pack=None if plain else squeeze)
    source = FakeSource(layout.files, entry)
    layers = ImageLayers.of(source)
    stream = Broken()
    source.opening[str(layers.layers[0].descriptor.digest)] = lambda: cast(BinaryIO, stream)
    with pytest.raises(TransportError):
        (layers.open_seekable if plain else layers.open)(0)
    assert stream.closed


@pytest.mark.parametrize("allowed", [0, 1, 2])
def test_a_layer_without_threads_to_read_it_is_closed(
    allowed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout()
    entry = layout.image(image_of([pack([file("a")])]), pack=squeeze)
    source = FakeSource(layout.files, entry)
    layers = ImageLayers.of(source)
    blob = layers.layers[0].descriptor
    stream = source.open_blob(blob)
    source.opening[str(blob.digest)] = lambda: stream
    before, start = threading.active_count(), threading.Thread.start
    left = iter(range(allowed))

    def start_few(thread: threading.Thread) -> None:
        if next(left, None) is None:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_few)
    with pytest.raises(TransportError, match="can't start new thread"):
        layers.open(0)
    assert stream.closed
    assert threading.active_count() == before
