"""Archives as named members: plain, compressed and through a pipe."""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import os
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import zstandard

from tarkit.errors import (
    LimitExceededError,
    MalformedError,
    MemberNotFoundError,
    NoSpaceError,
    PathNotFoundError,
    TarkitError,
    TruncatedError,
    UnsupportedError,
)
from tarkit.streams.chunks import ChunkReader, Readable
from tarkit.streams.codecs import Compression, decompress
from tarkit.tar import index as index_module
from tarkit.tar.archive import Archive
from tests.tar.blocks import END, block, file, pax
from tests.tar.test_sparse import DATA, LOGICAL, MAP, SIZE, pax_1_0


def numbered(start: int, size: int) -> bytes:
    """Return data without repetition that compresses quickly."""
    blocks = (number.to_bytes(512, "big") for number in range(start, start + size // 512 + 1))
    return b"".join(blocks)[:size]


LAYER = numbered(0, index_module.KEEP_EACH + 70_000)
SECOND = numbered(1 << 20, index_module.KEEP_EACH + 1)
PLAIN = (
    file(b"a/layer.tar", LAYER)
    + file(b"b/layer.tar", SECOND)
    + block(b"c/layer.tar", flag=b"2", linkname=b"../a/layer.tar")
    + block(b"dir/", flag=b"5")
    + file(b"manifest.json", b"[]")
    + END
)


def zstd(data: bytes) -> bytes:
    return zstandard.compress(data)


COMPRESSORS: dict[Compression, Callable[[bytes], bytes]] = {
    Compression.NONE: bytes,
    Compression.GZIP: lambda data: gzip.compress(data[:1000], 1) + gzip.compress(data[1000:], 1),
    Compression.BZIP2: lambda data: bz2.compress(data, 1),
    Compression.XZ: lambda data: lzma.compress(data, preset=0),
    Compression.ZSTD: lambda data: zstd(data[:1000]) + zstd(data[1000:]),
}


@pytest.fixture(scope="module", params=COMPRESSORS, ids=lambda compression: compression.name)
def packed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """PLAIN, compressed, under a name without a suffix for it."""
    compression: Compression = request.param
    path = tmp_path_factory.mktemp("packed") / compression.name
    path.write_bytes(COMPRESSORS[compression](PLAIN))
    return path


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    path = tmp_path / "plain.tar.gz"  # the name is a lie, and nobody asks it
    path.write_bytes(PLAIN)
    return path


def descriptors() -> list[str]:
    """Return the open descriptors, if the system lists them."""
    table = Path("/proc/self/fd")
    return sorted(entry.name for entry in table.iterdir()) if table.is_dir() else []


def opened(*parts: bytes) -> Archive:
    return Archive.from_stream(io.BytesIO(b"".join(parts) + END), where="app.tar")


@pytest.mark.parametrize("through_pipe", [False, True], ids=["file", "pipe"])
def test_files_pipes_and_compressed_archives_read_alike(packed: Path, through_pipe: bool) -> None:
    with packed.open("rb") as raw:
        archive = Archive.from_stream(raw) if through_pipe else Archive.open(packed)
        with archive:
            assert archive.compression.name == packed.name
            assert archive.size == packed.stat().st_size
            assert archive.random_access is (archive.compression is Compression.NONE)
            assert archive.read("./manifest.json", 100) == b"[]"
            for name, content in (
                ("b/layer.tar", SECOND),
                ("a/layer.tar", LAYER),
                ("c/layer.tar", LAYER),
            ):
                member = archive.find(name)
                assert member is not None
                assert member.size == len(content)
                with archive.open_member(member) as stream:
                    assert stream.read() == content
            assert (archive.trailer, archive.trailing, archive.duplicates) == (True, 0, ())


def test_a_compressed_archive_is_decompressed_once_more_when_read_in_order(
    packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = 0

    def counting(stream: Readable, compression: Compression, *, where: str | None) -> ChunkReader:
        nonlocal started
        started += 1
        return decompress(stream, compression, where=where)

    monkeypatch.setattr("tarkit.tar.archive.decompress", counting)
    with Archive.open(packed) as archive:
        passes = started
        for member in archive.members:
            if member.type.has_data:
                archive.open_member(member).read()
        assert started == passes
        archive.open_member(archive.members[0]).read(1)
        assert started == (0 if archive.random_access else passes + 1)


def test_members_of_a_compressed_archive_can_be_read_side_by_side(packed: Path) -> None:
    with Archive.open(packed) as archive:
        first, second = (archive.open_member(archive.members[n]) for n in (0, 1))
        step = 600_000
        pieces: tuple[list[bytes], list[bytes]] = ([], [])
        while True:
            one, two = first.read(step), second.read(step)
            pieces[0].append(one)
            pieces[1].append(two)
            if not one and not two:
                break
        assert (b"".join(pieces[0]), b"".join(pieces[1])) == (LAYER, SECOND)


def test_threads_do_not_disturb_one_another(packed: Path) -> None:
    with Archive.open(packed) as archive:
        barrier = threading.Barrier(2)

        def read(number: int) -> bytes:
            barrier.wait()
            with archive.open_member(archive.members[number]) as stream:
                return stream.read()

        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(read, (0, 1))) == [LAYER, SECOND]


def test_a_member_of_a_plain_file_is_seekable(plain: Path) -> None:
    with Archive.open(plain) as archive, archive.open_member(archive.members[0]) as stream:
        assert stream.seekable()
        assert stream.seek(-10, os.SEEK_END) == len(LAYER) - 10
        assert stream.read() == LAYER[-10:]
        assert stream.seek(5) == stream.tell() == 5
        assert stream.seek(1, os.SEEK_CUR) == 6
        buffer = bytearray(4)
        assert stream.readinto(buffer) == 4  # type: ignore[attr-defined]
        assert bytes(buffer) == LAYER[6:10]
        stream.seek(len(LAYER) + 5)
        assert stream.read(10) == b""
        with pytest.raises(ValueError, match="negative position"):
            stream.seek(-1)


def test_a_member_of_a_compressed_file_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(gzip.compress(PLAIN, 1))
    with Archive.open(path) as archive, archive.open_member(archive.members[0]) as stream:
        assert not stream.seekable()
        with pytest.raises(io.UnsupportedOperation):
            stream.seek(0)


def test_closing_a_member_leaves_the_archive_open(plain: Path) -> None:
    with Archive.open(plain) as archive:
        archive.open_member(archive.members[0]).close()
        assert archive.open_member(archive.members[0]).read(3) == LAYER[:3]
        stream = archive.open_member(archive.members[0])
    with pytest.raises(ValueError, match="closed"):
        stream.read(1)


def test_an_archive_that_shrinks_is_truncated(plain: Path) -> None:
    with Archive.open(plain) as archive:
        os.truncate(plain, 1000)
        with pytest.raises(TruncatedError, match="truncated"):
            archive.open_member(archive.members[0]).read()


def test_without_its_data_only_small_members_can_be_read() -> None:
    with Archive.from_stream(io.BytesIO(PLAIN), keep_data=False, where="-") as archive:
        assert archive.read("manifest.json", 100) == b"[]"
        with pytest.raises(UnsupportedError, match="not kept"):
            archive.open_member(archive.members[0]).read()


def test_a_pipe_is_spooled_as_it_came(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    raw = gzip.compress(bytes(8 << 20) + b"x", 1)
    archive = gzip.compress(file(b"zeros", bytes(8 << 20)) + END)
    assert len(raw) < 1 << 20
    with Archive.from_stream(io.BytesIO(archive)) as opened_archive:
        assert opened_archive._file is not None
        assert os.fstat(opened_archive._file.fileno()).st_size == len(archive)
        assert list(tmp_path.iterdir()) == [], "the spool has no name"


@pytest.mark.parametrize("damage", ["truncated", "malformed", "trailing compressed garbage"])
def test_a_failing_pipe_leaves_no_descriptor_open(damage: str) -> None:
    raw = {
        "truncated": PLAIN[:5000],
        "malformed": block(checksum=b"0000000\0"),
        "trailing compressed garbage": gzip.compress(END, 1) + b"garbage",
    }[damage]
    before = descriptors()
    with pytest.raises((TruncatedError, MalformedError)):
        Archive.from_stream(io.BytesIO(raw))
    assert descriptors() == before


def test_a_full_disk_is_no_space(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.BytesIO):
        def write(self, data: object) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    spool = Full()
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: spool)
    with pytest.raises(NoSpaceError, match="spool") as caught:
        Archive.from_stream(io.BytesIO(PLAIN))
    assert caught.value.hint is not None
    assert "TMPDIR" in caught.value.hint
    assert spool.closed


def test_a_named_pipe_is_a_stream(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = threading.Thread(target=fifo.write_bytes, args=(PLAIN,))
    writer.start()
    with Archive.open(fifo) as archive:
        assert archive.open_member(archive.members[0]).read() == LAYER
    writer.join()


def test_open_errors_name_the_path(tmp_path: Path) -> None:
    with pytest.raises(PathNotFoundError):
        Archive.open(tmp_path / "missing.tar")
    with pytest.raises(TarkitError):
        Archive.open(tmp_path)


def test_a_file_that_is_no_archive_leaves_no_descriptor_open(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"hello world " * 100)
    with pytest.raises(MalformedError) as caught:  # an open file would be a ResourceWarning
        Archive.open(path)
    assert caught.value.where is not None
    assert str(path) in caught.value.where


def test_copies_of_a_name_must_agree() -> None:
    with opened(file(b"manifest.json", b"[1]"), file(b"./manifest.json", b"[1]")) as archive:
        assert archive.read("manifest.json", 10) == b"[1]"
        assert archive.duplicates == (b"manifest.json",)
        assert len(archive.candidates("manifest.json")) == 2
    with (
        opened(file(b"manifest.json", b"[1]"), file(b"./manifest.json", b"[2]")) as archive,
        pytest.raises(MalformedError, match=r"has two different manifest\.json"),
    ):
        archive.read("manifest.json", 10)


def test_copies_behind_a_link_must_agree_too() -> None:
    link = block(b"manifest.json", flag=b"2", linkname=b"real")
    with (
        opened(file(b"real", b"[1]"), link, file(b"real", b"[2]")) as archive,
        pytest.raises(MalformedError, match="two different"),
    ):
        archive.read("manifest.json", 10)


def test_metadata_is_limited_before_it_is_read() -> None:
    huge = pax_1_0([], 1 << 50, b"")
    with opened(file(b"big", b"x" * 11), huge) as archive:
        assert archive.read("big", 11) == b"x" * 11
        for name in ("big", "sparse"):
            with pytest.raises(LimitExceededError) as caught:
                archive.read(name, 10)
            assert caught.value.limit == 10


def test_missing_members_and_directories_are_errors() -> None:
    with opened(block(b"dir/", flag=b"5"), block(b"dev", flag=b"3")) as archive:
        assert archive.find("nothing") is None
        with pytest.raises(MemberNotFoundError, match="nothing"):
            archive.read("nothing", 10)
        for name in ("dir", "dev"):
            with pytest.raises(MalformedError, match="not a file"):
                archive.read(name, 10)


@pytest.mark.parametrize("keep_each", [0, 1 << 20])
def test_sparse_members_are_expanded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep_each: int
) -> None:
    monkeypatch.setattr(index_module, "KEEP_EACH", keep_each)
    path = tmp_path / "a"
    for pack in (bytes, gzip.compress):
        path.write_bytes(pack(pax_1_0(MAP, SIZE, DATA) + END))
        with Archive.open(path) as archive:
            assert archive.read("sparse", SIZE) == LOGICAL


def test_endings_are_noted(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(file(b"a"))
    with Archive.open(path) as archive:
        assert not archive.trailer
    path.write_bytes(gzip.compress(file(b"a") + END + b"garbage"))
    with Archive.open(path) as archive:
        assert (archive.trailer, archive.trailing) == (True, 7)


def test_long_names_are_found(tmp_path: Path) -> None:
    name = b"d/" * 300 + b"file"
    with opened(pax((b"path", name)), file(b"short", b"x")) as archive:
        assert archive.read(name, 1) == b"x"


def test_every_archive_of_the_corpus_reads_alike_as_file_and_pipe(corpus: Path) -> None:
    paths = sorted(corpus.glob("*.tar"))
    assert len(paths) > 10
    for path in paths:
        with (
            path.open("rb") as raw,
            Archive.open(path) as in_place,
            Archive.from_stream(raw) as piped,
        ):
            assert in_place.members == piped.members
            assert (in_place.trailer, in_place.trailing) == (True, 0)
            for member in in_place.members:
                if member.type.has_data:
                    content = in_place.open_member(member).read()
                    assert content == piped.open_member(member).read()
                    assert len(content) == member.size
