from __future__ import annotations

import hashlib
import random
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal
from uuid import UUID

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tarkit.errors import (
    MalformedError,
    NoSpaceError,
    SizeMismatchError,
    TruncatedError,
    UnsupportedError,
    VerificationError,
)
from tarkit.ext4 import (
    Ext4Node,
    Ext4Options,
    Ext4Profile,
    Ext4Writer,
    FileExtents,
    Percent,
    Region,
    data_size,
)
from tarkit.ext4.node import Extent
from tests.ext4.trees import REGULAR, Tree, directory, every_kind

MIB = 1024 * 1024
PROFILES: tuple[Ext4Profile, ...] = ("default", "ro", "compat")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "image.ext4"


def read(path: Path, contents: FileExtents) -> bytes:
    """Read *contents* from *path*, holes as zeros; the rest of each block must be zeros."""
    image = path.read_bytes()
    blocks = max((each.logical + each.count for each in contents.extents), default=0)
    data = bytearray(max(blocks * 4096, contents.size))
    for each in contents.extents:
        start, end = each.physical * 4096, (each.physical + each.count) * 4096
        data[each.logical * 4096 : (each.logical + each.count) * 4096] = image[start:end]
    assert not any(data[contents.size :])
    return bytes(data[: contents.size])


def cut(data: bytes, sizes: Iterator[int]) -> Iterator[bytes]:
    while data:
        size = next(sizes)
        yield data[:size]
        data = data[size:]


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 10 * MIB + 1])
def test_contents_are_in_the_image(path: Path, size: int) -> None:
    data = random.Random(size).randbytes(size)
    with Ext4Writer.open(path) as fs:
        contents = fs.store([data], size)
        fs.finish(directory({b"a": Ext4Node(mode=REGULAR, contents=contents)}))
    assert read(path, contents) == data


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 90_000), min_size=1, max_size=6))
@example([100_000, 36_000])  # in one stretch: no superblock's backup is in its way
def test_inodes_map_their_contents(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int]
) -> None:
    """Runs of blocks have any length; an extent has at most 32,768 blocks."""
    path = tmp_path_factory.mktemp("map") / "image.ext4"
    with Ext4Writer.open(path) as fs:
        stored = [fs.reserve(blocks * 4096) for blocks in sizes]
        names = (b"%d" % number for number in range(len(sizes)))
        nodes = [Ext4Node(mode=REGULAR, contents=contents) for contents in stored]
        fs.finish(directory(dict(zip(names, nodes, strict=True))))
    for number, contents in enumerate(stored, 12):  # behind lost+found, which is the first
        found = list(mapped_at(path, number))
        assert all(0 < extent.count <= 32768 for extent in found)
        assert [b for each in found for b in blocks_in(each)] == [
            b for each in contents.extents for b in blocks_in(each)
        ]


def mapped_at(path: Path, inode: int) -> Iterator[Extent]:
    """Return the extents of *inode*, which is in the first group and has no tree blocks."""
    with path.open("rb") as image:
        image.seek(4096 + 8)
        (table,) = struct.unpack("<I", image.read(4))
        image.seek(table * 4096 + (inode - 1) * 256 + 40)
        block = image.read(60)
    magic, entries, room, depth, _ = struct.unpack_from("<HHHHI", block)
    assert (magic, room, depth) == (0xF30A, 4, 0)
    for entry in range(entries):
        logical, count, high, low = struct.unpack_from("<IHHI", block, 12 + 12 * entry)
        yield Extent(logical, low | high << 32, count)


def blocks_in(extent: Extent) -> Iterator[tuple[int, int]]:
    """Return the block of the image for each block of the file."""
    logical = range(extent.logical, extent.logical + extent.count)
    return zip(logical, range(extent.physical, extent.physical + extent.count), strict=True)


def test_a_file_skips_a_backup(path: Path) -> None:
    chunk = b"abcdefgh" * (MIB // 8)
    with Ext4Writer.open(path) as fs:
        contents = fs.store([chunk] * 130, 130 * MIB)
        fs.finish(directory({b"a": Ext4Node(mode=REGULAR, contents=contents)}))
    before, after = contents.extents
    assert before.physical + before.count == 32768 < after.physical
    with path.open("rb") as image:
        image.seek(128 * MIB - 4096)
        assert image.read(4096) == chunk[:4096]
        assert image.read(0x3A)[-2:] == b"\x53\xef"
        image.seek(after.physical * 4096)
        assert image.read(4096) == chunk[:4096]


regions = st.lists(st.tuples(st.integers(0, 9_000), st.integers(0, 9_000)), max_size=12)


@given(gaps=regions, tail=st.integers(0, 9_000), chunk=st.integers(1, 5_000))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
def test_sparse_files_keep_their_holes(
    path: Path, gaps: list[tuple[int, int]], tail: int, chunk: int
) -> None:
    data, whole, places = b"", b"", []
    for hole, length in gaps:
        whole += bytes(hole)
        places.append(Region(len(whole), length))
        part = bytes(1 + (len(data) + i) % 255 for i in range(length))
        data, whole = data + part, whole + part
    whole += bytes(tail)
    with Ext4Writer.open(path) as fs:
        chunks = (data[i : i + chunk] for i in range(0, len(data), chunk))
        contents = fs.store(chunks, len(whole), places)
        fs.finish(directory({b"a": Ext4Node(mode=REGULAR, contents=contents)}))
    assert read(path, contents) == whole
    touched = {
        block for r in places if r.length for block in range(r.offset // 4096, -(-r.end // 4096))
    }
    assert sum(extent.count for extent in contents.extents) == len(touched)


patterns = st.lists(st.booleans(), max_size=40).map(
    lambda blocks: b"".join((b"data" if each else bytes(4)) * 1024 for each in blocks)
)


@given(whole=patterns, tail=st.integers(0, 5_000), chunk=st.integers(1, 9_000))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
def test_blocks_of_zeros_are_holes(path: Path, whole: bytes, tail: int, chunk: int) -> None:
    whole += b"t" * tail
    with Ext4Writer.open(path) as fs:
        chunks = (whole[i : i + chunk] for i in range(0, len(whole), chunk))
        contents = fs.store(chunks, len(whole))
        fs.finish(directory({b"a": Ext4Node(mode=REGULAR, contents=contents)}))
    assert read(path, contents) == whole
    held = [at for at in range(0, len(whole), 4096) if any(whole[at : at + 4096])]
    assert [block * 4096 for each in contents.extents for block, _ in blocks_in(each)] == held
    assert data_size([whole], len(whole)) == 4096 * len(held)


def test_zeros_take_no_space(path: Path) -> None:
    with Ext4Writer.open(path, Ext4Options(size=4 * MIB, profile="ro")) as fs:
        contents = fs.store([bytes(MIB)] * 100 + [b"end"], 100 * MIB + 3)
        result = fs.finish(directory({b"a": Ext4Node(mode=REGULAR, contents=contents)}))
    assert result.used_bytes < MIB
    assert sum(extent.count for extent in contents.extents) == 1


@given(
    before=st.lists(st.integers(1, 6), max_size=6),
    discarded=st.sets(st.integers(0, 5)),
    whole=patterns,
    cuts=st.tuples(st.integers(1, 50_000), st.integers(1, 50_000)),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
def test_measured_data_gets_the_same_blocks(
    tmp_path: Path, before: list[int], discarded: set[int], whole: bytes, cuts: tuple[int, int]
) -> None:
    """Test this also with holes, and with another file reserved in between."""
    sizes = (data_size([whole], len(whole)), 4096)
    made = []
    for is_measured in (False, True):
        with Ext4Writer.open(tmp_path / "image") as fs:
            kept = [fs.store([b"k" * 4096] * blocks, 4096 * blocks) for blocks in before]
            for number in sorted(discarded & set(range(len(before)))):
                fs.discard(kept[number])
            chunks = [
                [data[i : i + cut] for i in range(0, len(data), cut)]
                for data, cut in zip((whole, b"small"), cuts, strict=True)
            ]
            if is_measured:
                reserved = [fs.reserve(size) for size in sizes]
                second = fs.fill(reserved[1], chunks[1], 5)
                first = fs.fill(reserved[0], chunks[0], len(whole))
            else:
                first = fs.store([whole], len(whole))
                second = fs.store(chunks[1], 5)
        made.append((first, second))
    assert made[0] == made[1]


@pytest.mark.parametrize("size", [4096, 3 * 4096])
def test_data_changed_after_measuring_is_an_error(path: Path, size: int) -> None:
    with Ext4Writer.open(path) as fs:
        reserved = fs.reserve(size)
        with pytest.raises(VerificationError, match="changed since they were measured"):
            fs.fill(reserved, [b"x" * 8192], 8192)
        with pytest.raises(ValueError, match="not stored"):
            fs.finish(directory({}))


def test_discarded_data_is_overwritten(path: Path) -> None:
    secret = b"the quick brown secret "
    with Ext4Writer.open(path) as fs:
        large = fs.store([secret * 100_000], 100_000 * len(secret))
        kept = [fs.store([b"kept"], 4)]
        small = [fs.store([secret * n], n * len(secret)) for n in range(1, 400)]
        kept.append(fs.store([b"kept too"], 8))
        for contents in [large, *small]:
            fs.discard(contents)
        kept += [fs.store([b"x" * n], n) for n in range(1, 20_000, 700)]
        nodes = {b"%d" % i: Ext4Node(mode=REGULAR, contents=each) for i, each in enumerate(kept)}
        result = fs.finish(directory(nodes))
    image = path.read_bytes()
    assert b"secret" not in image
    assert b"kept too" in image
    assert all(
        read(path, each) == b"x" * n
        for n, each in zip(range(1, 20_000, 700), kept[2:], strict=True)
    )
    assert result.size < 5 * MIB + 4 * MIB


def test_reserved_blocks_are_zeros_after_discards(path: Path) -> None:
    with Ext4Writer.open(path) as fs:
        fs.discard(fs.store([b"secret"] * 5_000, 30_000))
        empty = fs.reserve(30_000)
        fs.finish(directory({b"empty": Ext4Node(mode=REGULAR, contents=empty)}))
    assert read(path, empty) == bytes(30_000)
    assert b"secret" not in path.read_bytes()


@settings(max_examples=30, deadline=None)
@given(
    data=st.lists(st.integers(0, 30), max_size=30),
    discarded=st.sets(st.integers(0, 29)),
    directories=st.integers(0, 40),
    profile=st.sampled_from(PROFILES),
    size=st.sampled_from(["auto", 40 * MIB]),
)
def test_settled_bytes_do_not_change(
    tmp_path_factory: pytest.TempPathFactory,
    data: list[int],
    discarded: set[int],
    directories: int,
    profile: Ext4Profile,
    size: int | Literal["auto"],
) -> None:
    """They can be read while the rest is written."""
    path = tmp_path_factory.mktemp("settled") / "image.ext4"
    tree = every_kind()
    children = dict(tree.root.children)
    for number in range(directories):
        children[b"d%d" % number] = directory({b"in it": Ext4Node(mode=REGULAR)})
    children[b"large"] = directory({b"%0200d" % n: Ext4Node(mode=REGULAR) for n in range(50)})
    early: list[bytes] = []

    def on_settled(count: int) -> None:
        early.append(path.read_bytes()[:count])
        assert len(early[0]) == count

    with Ext4Writer.open(path, Ext4Options(profile=profile, size=size)) as fs:
        stored = [fs.store([b"x" * (blocks * 4096)], blocks * 4096) for blocks in data]
        for number, contents in enumerate(stored):
            if number in discarded:
                fs.discard(contents)
            else:
                children[b"f%d" % number] = Ext4Node(mode=REGULAR, contents=contents)
        for node, held in tree.data.items():
            node.contents = fs.store([held], len(held))
        fs.finish(directory(children), on_settled)
    assert path.read_bytes().startswith(early[0])
    assert b"\x53\xef" in early[0]  # a superblock is among it


def test_all_contents_are_settled_before_the_inodes(path: Path) -> None:
    """Nearly all of an image can be read while its inodes are written."""
    settled: list[int] = []
    with Ext4Writer.open(path) as fs:
        contents = fs.store([b"x" * (8 * MIB)], 8 * MIB)
        children = {b"d%d" % number: directory({}) for number in range(3000)}
        fs.finish(
            directory({**children, b"f": Ext4Node(mode=REGULAR, contents=contents)}), settled.append
        )
    (extent,) = contents.extents
    assert settled == [(extent.physical + extent.count) * 4096]


@pytest.mark.parametrize("profile", PROFILES)
def test_the_same_calls_give_the_same_bytes(tmp_path: Path, profile: Ext4Profile) -> None:
    digests = set()
    for attempt in range(3):
        tree, path = every_kind(), tmp_path / str(attempt)
        if attempt:
            reordered = dict(reversed(list(tree.root.children.items())))
            tree.root = replace(tree.root, children=reordered)
        random.seed(attempt)
        with Ext4Writer.open(path, Ext4Options(profile=profile, timestamp=9)) as fs:
            for node, data in tree.data.items():
                sizes = iter(lambda: random.randint(1, 5_000), None)
                node.contents = fs.store(cut(data, sizes), len(data))
            fs.finish(tree.root)
        digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
    assert len(digests) == 1


def test_options_change_the_bytes_and_the_result(path: Path) -> None:
    options = Ext4Options(label="root", size=32 * MIB, inodes=1_000, seed=b"s" * 32)
    result = Tree().write(path, options)
    image = path.read_bytes()
    assert len(image) == result.size == 32 * MIB
    assert image[1024 + 0x78 : 1024 + 0x88] == b"root".ljust(16, b"\0")
    assert UUID(bytes=image[1024 + 0x68 : 1024 + 0x78]) == result.uuid == options.volume_uuid
    assert result.blocks == 32 * MIB // 4096
    assert result.inodes >= 1_000
    assert result.inodes - result.free_inodes == 11
    assert result.used_bytes == (result.blocks - result.free_blocks) * 4096


@pytest.mark.parametrize("share", [0, 25, 90])
def test_the_requested_share_is_free(path: Path, share: int) -> None:
    tree = Tree()
    tree.root = directory({b"a": tree.file(b"a" * MIB)})
    result = tree.write(path, Ext4Options(free=Percent(share)))
    assert result.free_blocks * 100 >= result.blocks * share
    assert result.size % (2 * MIB) == 0


def test_images_are_sparse_by_default(tmp_path: Path) -> None:
    taken = {}
    for sparse in (True, False):
        path = tmp_path / str(sparse)
        Tree().write(path, Ext4Options(size=64 * MIB, sparse=sparse))
        taken[sparse] = path.stat().st_blocks * 512
    assert taken[True] < MIB
    assert taken[False] >= 64 * MIB
    assert (tmp_path / "True").read_bytes() == (tmp_path / "False").read_bytes()


def test_expect_refuses_data_that_cannot_fit(path: Path) -> None:
    with Ext4Writer.open(path, Ext4Options(size=16 * MIB)) as fs:
        fs.expect(data=10 * MIB, inodes=100)
        with pytest.raises(NoSpaceError, match="16777216 are allowed"):
            fs.expect(data=15 * MIB, inodes=100)
        with pytest.raises(NoSpaceError):
            fs.expect(data=0, inodes=40_000)
    assert path.stat().st_size == 0


@pytest.mark.parametrize("given", [[], [b"lost+found"]])
def test_expect_accepts_data_that_just_fits(path: Path, given: list[bytes]) -> None:
    """Use as many inodes as a group has, ten of which are reserved."""
    files = 32_768 - 11
    children = {b"%d" % number: Ext4Node(mode=REGULAR) for number in range(files)}
    children |= {name: directory({}) for name in given}
    options = Ext4Options(size=64 * MIB, profile="ro")
    with Ext4Writer.open(path, options) as fs:
        fs.expect(0, 1 + len(children))
        assert fs.finish(directory(children)).free_inodes == 0
    with Ext4Writer.open(path, options) as fs, pytest.raises(NoSpaceError):
        fs.finish(directory({**children, b"one more": Ext4Node(mode=REGULAR)}))


def test_data_that_does_not_fit_is_refused(path: Path) -> None:
    with Ext4Writer.open(path, Ext4Options(size=16 * MIB)) as fs:
        fs.store([b"x" * MIB] * 10, 10 * MIB)
        with pytest.raises(NoSpaceError, match="16777216 are allowed"):
            fs.store([b"x" * MIB] * 10, 10 * MIB)


def test_metadata_that_does_not_fit_is_refused(path: Path) -> None:
    tree = Tree()
    tree.root = directory({b"a": tree.file(b"x" * (15 * MIB))})
    with pytest.raises(NoSpaceError, match="16777216 are allowed"):
        tree.write(path, Ext4Options(size=16 * MIB))


def test_contents_must_have_the_given_size(path: Path) -> None:
    with Ext4Writer.open(path) as fs:
        with pytest.raises(TruncatedError, match="ends after 7 of 8 bytes"):
            fs.store([b"four", b"", b"thr"], 8)
        with pytest.raises(SizeMismatchError):
            fs.store([b"four", b"five!"], 8)
        with pytest.raises(SizeMismatchError):
            fs.store([b"", b"x"], 0)
        with pytest.raises(UnsupportedError):
            fs.store([], -1)
        assert fs.store([b"", b"x", b""], 1).size == 1


@pytest.mark.parametrize(
    "wrong",
    [
        [Region(0, 11)],
        [Region(5, 2), Region(3, 1)],
        [Region(0, 5), Region(4, 2)],
        [Region(3, -1)],
        [Region(-1, 2)],
    ],
)
def test_regions_must_be_in_order_and_inside(path: Path, wrong: list[Region]) -> None:
    with (
        Ext4Writer.open(path) as fs,
        pytest.raises(MalformedError, match="sparse file of 10 bytes"),
    ):
        fs.store([b"x" * 20], 10, wrong)


def test_stored_contents_must_belong_to_one_node(path: Path) -> None:
    with Ext4Writer.open(path) as fs:
        contents = fs.store([b"forgotten"], 9)
        with pytest.raises(ValueError, match="0 blocks of contents, but 1 are stored"):
            fs.finish(directory({}))
        two = [Ext4Node(mode=REGULAR, contents=contents) for _ in range(2)]
        with pytest.raises(ValueError, match="2 blocks of contents, but 1 are stored"):
            fs.finish(directory(dict(zip((b"a", b"b"), two, strict=True))))
        fs.store([b"another"], 7)
        with pytest.raises(ValueError, match="two nodes have the same contents"):
            fs.finish(directory(dict(zip((b"a", b"b"), two, strict=True))))


def test_after_an_error_there_is_no_file_system(path: Path) -> None:
    with Ext4Writer.open(path) as fs:
        with pytest.raises(TruncatedError):
            fs.store([b"short"], 100)
        assert fs.store([b"long"], 4).size == 4
        with pytest.raises(ValueError, match="1 files were not stored completely"):
            fs.finish(directory({}))


def test_times_out_of_range_are_counted(path: Path) -> None:
    ages = [-(2**31) * 10**9 - 1, -1, 0, 11_000_000_000 * 10**9, 2**34 * 10**9]
    nodes = {b"%d" % i: Ext4Node(mode=REGULAR, mtime=age) for i, age in enumerate(ages)}
    with Ext4Writer.open(path) as fs:
        assert fs.finish(directory(nodes)).clamped_times == 3


def test_errors_name_the_path(path: Path) -> None:
    bad = Ext4Node(mode=REGULAR, xattrs={b"com.apple.quarantine": b""})
    with Ext4Writer.open(path) as fs, pytest.raises(UnsupportedError, match="/d/bad: ext4 has no"):
        fs.finish(directory({b"d": directory({b"bad": bad})}))
