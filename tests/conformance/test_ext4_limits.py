"""Large ext4 images and images with many files, checked by e2fsprogs and the kernel."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tarkit.errors import NoSpaceError
from tarkit.ext4 import Ext4Node, Ext4Options, Ext4Profile, Ext4Writer, Region, SizePolicy
from tarkit.ext4.dirhash import hash_names
from tests.conformance.ext4_images import MIB, PROFILES, check, mounted
from tests.conformance.tools import find_tool, unavailable
from tests.ext4.trees import REGULAR, Tree, directory, every_kind, expected, seen


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return tmp_path / "image.ext4"


@pytest.mark.parametrize("profile", ["default", "compat"])
@pytest.mark.parametrize(("count", "width", "levels"), [(50_000, 20, 0), (10_000, 255, 1)])
def test_a_large_directory_is_indexed(
    image: Path, profile: Ext4Profile, count: int, width: int, levels: int
) -> None:
    tree = Tree()
    children = {b"%0*d" % (width, i): tree.file() for i in range(count)}
    tree.root = directory({b"large": directory(children)})
    tree.write(image, Ext4Options(profile=profile))
    check(image)
    assert f"Indirect levels: {levels}\n" in find_tool("debugfs")("-R", "htree_dump large", image)
    with mounted(image) as place:
        assert sum(1 for _ in (place / "large").iterdir()) == count
        assert all((place / "large" / name.decode()).exists() for name in list(children)[::101])
        for i in range(1_000):
            (place / "large" / f"another {i}").write_bytes(b"")
    check(image)


def test_names_of_one_hash_in_two_leaves(image: Path) -> None:
    options = Ext4Options(size=64 * MIB)
    first_leaf = (4096 - 12) // 28
    candidates = [b"%020d" % i for i in range(150_000)]
    hashes = [value >> 32 for value in hash_names(candidates, options.hash_seed)]
    order = sorted(range(len(candidates)), key=hashes.__getitem__)
    twin = next(
        i for i in range(first_leaf, len(order)) if hashes[order[i]] == hashes[order[i - 1]]
    )
    crowd = [candidates[i] for i in order[twin - first_leaf : twin + 100]]
    tree = Tree(directory({b"crowd": directory({name: Ext4Node(mode=REGULAR) for name in crowd})}))
    tree.write(image, options)
    check(image)
    dump = find_tool("debugfs")("-R", "htree_dump crowd", image)
    assert f"Entry #1: Hash {hashes[order[twin]] | 1:#010x}" in dump
    with mounted(image) as place:
        assert all((place / "crowd" / name.decode()).exists() for name in crowd)
        assert not (place / "crowd" / "somebody else").exists()


def test_names_of_any_bytes_are_found_by_their_hash(image: Path) -> None:
    names = [bytes([high, low]) * 20 for high in range(128, 256) for low in range(48, 128)]
    tree = Tree(directory({b"d": directory({name: Ext4Node(mode=REGULAR) for name in names})}))
    tree.write(image)
    check(image)
    with mounted(image, "ro") as place:
        assert all(os.path.lexists(os.fsencode(place) + b"/d/" + name) for name in names)


def test_many_tiny_files(image: Path) -> None:
    tree = Tree()
    tree.root = directory(
        {
            b"%d" % i: directory({b"%d" % j: tree.file(b"%d %d" % (i, j)) for j in range(150)})
            for i in range(1_000)
        }
    )
    result = tree.write(image, Ext4Options(size="min"))
    check(image)
    assert result.inodes >= 151_011
    with mounted(image, "ro") as place:
        assert (place / "999" / "149").read_bytes() == b"999 149"


def test_more_subdirectories_than_links_can_count(image: Path) -> None:
    tree = Tree()
    tree.root = directory({b"%d" % i: directory({}) for i in range(70_000)})
    tree.write(image)
    check(image)
    with mounted(image) as place:
        assert place.stat().st_nlink == 1
        (place / "one more").mkdir()
        (place / "7").rmdir()
    check(image)


def test_a_sparse_file_of_60_gib(image: Path) -> None:
    size = 60 * 1024 * MIB
    regions = [Region(0, 5), Region(30 * 1024 * MIB - 3, 6), Region(size - 1, 1)]
    with Ext4Writer.open(image) as fs:
        contents = fs.store([b"startmiddle!"], size, regions)
        fs.finish(directory({b"sparse": Ext4Node(mode=REGULAR, contents=contents)}))
    assert image.stat().st_size < 64 * MIB
    check(image)
    with mounted(image, "ro") as place, (place / "sparse").open("rb") as stream:
        assert os.fstat(stream.fileno()).st_size == size
        assert stream.read(8) == b"start\0\0\0"
        stream.seek(30 * 1024 * MIB - 4)
        assert stream.read(8) == b"\0middle\0"
        stream.seek(size - 2)
        assert stream.read() == b"\0!"


@pytest.mark.parametrize("profile", PROFILES)
def test_zeros_become_holes(image: Path, profile: Ext4Profile) -> None:
    tree = Tree()
    held = {
        b"all": bytes(3 * MIB),
        b"ends": b"a" * 5_000 + bytes(40 * MIB) + b"z",
        b"tail": b"t" * 9_000 + bytes(MIB + 1),
        b"many": (b"d" * 4096 + bytes(4096)) * 3_000,  # its extent tree needs extra blocks
        b"one": bytes(5),
    }
    tree.root = directory({name: tree.file(data) for name, data in held.items()})
    result = tree.write(image, Ext4Options(profile=profile, size=64 * MIB))
    assert result.used_bytes < 20 * MIB
    check(image)
    with mounted(image) as place:
        assert seen(place) == expected(tree)
        with (place / "ends").open("r+b") as stream:
            stream.seek(MIB)
            stream.write(b"in the hole")
        (place / "many").unlink()
    check(image)


@pytest.mark.parametrize("before", [0, 100_000, 170_000, 300_000])
def test_a_file_longer_than_an_extent(image: Path, before: int) -> None:
    """The file has 36,000 blocks, contiguous except for superblock backups; an extent has at most 32,768."""
    with Ext4Writer.open(image) as fs:
        first = fs.reserve(before * 4096)
        contents = fs.store((bytes([1 + i]) * MIB for i in range(141)), 141 * MIB)
        nodes = {b"first": first, b"long": contents}
        fs.finish(directory({k: Ext4Node(mode=REGULAR, contents=v) for k, v in nodes.items()}))
    check(image)
    with mounted(image, "ro") as place, (place / "long").open("rb") as stream:
        assert all(stream.read(MIB) == bytes([1 + i]) * MIB for i in range(141))
        assert not stream.read()


def test_a_file_whose_map_takes_several_levels(image: Path) -> None:
    pieces = 120_000
    regions = [Region(i * 8192, 4) for i in range(pieces)]
    with Ext4Writer.open(image) as fs:
        data = [i.to_bytes(4, "little") for i in range(pieces)]
        contents = fs.store(data, pieces * 8192, regions)
        fs.finish(directory({b"holes": Ext4Node(mode=REGULAR, contents=contents)}))
    check(image)
    with mounted(image) as place:
        with (place / "holes").open("rb") as stream:
            for i in (0, 1, 339, 340, 115_599, 115_600, pieces - 1):
                stream.seek(i * 8192)
                assert stream.read(8) == i.to_bytes(8, "little")
        (place / "holes").unlink()
    check(image)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("size", ["auto", 1024 * MIB])
def test_an_image_grows_and_shrinks(image: Path, profile: Ext4Profile, size: SizePolicy) -> None:
    resize2fs = find_tool("resize2fs")
    tree = every_kind()
    tree.root.children = {
        **tree.root.children,
        b"many": directory({b"%d" % i: tree.file(b"%d" % i * 3_000) for i in range(1_000)}),
    }
    tree.write(image, Ext4Options(profile=profile, size=size, inodes=20_000))
    for target in ("20G", "300M", "3G"):
        resize2fs("-f", image, target)
        check(image)
    with mounted(image, "ro") as place:
        assert seen(place) == expected(tree)


CLONE = ("tune2fs", "-U", "random")
OPTIMISE = ("e2fsck", "-fyD")
UPKEEP: dict[str, list[tuple[str, ...]]] = {
    "a new UUID": [CLONE, CLONE],
    "no UUID": [("tune2fs", "-U", "clear")],
    "directories optimised": [OPTIMISE, CLONE],
    "shrunk": [("resize2fs", "-fM"), CLONE],
    "grown and shrunk": [("resize2fs", "-f", "@", "700M"), CLONE, OPTIMISE, ("resize2fs", "-fM")],
    "other checksums": [("tune2fs", "-O", "^metadata_csum"), ("tune2fs", "-O", "metadata_csum")],
    "64bit": [("resize2fs", "-fb"), CLONE],
}


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("upkeep", UPKEEP)
def test_maintenance_tools_keep_the_image_intact(
    image: Path, profile: Ext4Profile, upkeep: str
) -> None:
    tree = every_kind()
    # the root of one index and a node of the other are as full as possible
    crowds = {b"506": crowd_of(506), b"509": crowd_of(509)}
    tree.root.children = {**tree.root.children, **crowds}
    tree.write(image, Ext4Options(profile=profile))
    for tool, *options in UPKEEP[upkeep]:
        command = [str(image) if option == "@" else option for option in options]
        done = find_tool(tool).attempt(*command, *([] if "@" in options else [image]))
        assert done.returncode in (0, 1), done.stderr  # e2fsck -D exits with 1
        assert "Please run" not in done.stdout + done.stderr
        check(image)
    with mounted(image) as place:
        for crowd in ("506", "509"):
            (place / crowd / "one more").write_bytes(b"")
            (place / crowd / "one more").unlink()
        assert seen(place).keys() == expected(tree).keys()
        assert (place / "several blocks").read_bytes() == bytes(range(256)) * 100
    check(image)


def crowd_of(leaves: int) -> Ext4Node:
    """Return a directory whose names fill so many blocks."""
    return directory(
        {(b"%07d" % i).ljust(248, b"n"): Ext4Node(mode=REGULAR) for i in range(leaves * 15)}
    )


def test_a_mounted_image_gets_another_uuid(image: Path) -> None:
    tree = every_kind()
    tree.write(image)
    with mounted(image) as place:
        (device,) = re.findall(r"/dev/loop\d+", find_tool("findmnt")("-no", "SOURCE", place))
        find_tool("tune2fs")("-U", "random", device)
        assert seen(place) == expected(tree)
    check(image)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(
    "blocks", [64, 2047, 2048, 32767, 32768, 32769, 32820, 33000, 65536 + 51, 98304 + 100]
)
def test_images_of_odd_sizes(image: Path, profile: Ext4Profile, blocks: int) -> None:
    result = Tree().write(image, Ext4Options(profile=profile, size=blocks * 4096))
    check(image)
    assert image.stat().st_size == blocks * 4096
    assert 0 <= blocks - result.blocks < 32768


def test_a_full_disk_is_no_space(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        unavailable("mounting needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    find_tool("mount")("-t", "tmpfs", "-o", "size=4m", "none", disk)
    try:
        with Ext4Writer.open(disk / "image") as fs, pytest.raises(NoSpaceError, match="No space"):
            fs.store([b"x" * MIB] * 40, 40 * MIB)  # more than the write buffers hold
        with pytest.raises(NoSpaceError, match="No space"):
            Ext4Writer.open(disk / "image", Ext4Options(size=16 * MIB, sparse=False))
    finally:
        find_tool("umount")(disk)


def test_an_image_above_16_tib(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        unavailable("mounting needs root")
    disk, tree = tmp_path / "disk", every_kind()
    disk.mkdir()
    # few other filesystems allow such large files
    find_tool("mount")("-t", "tmpfs", "-o", "size=1g", "none", disk)
    try:
        tree.write(disk / "image", Ext4Options(size=17 * 2**40, profile="ro"))
        check(disk / "image")
        with mounted(disk / "image") as place:
            assert seen(place) == expected(tree)
            (place / "more").write_bytes(b"m" * MIB)
        check(disk / "image")
    finally:
        find_tool("umount")(disk)
