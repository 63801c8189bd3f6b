"""Files of compressed layers in any order: at most two passes, within a bound of disk space."""

from __future__ import annotations

import errno
import io
import os
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarkit.errors import DigestMismatchError, NoSpaceError
from tarkit.image.descriptor import Descriptor
from tarkit.rootfs import layer_spool
from tarkit.rootfs.filesystem import FileSystem
from tarkit.rootfs.layer_spool import CompressedLayer, LayerSpools
from tarkit.streams.uncached import write_at
from tests.builders import noise
from tests.rootfs.layers import file, source_of, unaligned

LAYERS = 6
FILES = 25


@contextmanager
def counted_files(tmp_path: Path) -> Iterator[tuple[FileSystem, Counter[str], list[str]]]:
    """Yield an image of several layers, the number of times each was opened, and its paths."""
    layers = [
        [file(f"{n}/{i}", noise(20_000, seed=100 * n + i)) for i in range(FILES)]
        for n in range(LAYERS)
    ]
    with source_of(tmp_path, *layers) as source, FileSystem.of(source) as files:
        opened: Counter[str] = Counter()
        open_blob = source.open_blob

        def count(descriptor: Descriptor) -> BinaryIO:
            opened[str(descriptor.digest)] += 1
            return open_blob(descriptor)

        source.open_blob = count  # type: ignore[method-assign]
        yield files, opened, [f"{n}/{i}" for n in range(LAYERS) for i in range(FILES)]


def expected(path: str) -> bytes:
    layer, number = map(int, path.split("/"))
    return noise(20_000, seed=100 * layer + number)


def test_reading_in_order_takes_one_pass_and_no_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layer_spool, "new_spool", lambda: pytest.fail("a temporary file"))
    with counted_files(tmp_path) as (files, opened, paths):
        for path in paths:
            assert files.read_bytes(path) == expected(path)
    assert set(opened.values()) == {1}
    assert len(opened) == LAYERS


def test_reading_in_any_order_takes_two_passes_at_most(tmp_path: Path) -> None:
    with counted_files(tmp_path) as (files, opened, paths):
        random.Random(1).shuffle(paths)
        for path in paths + paths[:20]:
            assert files.read_bytes(path) == expected(path)
    assert set(opened.values()) == {2}


def test_few_layers_are_decompressed_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with counted_files(tmp_path) as (files, _, _paths):
        spools = files.contents._spools
        for number in range(LAYERS):
            files.read_bytes(f"{number}/1")
            assert len(spools._reading) <= layer_spool.MOST_STREAMS
        assert files.read_bytes("0/2") == expected("0/2")
    assert spools._reading == []


@pytest.mark.parametrize("limit", [0, 1000, 300_000, 900_000])
def test_a_copy_that_does_not_fit_changes_no_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(layer_spool, "SPOOL_LIMIT", limit)
    with counted_files(tmp_path) as (files, _, paths):
        random.Random(2).shuffle(paths)
        for path in paths[:40]:
            assert files.read_bytes(path) == expected(path)
        layers = files.contents._open.values()
        assert sum(layer._copied for layer in layers if isinstance(layer, CompressedLayer)) <= limit


def test_a_full_disk_changes_no_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    accepted: list[int] = []

    def write(descriptor: int, pieces: list[bytes], offset: int) -> None:
        if len(accepted) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        accepted.append(offset)
        write_at(descriptor, pieces, offset)

    monkeypatch.setattr(layer_spool, "write_at", write)
    monkeypatch.setattr(layer_spool, "CHUNK_SIZE", 50_000)
    with counted_files(tmp_path) as (files, _, paths):
        for path in reversed(paths[:FILES]):
            assert files.read_bytes(path) == expected(path)
    assert accepted == [0, 50_000, 100_000]


def test_no_directory_for_temporary_files_changes_no_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> BinaryIO:
        raise NoSpaceError("none")

    monkeypatch.setattr(layer_spool, "new_spool", refuse)
    with counted_files(tmp_path) as (files, _, paths):
        for path in reversed(paths[:FILES]):
            assert files.read_bytes(path) == expected(path)


def test_a_copy_is_verified(tmp_path: Path) -> None:
    with counted_files(tmp_path) as (files, _, _paths):
        source = files.contents.layers.source
        open_blob = source.open_blob

        def damaged(descriptor: Descriptor) -> BinaryIO:
            with open_blob(descriptor) as stream:
                data = bytearray(stream.read())
            data[5] ^= 1  # the time in the header of gzip, which changes only the digest
            return io.BytesIO(bytes(data))

        source.open_blob = damaged  # type: ignore[method-assign]
        files.read_bytes("0/3")
        with pytest.raises(DigestMismatchError):
            files.read_bytes("0/1")


@given(st.data())
def test_any_reads_agree_with_the_bytes(data: st.DataObject) -> None:
    content = noise(data.draw(st.integers(0, 5000)))
    spools = LayerSpools(data.draw(st.sampled_from([0, 100, 1 << 20])))
    with CompressedLayer(lambda: io.BytesIO(content), spools) as layer:
        for _ in range(data.draw(st.integers(1, 8))):
            offset, size = data.draw(st.integers(0, 6000)), data.draw(st.integers(1, 6000))
            got = layer.read_at(offset, size)
            assert content[offset : offset + size].startswith(got)
            assert bool(got) == bool(content[offset : offset + size])


@given(st.data())
def test_sparse_files_are_seekable(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = b"A" * 100 + bytes(900) + b"B" * 100 + bytes(900)
    tmp_path = tmp_path_factory.mktemp("sparse")
    with (
        source_of(tmp_path, [unaligned("s")]) as source,
        FileSystem.of(source) as files,
        files.open("s") as stream,
    ):
        assert stream.seekable()
        for _ in range(4):
            offset = data.draw(st.integers(0, 2100))
            assert stream.seek(offset) == offset
            assert stream.read() == content[offset:]
