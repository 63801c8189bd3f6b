"""Output is read back unchanged, is deterministic, and is never left incomplete."""

from __future__ import annotations

import errno
import io
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarkit.errors import (
    LimitExceededError,
    MalformedError,
    NoSpaceError,
    SizeMismatchError,
    UnsupportedError,
)
from tarkit.tar.encode import encode, fits_ustar
from tarkit.tar.member import Member, MemberType, Segment
from tarkit.tar.reader import TarReader
from tarkit.tar.sparse import SparseContent
from tarkit.tar.writer import Data, TarWriter
from tests.tar.blocks import contents


def written(*members: tuple[Member, Data]) -> bytes:
    output = io.BytesIO()
    with TarWriter(output) as writer:
        for member, data in members:
            writer.add(member, data)
    return output.getvalue()


def read(archive: bytes) -> list[tuple[Member, bytes]]:
    reader = TarReader(io.BytesIO(archive))
    return [(member, b"".join(reader.chunks())) for member in reader]


class Pipe(io.BytesIO):
    """An output that is not seekable."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: object) -> int:
        raise io.UnsupportedOperation

    tell = seek


NAMES = st.binary(min_size=1, max_size=400).filter(lambda name: b"\0" not in name)
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(b"/".join)
FILE_PATHS = PATHS.filter(lambda path: not path.endswith(b"/"))  # the others are directories
OWNER_NAMES = st.binary(max_size=60).filter(lambda name: b"\0" not in name)
LINKS = (MemberType.HARDLINK, MemberType.SYMLINK)
DEVICES = (MemberType.CHAR, MemberType.BLOCK)


@st.composite
def described(draw: st.DrawFn) -> tuple[Member, bytes]:
    """Generate any valid member with its data."""
    kind = draw(st.sampled_from([kind for kind in MemberType if kind is not MemberType.OTHER]))
    data = draw(st.binary(max_size=1500)) if kind is MemberType.FILE else b""
    device = st.integers(0, (1 << 32) - 1) if kind in DEVICES else st.just(0)
    member = Member(
        name=draw(FILE_PATHS if kind is MemberType.FILE else PATHS),
        type=kind,
        mode=draw(st.integers(0, 0o7777)),
        uid=draw(st.integers(0, (1 << 32) - 1)),
        gid=draw(st.sampled_from([0, 0o7777777, 0o10000000])),
        size=len(data),
        mtime_ns=draw(st.integers(-(1 << 65), 1 << 65) | st.integers(0, 8**11).map(lambda s: s * 10**9)),
        linkname=draw(PATHS) if kind in LINKS else b"",
        uname=draw(OWNER_NAMES),
        gname=draw(OWNER_NAMES),
        devmajor=draw(device),
        devminor=draw(device),
        xattrs=draw(st.dictionaries(NAMES, st.binary(max_size=100), max_size=3)),
    )  # fmt: skip
    return member, data


def essence(member: Member) -> tuple[object, ...]:
    """Return the member without its offsets."""
    return (
        member.name, member.type, member.mode, member.uid, member.gid, member.size, member.mtime_ns,
        member.linkname, member.uname, member.gname, member.devmajor, member.devminor,
        dict(member.xattrs), member.sparse,
    )  # fmt: skip


@given(st.lists(described(), max_size=4))
def test_what_is_written_is_read(expected: list[tuple[Member, bytes]]) -> None:
    found = read(written(*expected))
    assert [(essence(m), data) for m, data in found] == [(essence(m), d) for m, d in expected]


@st.composite
def sparse_members(draw: st.DrawFn) -> tuple[Member, bytes]:
    lengths = st.tuples(st.integers(0, 5000), st.integers(1, 700))
    end, segments = 0, []
    for hole, length in draw(st.lists(lengths, max_size=60)):
        segments.append(Segment(end + hole, length))
        end += hole + length
    data = bytes(i % 251 for i in range(sum(s.length for s in segments)))
    size = end + draw(st.integers(0, 5000))
    return Member(draw(FILE_PATHS), size=size, sparse=tuple(segments), stored=len(data)), data


@pytest.mark.parametrize("name", [b"a/", b"n" * 300 + b"/"])
def test_a_file_whose_name_ends_in_a_slash_is_refused(name: bytes) -> None:
    with pytest.raises(MalformedError, match="for a directory"):
        written((Member(name), b""))
    [(found, _)] = read(written((Member(name, MemberType.DIRECTORY), b"")))
    assert (found.name, found.type) == (name, MemberType.DIRECTORY)


@given(sparse_members())
def test_sparse_members_keep_their_holes(case: tuple[Member, bytes]) -> None:
    member, data = case
    [(found, logical)] = contents(written(case))
    assert (found.name, found.size) == (member.name, member.size)
    assert logical == SparseContent(io.BytesIO(data), member).read()
    assert member.sparse is not None
    assert found.sparse is not None
    assert found.stored < member.stored + 512 * len(member.sparse) + 1
    assert all(segment.length % 512 == 0 for segment in found.sparse[:-1])


def test_segments_of_whole_blocks_are_written_as_they_are() -> None:
    segments = (Segment(512, 1024), Segment(4096, 512), Segment(8192, 5))
    member = Member(b"a", size=10_000, sparse=segments)
    [(found, data)] = read(written((member, b"x" * 1541)))
    assert (found.sparse, data) == (segments, b"x" * 1541)


@given(described() | sparse_members())
def test_the_fast_path_gives_the_same_header(case: tuple[Member, bytes]) -> None:
    member = case[0]
    header = encode(member)
    assert not fits_ustar(member, member.name) or len(header) == 512
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tarkit.tar.encode.fits_ustar", lambda *_: False)
        assert encode(member) == header


@pytest.mark.parametrize(
    ("member", "fits"),
    [
        (Member(b"n" * 100, uid=0o7777777, mtime_ns=(8**11 - 1) * 10**9), True),
        (Member(b"l", MemberType.SYMLINK, linkname=b"t" * 100), True),
        (Member(b"u", uname=b"u" * 32, gname=b"g" * 32), True),
        (Member(b"n" * 101), False),
        (Member(b"f", uid=0o10000000), False),
        (Member(b"f", gid=0o10000000), False),
        (Member(b"f", mtime_ns=8**11 * 10**9), False),
        (Member(b"f", mtime_ns=-(10**9)), False),
        (Member(b"f", mtime_ns=1), False),
        (Member(b"f", size=8**11), False),
        (Member(b"f", uname=b"u" * 33), False),
        (Member(b"f", xattrs={b"user.a": b""}), False),
        (Member(b"f", MemberType.CHAR, devminor=8**7), False),
        (Member(b"l", MemberType.SYMLINK, linkname=b"t" * 101), False),
    ],
)
def test_one_block_if_it_holds_everything(member: Member, fits: bool) -> None:
    assert fits_ustar(member, member.name) is (len(encode(member)) == 512) is fits


def test_the_same_members_give_the_same_bytes() -> None:
    one = Member(b"a", xattrs={b"user.b": b"2", b"user.a": b"1"}, mtime_ns=1, uid=1 << 30)
    two = Member(b"a", xattrs={b"user.a": b"1", b"user.b": b"2"}, mtime_ns=1, uid=1 << 30)
    assert written((one, b"")) == written((two, b""))


def test_records_are_sorted_and_only_those_that_are_needed() -> None:
    header = encode(Member(b"n" * 101, mtime_ns=1_500_000_000, xattrs={b"user.a": b"1"}))
    keys = [
        line.partition(b"=")[0].split()[1] for line in header[512:1024].strip(b"\0").splitlines()
    ]
    assert keys == [b"SCHILY.xattr.user.a", b"mtime", b"path"]


@pytest.mark.parametrize(
    "member",
    [
        Member(b"n" * 100),
        Member(b"p" * 155 + b"/" + b"n" * 100),
        Member(b"caf\xe9", uname=b"u" * 32, gname=b"g" * 32),
        Member(b"f", uid=0o7777777, mtime_ns=(8**11 - 1) * 10**9),
        Member(b"f", type=MemberType.SYMLINK, linkname=b"t" * 100),
    ],
)
def test_what_fits_ustar_is_plain_ustar(member: Member) -> None:
    header = encode(member)
    assert len(header) == 512
    assert header[257:265] == b"ustar\x0000"


def test_the_size_field_holds_less_than_8_gib_and_pax_the_rest() -> None:
    assert len(encode(Member(b"f", size=8**11 - 1))) == 512
    header = encode(Member(b"f", size=8**11))
    assert b"size=8589934592\n" in header[512:1024]


def test_pax_names_that_are_not_utf_8_are_marked_as_binary() -> None:
    assert b"hdrcharset=BINARY" in encode(Member(b"\xe9" * 101))
    assert b"hdrcharset" not in encode(Member("é".encode() * 60))
    assert b"hdrcharset" not in encode(Member(b"f", xattrs={b"user.a": b"\xff"}))


def test_the_archive_ends_with_two_blocks_and_nothing_more() -> None:
    assert written() == bytes(1024)
    assert len(written((Member(b"a", size=1), b"x"))) == 2048


@pytest.mark.parametrize(
    "data",
    [
        b"hello", io.BytesIO(b"hello"), [b"he", memoryview(b"llo")], iter([b"hel", b"", b"lo"]),
        io.BytesIO(b"h\ne\nl"),
    ],
)  # fmt: skip
def test_data_can_have_any_type(data: Data) -> None:
    [(_, found)] = read(written((Member(b"a", size=5), data)))
    assert found in (b"hello", b"h\ne\nl")


@pytest.mark.parametrize("data", [b"123", b"12345", b"", b"x" * 5000])
def test_data_of_another_size_leaves_nothing_behind(data: bytes) -> None:
    output = io.BytesIO()
    with TarWriter(output) as writer:
        writer.add(Member(b"before", size=1), b"x")
        with pytest.raises(SizeMismatchError):
            writer.add(Member(b"bad", size=4), data)
        writer.add(Member(b"after", size=1), b"y")
    assert output.getvalue() == written(
        (Member(b"before", size=1), b"x"), (Member(b"after", size=1), b"y")
    )


def test_only_files_have_data() -> None:
    output = io.BytesIO()
    with TarWriter(output) as writer, pytest.raises(SizeMismatchError):
        writer.add(Member(b"d/", MemberType.DIRECTORY, size=4), b"data")
    assert output.getvalue() == bytes(1024)


def test_a_failing_stream_leaves_nothing_behind() -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(size) or self.fail()

        def fail(self) -> bytes:
            raise MalformedError("no more")

    output = io.BytesIO()
    with TarWriter(output) as writer:
        with pytest.raises(MalformedError):
            writer.add(Member(b"bad", size=1000), Failing(b"some"))
        with pytest.raises(MalformedError), writer.begin(Member(b"bad")) as pending:
            shutil.copyfileobj(Failing(b"some"), pending)
    assert output.getvalue() == bytes(1024)


def test_a_failure_in_a_pipe_ends_the_writer() -> None:
    output = Pipe()
    writer = TarWriter(output)
    with pytest.raises(SizeMismatchError):
        writer.add(Member(b"bad", size=4), b"123")
    with pytest.raises(ValueError, match="ends inside a member"):
        writer.add(Member(b"a"))
    with pytest.raises(ValueError, match="ends inside a member"):
        writer.close()


def test_a_pipe_takes_members_of_known_size_only() -> None:
    output = Pipe()
    with TarWriter(output) as writer:
        writer.add(Member(b"a", size=3), b"abc")
        with pytest.raises(UnsupportedError, match="seek"):
            writer.begin(Member(b"b"))
    assert read(output.getvalue())[0][1] == b"abc"


def test_the_size_can_be_set_at_the_end() -> None:
    output = io.BytesIO()
    with TarWriter(output) as writer:
        with writer.begin(Member(b"a")) as pending:
            for _ in range(100):
                assert pending.write(b"0123456789") == 10
        writer.add(Member(b"b", size=1), b"x")
    assert output.getvalue() == written(
        (Member(b"a", size=1000), b"0123456789" * 100), (Member(b"b", size=1), b"x")
    )


def test_the_name_can_be_set_at_the_end() -> None:
    output = io.BytesIO()
    with TarWriter(output) as writer:
        pending = writer.begin(Member(b"blobs/sha256/" + b"0" * 64))
        pending.write(memoryview(b"data"))
        pending.end(b"blobs/sha256/" + b"f" * 64)
    assert output.getvalue() == written((Member(b"blobs/sha256/" + b"f" * 64, size=4), b"data"))


def test_a_pax_header_survives_a_size_set_at_the_end() -> None:
    member = Member(b"n" * 200, mtime_ns=1, xattrs={b"user.a": b"1"})
    output = io.BytesIO()
    with TarWriter(output) as writer, writer.begin(member) as pending:
        pending.write(b"data")
    [(found, data)] = read(output.getvalue())
    assert (found.name, found.mtime_ns, found.size, data) == (b"n" * 200, 1, 4, b"data")


def test_a_name_that_needs_a_longer_header_aborts() -> None:
    output = io.BytesIO()
    with TarWriter(output) as writer:
        pending = writer.begin(Member(b"short"))
        with pytest.raises(ValueError, match="longer header"):
            pending.end(b"n" * 300)
    assert output.getvalue() == bytes(1024)


def test_a_size_beyond_8_gib_can_be_set_at_the_end(tmp_path: Path) -> None:
    size = 8**11 + 5
    path = tmp_path / "a.tar"
    with path.open("w+b") as output:
        with TarWriter(output) as writer, writer.begin(Member(b"big")) as pending:
            output.seek(size, os.SEEK_CUR)  # a hole stands in for the data
            pending._size = size
            writer._offset += size
        output.seek(0)
        member = next(iter(TarReader(output)))
    assert (member.name, member.size) == (b"big", size)


def test_an_abort_removes_the_member(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with path.open("wb") as output, TarWriter(output) as writer:
        writer.add(Member(b"a", size=1), b"x")
        pending = writer.begin(Member(b"b"))
        pending.write(bytes(100_000))
        pending.abort()
        pending.abort()
        with pytest.raises(ValueError, match="has ended"):
            pending.write(b"more")
    assert path.read_bytes() == written((Member(b"a", size=1), b"x"))


def test_members_are_written_one_at_a_time() -> None:
    writer = TarWriter(io.BytesIO())
    pending = writer.begin(Member(b"a"))
    for refused in (
        lambda: writer.add(Member(b"b")),
        lambda: writer.begin(Member(b"b")),
        writer.close,
    ):
        with pytest.raises(ValueError, match="still being written"):
            refused()
    pending.end()
    writer.close()
    with pytest.raises(ValueError, match="closed"):
        writer.add(Member(b"b"))


def test_closing_with_an_open_member_is_an_error() -> None:
    with pytest.raises(ValueError, match="still being written"), TarWriter(io.BytesIO()) as writer:
        writer.begin(Member(b"a"))


def test_a_failure_leaves_no_trailer() -> None:
    output = io.BytesIO()
    with pytest.raises(KeyError), TarWriter(output):
        raise KeyError
    assert output.getvalue() == b""


def test_an_archive_may_start_anywhere_in_its_file() -> None:
    output = io.BytesIO(b"prefix")
    output.seek(6)
    with TarWriter(output) as writer:
        with writer.begin(Member(b"a")) as pending:
            pending.write(b"x")
        with pytest.raises(SizeMismatchError):
            writer.add(Member(b"bad", size=4), b"123")
    assert output.getvalue() == b"prefix" + written((Member(b"a", size=1), b"x"))


class Full(io.BytesIO):
    """A disk with space for a number of bytes."""

    room = 700

    def write(self, data: object, /) -> int:
        view = memoryview(data)  # type: ignore[arg-type]
        if self.tell() + len(view) > self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(view)


def test_a_full_disk_is_no_space() -> None:
    output = Full()
    writer = TarWriter(output, where="out.tar")
    with pytest.raises(NoSpaceError) as caught:
        writer.add(Member(b"a", size=400), b"x" * 400)
    assert caught.value.where == "out.tar"
    assert output.getvalue() == b""
    with pytest.raises(NoSpaceError), writer.begin(Member(b"a")) as pending:
        pending.write(b"x" * 400)
    assert output.getvalue() == b""


def test_short_writes_are_continued() -> None:
    class Short(io.BytesIO):
        def write(self, data: object, /) -> int:
            return super().write(memoryview(data)[:100])  # type: ignore[arg-type]

    output = Short()
    with TarWriter(output) as writer:
        writer.add(Member(b"a", size=450), b"x" * 450)
    assert output.getvalue() == written((Member(b"a", size=450), b"x" * 450))


@pytest.mark.parametrize(
    "member",
    [
        Member(b""),
        Member(b"a\0b"),
        Member(b"a", type=MemberType.SYMLINK, linkname=b"\0"),
        Member(b"a", uname=b"\0"),
        Member(b"a", size=-1),
        Member(b"a", size=1 << 63),
        Member(b"a", xattrs={b"": b""}),
        Member(b"a", xattrs={b"\0": b""}),
        Member(b"a", size=3, sparse=(Segment(0, 4),)),
        Member(b"a", size=9, sparse=(Segment(4, 1), Segment(0, 1))),
    ],
)
def test_members_that_no_tar_can_hold_are_malformed(member: Member) -> None:
    with pytest.raises(MalformedError):
        encode(member)


def test_headers_beyond_the_limit_of_readers_are_refused() -> None:
    with pytest.raises(LimitExceededError):
        encode(Member(b"a", xattrs={b"user.a": bytes(1 << 20)}))
    with pytest.raises(UnsupportedError):
        encode(Member(b"a", MemberType.OTHER))
