"""Every codec in both directions: complete, in several members, truncated, corrupt."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import cast

import pytest
import zstandard

from tarkit.errors import (
    MalformedError,
    RefusedError,
    TruncatedError,
    UnsupportedError,
    UsageError,
)
from tarkit.streams.chunks import chunks_of
from tarkit.streams.codecs import SNIFF_SIZE, Compression, compress, decompress, detect
from tarkit.streams.members import (
    Codec,
    Decompressor,
    MemberReader,
    bzip2_codec,
    gzip_codec,
    xz_codec,
)
from tests.builders import noise

TEXT = b"".join(b"line %d of a text that packs well\n" % number for number in range(9_000))
PACK: dict[Compression, Callable[[bytes], bytes]] = {
    Compression.GZIP: gzip.compress,
    Compression.BZIP2: bz2.compress,
    Compression.XZ: lambda data: lzma.compress(data, preset=0),
    Compression.ZSTD: lambda data: zstandard.ZstdCompressor(write_checksum=True).compress(data),
}
UNPACK: dict[Compression, Callable[[bytes], bytes]] = {
    Compression.GZIP: gzip.decompress,
    Compression.ZSTD: lambda data: (
        zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data)).read()
    ),
}
every_codec = pytest.mark.parametrize("codec", PACK)


@pytest.fixture(params=["isal", "zlib"])
def gzip_library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The library that decompresses gzip: isal, or zlib if isal is not installed."""
    if request.param == "zlib":
        monkeypatch.setitem(sys.modules, "isal", None)
    else:
        pytest.importorskip("isal")
    return str(request.param)


class Dripping(io.BytesIO):
    """A stream that returns an arbitrary part of the requested bytes."""

    def __init__(self, data: bytes, most: int) -> None:
        super().__init__(data)
        self._random, self._most = random.Random(most), most

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(self._random.randint(1, min(self._most, size or self._most)))


def unpacked(data: bytes, codec: Compression) -> bytes:
    return decompress(io.BytesIO(data), codec).read()


@every_codec
def test_output_of_other_libraries_is_read(codec: Compression) -> None:
    packed = PACK[codec](TEXT)
    assert detect(packed[:SNIFF_SIZE]) is codec
    assert unpacked(packed, codec) == TEXT


@every_codec
def test_compressed_nothing_is_nothing(codec: Compression) -> None:
    assert unpacked(PACK[codec](b""), codec) == b""


@every_codec
def test_several_members_are_one_stream(codec: Compression) -> None:
    pack = PACK[codec]
    packed = pack(TEXT) + pack(b"") + pack(b"tail")
    assert unpacked(packed, codec) == TEXT + b"tail"


@every_codec
def test_input_in_drips(codec: Compression) -> None:
    packed = PACK[codec](TEXT) + PACK[codec](b"tail")
    assert decompress(Dripping(packed, 9_777), codec).read() == TEXT + b"tail"


@every_codec
def test_a_bomb_comes_in_bounded_pieces(codec: Compression) -> None:
    packed = PACK[codec](bytes(16 << 20))
    stream = decompress(io.BytesIO(packed), codec)
    total = 0
    while chunk := stream.read(1 << 30):
        assert len(chunk) <= 1 << 20
        total += len(chunk)
    assert total == 16 << 20


@every_codec
def test_cut_short_anywhere(codec: Compression) -> None:
    packed = PACK[codec](b"a short text" * 3)
    for length in range(1, len(packed)):
        with pytest.raises(TruncatedError, match="cut short"):
            unpacked(packed[:length], codec)


@every_codec
def test_cut_short_in_the_second_member(codec: Compression) -> None:
    first, second = PACK[codec](TEXT), PACK[codec](noise(5000))
    with pytest.raises(TruncatedError):
        unpacked(first + second[:-9], codec)


@every_codec
@pytest.mark.parametrize(
    "junk", [b"!", b"no", b"\n\n\n", b"junk", b"five!", b"what is this? " * 9, b"x" * (3 << 20)]
)
@pytest.mark.parametrize("members", [1, 2])
def test_other_data_after_a_member_is_not_called_cut_short(
    codec: Compression, junk: bytes, members: int
) -> None:
    with pytest.raises(MalformedError, match="complete, but other data follows it"):
        unpacked(PACK[codec](TEXT) * members + junk, codec)


@every_codec
def test_a_corrupt_stream_says_where(codec: Compression) -> None:
    packed = bytearray(PACK[codec](noise(200_000)))
    packed[len(packed) // 2] ^= 0xFF
    packed[len(packed) // 2 + 1] ^= 0xFF
    with pytest.raises(MalformedError, match=r"^the layer: the \w+ stream is corrupt") as caught:
        decompress(io.BytesIO(packed), codec, where="the layer").read()
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("gzip_library")
class TestGzipWithEitherLibrary:
    def test_members_in_drips(self) -> None:
        packed = gzip.compress(TEXT) + gzip.compress(b"") + gzip.compress(noise(50_000))
        data = decompress(Dripping(packed, 313), Compression.GZIP).read()
        assert data == TEXT + noise(50_000)

    def test_names_comments_and_extra_fields(self) -> None:
        output = io.BytesIO()
        with gzip.GzipFile("name.txt", "wb", fileobj=output) as file:
            file.write(TEXT)
        assert unpacked(output.getvalue(), Compression.GZIP) == TEXT

    def test_cut_short_anywhere(self) -> None:
        packed = gzip.compress(b"a short text" * 3)
        for length in range(1, len(packed)):
            with pytest.raises(TruncatedError):
                unpacked(packed[:length], Compression.GZIP)

    @pytest.mark.parametrize("back", [1, 5])
    def test_a_wrong_checksum_or_length(self, back: int) -> None:
        packed = bytearray(gzip.compress(TEXT))
        packed[-back] ^= 1
        with pytest.raises(MalformedError):
            unpacked(bytes(packed), Compression.GZIP)

    def test_a_bomb_comes_in_bounded_pieces(self) -> None:
        stream = decompress(io.BytesIO(gzip.compress(bytes(8 << 20))), Compression.GZIP)
        assert max(map(len, iter(lambda: stream.read(1 << 30), b""))) <= 1 << 20

    @pytest.mark.parametrize("level", [None, 0, 1, 6, 9])
    def test_a_round_trip_preserves_the_content(self, level: int | None, fresh_codec: None) -> None:
        packed = compress(io.BytesIO(TEXT), Compression.GZIP, level=level).read()
        assert gzip.decompress(packed) == TEXT


@pytest.fixture
def fresh_codec() -> None:
    """Clear the cached choice of the gzip library, which is made once per process."""
    from tarkit.streams.gzip import _codec

    _codec.cache_clear()


@pytest.fixture(autouse=True, scope="module")
def forget_the_codec() -> object:
    yield
    from tarkit.streams.gzip import _codec

    _codec.cache_clear()


@pytest.mark.parametrize("codec", UNPACK)
@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 5_000_000])
def test_a_round_trip_preserves_the_content(codec: Compression, size: int) -> None:
    data = (noise(10_000) * 501)[:size]
    packed = compress(io.BytesIO(data), codec).read()
    assert UNPACK[codec](packed) == data
    assert unpacked(packed, codec) == data


@pytest.mark.parametrize("codec", UNPACK)
def test_chunks_of_input_do_not_change_the_output(codec: Compression) -> None:
    data = TEXT * 4 + noise(1_500_000) + TEXT * 4
    whole = compress(io.BytesIO(data), codec).read()
    for most in (50_000, 1_000_003):
        assert compress(Dripping(data, most), codec).read() == whole


@pytest.mark.parametrize("codec", UNPACK)
def test_read_sizes_do_not_change_the_output(codec: Compression) -> None:
    whole = compress(io.BytesIO(TEXT), codec).read()
    stream = compress(io.BytesIO(TEXT), codec)
    assert b"".join(iter(lambda: stream.read(1000), b"")) == whole


@pytest.mark.parametrize("cpus", [1, 3, 16])
def test_gzip_is_the_same_with_any_number_of_workers(
    monkeypatch: pytest.MonkeyPatch, cpus: int
) -> None:
    from tarkit.streams import gzip as parallel

    data = TEXT * 12
    expected = compress(io.BytesIO(data), Compression.GZIP).read()
    monkeypatch.setattr("os.cpu_count", lambda: cpus)
    monkeypatch.setattr(parallel._Workers, "_executor", None)
    assert compress(io.BytesIO(data), Compression.GZIP).read() == expected
    executor = parallel._Workers._executor
    assert executor is not None
    executor.shutdown()


def test_zstd_is_the_same_with_any_number_of_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    data = TEXT * 12 + noise(3_000_000)
    expected = compress(io.BytesIO(data), Compression.ZSTD).read()
    for cpus in (1, 16):
        monkeypatch.setattr("os.cpu_count", lambda cpus=cpus: cpus)
        assert compress(io.BytesIO(data), Compression.ZSTD).read() == expected


def test_gzip_carries_no_time_name_or_system() -> None:
    packed = compress(io.BytesIO(TEXT), Compression.GZIP).read()
    assert packed[:10] == b"\x1f\x8b\x08\0\0\0\0\0\0\xff"


def test_zstd_level_12_is_smaller_than_level_1() -> None:
    words = [noise(5, seed) for seed in range(500)]
    text = b"".join(random.Random(0).choices(words, k=50_000))
    sizes = [
        len(compress(io.BytesIO(text), Compression.ZSTD, level=level).read()) for level in (1, 12)
    ]
    assert sizes[1] < sizes[0]


@pytest.mark.parametrize(
    ("codec", "level"),
    [
        (Compression.GZIP, 10),
        (Compression.GZIP, -1),
        (Compression.ZSTD, 23),
        (Compression.ZSTD, -1),
    ],
)
def test_unknown_levels_are_usage_errors(codec: Compression, level: int) -> None:
    with pytest.raises(UsageError, match=f"{codec.value} has the levels 0 to"):
        compress(io.BytesIO(), codec, level=level)


@pytest.mark.parametrize("codec", [Compression.BZIP2, Compression.XZ])
def test_read_only_codecs_are_unsupported(codec: Compression) -> None:
    with pytest.raises(UnsupportedError, match=f"does not write {codec.value}"):
        compress(io.BytesIO(), codec)


def test_no_compression_is_the_stream_as_it_is() -> None:
    assert compress(io.BytesIO(TEXT), Compression.NONE).read() == TEXT
    assert decompress(io.BytesIO(TEXT), Compression.NONE).read() == TEXT


@pytest.mark.parametrize("head", [b"", b"\x1f", b"BZ", b"ustar", b"\xfd7zX", b"\x60\x2a\x4d\x18"])
def test_uncompressed_data_is_detected(head: bytes) -> None:
    assert detect(head) is Compression.NONE


def test_a_skippable_frame_is_detected_as_zstd() -> None:
    for number in range(16):
        assert detect(bytes([0x50 + number]) + b"\x2a\x4d\x18") is Compression.ZSTD


def test_xz_padding_between_and_after_streams() -> None:
    packed = lzma.compress(b"one") + bytes(8) + lzma.compress(b"two") + bytes(4)
    assert unpacked(packed, Compression.XZ) == b"onetwo"


def test_an_xz_that_needs_too_much_memory_is_refused() -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 192 << 20, "preset": 0}]
    packed = lzma.compress(b"small", filters=filters)
    with pytest.raises(UnsupportedError, match="more than 128 MiB"):
        unpacked(packed, Compression.XZ)


def zstd_frame(window: int, data: bytes = b"small") -> bytes:
    """Return a frame of one raw block with a *window* that no codec needs to allocate."""
    exponent = window.bit_length() - 1
    mantissa = (window - (1 << exponent)) * 8 >> exponent
    header = bytes([0, exponent - 10 << 3 | mantissa])
    return b"\x28\xb5\x2f\xfd" + header + (len(data) << 3 | 1).to_bytes(3, "little") + data


def zstd_segment(size: int) -> bytes:
    """Return the beginning of a single-segment frame, whose window is its *size* in bytes."""
    return b"\x28\xb5\x2f\xfd" + b"\xe0" + size.to_bytes(8, "little") + b"\x02\0\0x"


@pytest.mark.parametrize("window", [1 << 10, 128 << 20, 144 << 20, 256 << 20, 480 << 20, 512 << 20])
def test_zstd_windows_up_to_512_mib_are_read(window: int) -> None:
    assert unpacked(zstd_frame(window), Compression.ZSTD) == b"small"


@pytest.mark.parametrize(
    ("packed", "size"),
    [
        (zstd_frame(576 << 20), 576),
        (zstd_frame(1 << 30), 1024),
        (zstd_frame(15 << 38), 15 << 18),
        (zstd_segment((512 << 20) + 1), 513),
        (zstd_frame(8 << 20) + zstd_frame(2 << 30), 2048),
    ],
)
def test_larger_zstd_windows_are_refused_by_name(packed: bytes, size: int) -> None:
    with pytest.raises(UnsupportedError, match=f"window of {size} MiB.*up to 512 MiB"):
        unpacked(packed, Compression.ZSTD)


def test_a_zstd_frame_with_a_dictionary_is_not_called_corrupt() -> None:
    samples: list[bytes | bytearray | memoryview] = [
        b"sample number %d of what is common" % number for number in range(1000)
    ]
    words = zstandard.train_dictionary(1000, samples)
    packed = zstandard.ZstdCompressor(dict_data=words).compress(bytes(samples[0]))
    with pytest.raises(UnsupportedError, match="dictionary"):
        unpacked(packed, Compression.ZSTD)


def test_lack_of_memory_is_not_a_malformed_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    error = "zstd decompress error: Allocation error : not enough memory"

    class Reader:
        def read(self, size: int) -> bytes:
            raise zstandard.ZstdError(error)

    stream = decompress(io.BytesIO(zstd_frame(1 << 20)), Compression.ZSTD)
    monkeypatch.setattr(stream, "_reader", Reader())
    with pytest.raises(RefusedError, match="memory"):
        stream.read()


@pytest.mark.parametrize("codec", [Compression.GZIP, Compression.BZIP2, Compression.XZ])
def test_an_error_below_a_codec_passes_through(codec: Compression) -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise PermissionError("no")

    with pytest.raises(PermissionError):
        decompress(Failing(), codec).read()


class Counting:
    """A decompressor that counts its input and calls."""

    fed = calls = 0

    def __init__(self, inner: Decompressor) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def decompress(self, data: bytes, most: int) -> bytes:
        Counting.fed += len(data)
        Counting.calls += 1
        return self._inner.decompress(data, most)


@pytest.mark.parametrize("content", [b"", b"x"])
@pytest.mark.parametrize("new", [gzip_codec, bzip2_codec, xz_codec])
def test_many_small_members_take_linear_work(
    monkeypatch: pytest.MonkeyPatch, new: Callable[[], Codec], content: bytes
) -> None:
    codec = new()
    monkeypatch.setattr(Counting, "fed", 0)
    monkeypatch.setattr(Counting, "calls", 0)
    counted = replace(codec, new=lambda: cast(Decompressor, Counting(codec.new())))
    member, count = PACK[Compression(codec.name)](content), 3_000
    stream = MemberReader(io.BytesIO(member * count), counted, None)
    chunks = list(chunks_of(stream))
    assert b"".join(chunks) == content * count
    assert len(chunks) <= 1, "what is small is handed on together"
    assert Counting.calls <= 3 * count
    assert Counting.fed <= 2 * 1024 * count, "each member copies what follows it"


@pytest.mark.parametrize("gap", [b"", bytes(4), bytes(3 << 20)])
def test_members_and_padding_fall_on_any_border(gap: bytes) -> None:
    content = [noise(size) for size in (0, 1, 1023, 1024, 1025, 70_000, 3 << 20)]
    packed = gap.join(map(PACK[Compression.XZ], content))
    assert unpacked(packed, Compression.XZ) == b"".join(content)


@every_codec
def test_closing_closes_the_input(codec: Compression) -> None:
    below = io.BytesIO(PACK[codec](TEXT))
    with decompress(below, codec) as stream:
        stream.read(10)
    assert below.closed


COMPRESS_AFTER_A_FORK = """
import gzip, io, os, sys
from tarkit.streams.codecs import Compression, compress
def packed(): return b"".join(iter(lambda: stream.read(1 << 16), b""))
data = bytes(3 << 20)
stream = compress(io.BytesIO(data), Compression.GZIP)
assert gzip.decompress(packed()) == data
child = os.fork()
stream = compress(io.BytesIO(data), Compression.GZIP)
assert gzip.decompress(packed()) == data
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes do not fork here")
def test_a_forked_process_compresses_with_threads_of_its_own() -> None:
    command = [sys.executable, "-W", "ignore", "-c", COMPRESS_AFTER_A_FORK]
    subprocess.run(command, check=True, timeout=60)


class Poor:
    """A codec that runs out of memory."""

    eof = False
    needs_input = True

    def __init__(self, error: Exception) -> None:
        self._error = error

    def read(self, *_: object) -> bytes:
        raise self._error

    decompress = compress = flush = read


NO_MEMORY = {
    Compression.GZIP: MemoryError(),
    Compression.BZIP2: MemoryError(),
    Compression.XZ: MemoryError(),
    Compression.ZSTD: zstandard.ZstdError("zstd error: Allocation error : not enough memory"),
}


@pytest.mark.parametrize("codec", [Compression.GZIP, Compression.BZIP2, Compression.XZ])
def test_a_lack_of_memory_is_not_called_corruption(codec: Compression) -> None:
    stream = decompress(io.BytesIO(PACK[codec](TEXT)), codec)
    setattr(stream, "_decompressor", Poor(NO_MEMORY[codec]))  # noqa: B010  it is typed
    with pytest.raises(MemoryError):
        stream.read()


def test_a_compressor_without_memory_says_so() -> None:
    stream = compress(io.BytesIO(TEXT), Compression.ZSTD)
    setattr(stream, "_compressor", Poor(NO_MEMORY[Compression.ZSTD]))  # noqa: B010  it is typed
    with pytest.raises(MemoryError):
        stream.read()
