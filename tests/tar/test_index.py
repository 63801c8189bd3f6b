"""Indexes of files with random access, and the data kept of streams."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from tarkit.errors import LimitExceededError, MalformedError, TruncatedError
from tarkit.streams.codecs import SNIFF_SIZE
from tarkit.tar import index as index_module
from tarkit.tar.index import index_file, index_stream
from tarkit.tar.reader import TarReader
from tests.tar.blocks import END, block, file, pax


def written(path: Path, *parts: bytes) -> Path:
    path.write_bytes(b"".join(parts))
    return path


def test_the_index_agrees_with_the_reader(tmp_path: Path) -> None:
    parts = [file(b"f%d" % n, b"x" * (n * 977)) for n in range(60)]
    parts[7] = pax((b"path", b"p" * 300), (b"comment", b"c" * 40_000)) + parts[7]
    path = written(tmp_path / "a.tar", *parts, END, b"garbage")
    with path.open("rb") as stream:
        expected = tuple(TarReader(stream))
        index = index_file(stream)
    assert index.members == expected
    assert (index.trailer, index.trailing, index.kept) == (True, 7, {})


def test_data_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.tar"
    with path.open("wb") as output:
        for _ in range(10):
            output.write(block(size=1 << 30))
            output.seek(1 << 30, os.SEEK_CUR)
        output.write(END)
    read = 0
    real = os.pread

    def counting(descriptor: int, size: int, offset: int) -> bytes:
        nonlocal read
        data = real(descriptor, size, offset)
        read += len(data)
        return data

    monkeypatch.setattr(os, "pread", counting)
    with path.open("rb") as stream:
        assert len(index_file(stream).members) == 10
    assert read < 1 << 20


def test_small_members_share_a_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "a.tar", *[file(b"f", b"x")] * 1000, END)
    calls = 0
    real = os.pread

    def counting(descriptor: int, size: int, offset: int) -> bytes:
        nonlocal calls
        calls += 1
        return real(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", counting)
    with path.open("rb") as stream:
        assert len(index_file(stream).members) == 1000
    assert calls < 100


def test_the_position_of_the_file_stays(tmp_path: Path) -> None:
    with written(tmp_path / "a.tar", file(b"a"), END).open("rb") as stream:
        stream.seek(3)
        index_file(stream)
        assert stream.tell() == 3


@pytest.mark.parametrize("cut", [25, 600, 1023])
def test_missing_data_is_truncated(tmp_path: Path, cut: int) -> None:
    archive = file(b"a") + file(b"layer", b"x" * 1000)
    path = written(tmp_path / "a.tar", archive[:-cut])
    with path.open("rb") as stream, pytest.raises(TruncatedError) as caught:
        index_file(stream, where="a.tar")
    assert caught.value.where == "a.tar, inside layer"


def test_a_huge_size_is_truncated_not_sought(tmp_path: Path) -> None:
    size = b"\x80" + ((1 << 63) - 1).to_bytes(11, "big")
    path = written(tmp_path / "a.tar", block(size=size), END)
    with path.open("rb") as stream, pytest.raises(TruncatedError):
        index_file(stream)


def test_a_bad_header_is_malformed(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tar", file(b"a"), block(checksum=b"0000001\0"), END)
    with path.open("rb") as stream, pytest.raises(MalformedError):
        index_file(stream)


def test_members_are_limited(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tar", file(b"a") * 5, END)
    with path.open("rb") as stream:
        assert len(index_file(stream, limit=5).members) == 5
        with pytest.raises(LimitExceededError) as caught:
            index_file(stream, limit=4)
    assert caught.value.limit == 4
    with pytest.raises(LimitExceededError):
        index_stream(io.BytesIO(file(b"a") * 5 + END), limit=4)


def test_small_members_of_a_stream_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "KEEP_EACH", 1000)
    stream = io.BytesIO(file(b"small", b"s" * 1000) + file(b"large", b"l" * 1001) + END)
    index = index_stream(stream)
    small, large = index.members
    assert index.kept == {small.data_offset: b"s" * 1000}
    assert large.stored == 1001


def test_the_first_bytes_are_kept_for_any_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "KEEP_EACH", 1000)
    content = bytes(range(200)) * 6
    archive = io.BytesIO(file(b"large", content) + END)

    class Drop(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            return archive.read(1)

    index = index_stream(Drop())
    assert index.heads == {index.members[0].data_offset: content[:SNIFF_SIZE]}


def test_kept_data_is_bounded_and_drops_the_largest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(index_module, "KEEP_ALL", 1000)
    sizes = [10, 600, 20, 500, 30, 400]
    index = index_stream(io.BytesIO(b"".join(file(b"f", b"x" * n) for n in sizes) + END))
    assert sorted(map(len, index.kept.values())) == [10, 20, 30, 400, 500]


@pytest.mark.parametrize("size", [3, 511, 512, 1000])
def test_padding_may_be_missing_at_the_end(tmp_path: Path, size: int) -> None:
    whole = file(b"a", b"x" * size)
    for left in range(-(-size // 512) * 512 - size):
        archive = whole[: 512 + size + left]
        path = written(tmp_path / "a.tar", archive)
        with path.open("rb") as stream:
            for index in (index_file(stream), index_stream(io.BytesIO(archive))):
                assert [member.size for member in index.members] == [size]
                assert (index.padded, index.trailer) == (False, False)
    path = written(tmp_path / "a.tar", whole)
    with path.open("rb") as stream:
        assert index_file(stream).padded


def test_missing_data_is_not_taken_for_padding(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tar", file(b"a", b"abc")[:514])
    with path.open("rb") as stream, pytest.raises(TruncatedError, match="1 bytes early"):
        index_file(stream)
