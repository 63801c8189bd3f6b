"""The streaming reader: data access, endings, and archives cut or damaged anywhere."""

from __future__ import annotations

import contextlib
import gzip
import io
import random
from collections import deque
from collections.abc import Callable
from itertools import chain

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from tarkit.errors import MalformedError, TarkitError, TruncatedError, VerificationError
from tarkit.streams import CHUNK_SIZE
from tarkit.streams.codecs import decompress, detect
from tarkit.tar.reader import TarReader
from tests.tar.blocks import END, block, extension, file, padded, pax


class Dribble(io.RawIOBase):
    """A stream that returns a few bytes at a time, like a pipe."""

    def __init__(self, data: bytes, step: int) -> None:
        self._data = io.BytesIO(data)
        self._step = step

    def read(self, size: int = -1, /) -> bytes:
        return self._data.read(self._step)


def test_members_come_with_their_data() -> None:
    reader = TarReader(io.BytesIO(file(b"a", b"one") + file(b"b") + file(b"c", b"x" * 513) + END))
    seen = [(member.name, b"".join(reader.chunks())) for member in reader]
    assert seen == [(b"a", b"one"), (b"b", b""), (b"c", b"x" * 513)]


@pytest.mark.parametrize("step", [1, 7, 511, 512, 513, 4096])
def test_it_does_not_matter_how_the_bytes_arrive(step: int) -> None:
    archive = pax((b"path", b"p" * 120)) + file(b"a", b"one" * 400) + file(b"b") + END
    reader = TarReader(Dribble(archive, step))
    seen = [(member.name, b"".join(reader.chunks())) for member in reader]
    assert seen == [(b"p" * 120, b"one" * 400), (b"b", b"")]


def test_unread_data_is_skipped() -> None:
    big = bytes(CHUNK_SIZE + 3)
    reader = TarReader(io.BytesIO(file(b"a", big) + file(b"b", big) + file(b"c", b"end") + END))
    names = []
    for member in reader:
        names.append(member.name)
        if member.name == b"b":
            assert next(reader.chunks())[:10] == bytes(10)
    assert names == [b"a", b"b", b"c"]


def test_views_outlive_their_member() -> None:
    parts = [bytes([n]) * (CHUNK_SIZE // 3) for n in range(7)]
    reader = TarReader(io.BytesIO(b"".join(file(b"f", part) for part in parts) + END))
    views = [list(reader.chunks()) for _ in reader]
    assert [b"".join(pieces) for pieces in views] == parts


def test_views_are_not_copies() -> None:
    data = io.BytesIO(file(b"a", b"x" * 100) + END)
    reader = TarReader(data)
    [views] = [list(reader.chunks()) for _ in reader]
    assert isinstance(views[0].obj, bytes)
    assert len(views[0].obj) == len(data.getvalue())


def test_a_member_cannot_be_read_once_the_next_was_asked_for() -> None:
    reader = TarReader(io.BytesIO(file(b"a", b"one") + file(b"b", b"two") + END))
    iterator = iter(reader)
    next(iterator)
    chunks = reader.chunks()
    next(iterator)
    with pytest.raises(ValueError, match="past this member"):
        next(chunks)
    assert b"".join(reader.chunks()) == b"two"


def test_known_members_are_read_without_their_headers() -> None:
    parts = [file(b"a", b"one" * 400), pax((b"path", b"p" * 120)), file(b"b", b"two"), file(b"c")]
    archive = b"".join(parts) + file(b"d", b"four") + END
    one, two, _, four = TarReader(io.BytesIO(archive))
    damaged = bytearray(archive)
    damaged[two.offset : two.offset + 3] = b"???"  # not looked at
    reader = TarReader(Dribble(bytes(damaged), 300))
    for member, data in ((one, b"one" * 400), (two, b"two"), (four, b"four")):
        reader.go_to(member)
        assert b"".join(reader.chunks()) == data
    reader.drain()
    assert reader.trailer


def test_iteration_continues_after_a_known_member() -> None:
    archive = file(b"a", b"one" * 400) + file(b"b", b"two") + file(b"c") + END
    _, two, _ = TarReader(io.BytesIO(archive))
    reader = TarReader(io.BytesIO(archive))
    reader.go_to(two)
    assert [member.name for member in reader] == [b"c"]


def test_a_truncated_member_reports_all_missing_bytes() -> None:
    archive = block(b"a", size=1 << 32) + b"x" * 1000
    reader = TarReader(io.BytesIO(archive))
    next(iter(reader))
    with pytest.raises(TruncatedError, match=f"the archive ends {(1 << 32) - 1000} bytes early"):
        list(reader.chunks())


def test_a_missing_known_member_is_truncated() -> None:
    archive = file(b"a", b"one" * 400) + file(b"b", b"two") + END
    one, two = TarReader(io.BytesIO(archive))
    reader = TarReader(io.BytesIO(archive[: two.data_offset - 1]), where="layer")
    reader.go_to(one)
    with pytest.raises(TruncatedError, match="layer, inside a: the archive ends 1 bytes early"):
        reader.go_to(two)
    reader = TarReader(io.BytesIO(archive[: two.data_offset + 1]), where="layer")
    reader.go_to(two)
    with pytest.raises(TruncatedError, match="layer, inside b"):
        b"".join(reader.chunks())


@pytest.mark.parametrize(
    ("ending", "trailer", "trailing"),
    [
        (b"", False, 0),
        (bytes(512), False, 0),
        (END, True, 0),
        (END + bytes(9216), True, 0),
        (END + b"x", True, 1),
        (END + bytes(700) + b"x" + bytes(99), True, 100),
        (END + file(b"another") + END, True, 2048 - 512),
        (END + bytes(3 * CHUNK_SIZE) + b"x" + bytes(CHUNK_SIZE), True, CHUNK_SIZE + 1),
    ],
    ids=["none", "lone", "exact", "blocking", "byte", "garbage", "second archive", "far"],
)
def test_how_an_archive_ends_is_noted(ending: bytes, trailer: bool, trailing: int) -> None:
    stream = io.BytesIO(file(b"a", b"data") + ending)
    reader = TarReader(stream)
    assert [member.name for member in reader] == [b"a"]
    reader.drain()
    assert (reader.trailer, reader.trailing) == (trailer, trailing)
    assert stream.read() == b"", "whoever hashes the stream needs its very end"


def test_draining_early_still_checks_the_rest() -> None:
    reader = TarReader(io.BytesIO(file(b"a") + file(b"b", b"data") + END))
    next(iter(reader))
    reader.drain()
    assert reader.trailer
    broken = TarReader(io.BytesIO(file(b"a") + block(checksum=b"0000000\0") + END))
    next(iter(broken))
    with pytest.raises(MalformedError):
        broken.drain()


def test_an_ended_reader_stays_ended() -> None:
    reader = TarReader(io.BytesIO(file(b"a") + END + file(b"hidden") + END))
    assert [member.name for member in chain(reader, reader)] == [b"a"]


def test_an_empty_stream_has_no_members_and_no_trailer() -> None:
    reader = TarReader(io.BytesIO(b""))
    assert list(reader) == []
    assert not reader.trailer


def test_a_lone_zero_block_in_the_middle_does_not_hide_the_rest() -> None:
    reader = TarReader(io.BytesIO(file(b"a") + bytes(512) + file(b"b") + END))
    with pytest.raises(MalformedError, match="single zero block"):
        list(reader)


@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_bad_checksum_is_an_error_wherever_it_is(position: int) -> None:
    parts = [file(b"a", b"data"), file(b"b", b"data"), file(b"c", b"data")]
    parts[position] = block(b"bad", size=4, checksum=b"012345\0 ") + padded(b"data")
    with pytest.raises(MalformedError, match="checksum") as caught:
        list(TarReader(io.BytesIO(b"".join(parts) + END), where="app.tar"))
    assert caught.value.where == f"app.tar, header at byte {1024 * position}"


def test_other_data_is_malformed() -> None:
    with pytest.raises(MalformedError):
        list(TarReader(io.BytesIO(b"PK\x03\x04" + b"something else" * 100)))


@pytest.mark.parametrize("flag", [b"x", b"L", b"K"])
def test_an_extended_header_needs_its_member(flag: bytes) -> None:
    content = b"6 a=b\n" if flag == b"x" else b"name"
    with pytest.raises(MalformedError, match="without a member"):
        list(TarReader(io.BytesIO(extension(flag, content) + END)))
    with pytest.raises(TruncatedError):
        list(TarReader(io.BytesIO(extension(flag, content))))


def test_a_truncated_member_is_named() -> None:
    reader = TarReader(io.BytesIO(file(b"layer.tar", b"x" * 2000)[:1500]), where="app.tar")
    with pytest.raises(TruncatedError, match="early") as caught:
        list(reader)
    assert caught.value.where == "app.tar, inside layer.tar"


ARCHIVE = (
    file(b"a", b"x" * 700)
    + pax((b"path", b"p" * 200), (b"comment", b"c" * 600))
    + file(b"b", b"y" * 512)
    + extension(b"L", b"l" * 600)
    + block(b"dir/", flag=b"5")
    + END
)
COMPLETE = {
    0,
    *range(512 + 700, 1536 + 1),  # the padding of "a"
    4096,
    *range(len(ARCHIVE) - 1024, len(ARCHIVE)),  # the trailer
}
"""Lengths to cut the archive at such that members lack only padding."""


@given(st.integers(0, len(ARCHIVE) - 1))
def test_every_cut_is_noticed_or_noted(length: int) -> None:
    reader = TarReader(io.BytesIO(ARCHIVE[:length]))
    if length in COMPLETE:
        reader.drain()
        assert not reader.trailer
        assert reader.padded == (length not in range(1212, 1536))
    else:
        with pytest.raises(TruncatedError):
            reader.drain()


@given(st.integers(0, len(ARCHIVE) - 1))
def test_every_cut_is_noticed_when_data_is_read(length: int) -> None:
    reader = TarReader(io.BytesIO(ARCHIVE[:length]))
    if length not in COMPLETE:
        with pytest.raises(TruncatedError):
            deque((b"".join(reader.chunks()) for _ in reader), maxlen=0)


@pytest.mark.parametrize("codec", [gzip.compress, zstandard.compress])
def test_a_compressed_stream_cut_within_the_padding_is_truncated(
    codec: Callable[[bytes], bytes],
) -> None:
    packed = codec(file(b"a", random.Random(1).randbytes(1025)))
    stream = decompress(io.BytesIO(packed[:-9]), detect(packed))
    with pytest.raises(VerificationError):
        TarReader(stream).drain()


@given(st.binary(max_size=2000), st.integers(0, 4))
def test_noise_gives_typed_errors_only(noise: bytes, at: int) -> None:
    archive = ARCHIVE[: 512 * at] + noise + ARCHIVE[512 * at :]
    with contextlib.suppress(MalformedError, TruncatedError):
        TarReader(io.BytesIO(archive)).drain()


@given(st.data())
def test_damaged_headers_with_right_checksums_give_typed_errors_only(data: st.DataObject) -> None:
    damaged = bytearray(ARCHIVE)
    header = data.draw(st.sampled_from([0, 1536, 3072, 4096, 5632]))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[header + data.draw(st.integers(0, 511))] = data.draw(st.integers(0, 255))
    damaged[header + 148 : header + 156] = b" " * 8
    damaged[header + 148 : header + 156] = b"%06o\0 " % sum(damaged[header : header + 512])
    with contextlib.suppress(TarkitError):
        TarReader(io.BytesIO(bytes(damaged))).drain()


def test_pass_over_reads_without_parsing() -> None:
    archive = file(b"first", b"1") + b"no header at all".ljust(512, b"!")
    stream = io.BytesIO(archive)
    reader = TarReader(stream)
    assert next(iter(reader)).name == b"first"
    reader.pass_over()
    assert stream.tell() == len(archive)
    assert list(reader) == []
