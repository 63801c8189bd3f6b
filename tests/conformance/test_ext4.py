"""ext4 images, checked by e2fsprogs and the kernel."""

from __future__ import annotations

import os
import re
import shutil
import stat
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tarkit.ext4 import Ext4Node, Ext4Options, Ext4Profile, Ext4Writer, SizePolicy
from tarkit.ext4.dirhash import hash_names
from tests.conformance.ext4_images import MIB, PROFILES, check, mounted
from tests.conformance.tools import find_tool
from tests.ext4.trees import Tree, directory, every_kind, expected, seen


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return tmp_path / "image.ext4"


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("size", ["auto", "min", 1024 * MIB])
def test_e2fsprogs_reads_everything_that_was_written(
    image: Path, profile: Ext4Profile, size: SizePolicy
) -> None:
    tree = every_kind()
    tree.write(image, Ext4Options(profile=profile, size=size))
    check(image)
    with mounted(image, "ro") as place:
        assert seen(place) == expected(tree)


@pytest.mark.parametrize("profile", PROFILES)
def test_a_mounted_image_can_be_changed(image: Path, profile: Ext4Profile) -> None:
    tree = every_kind()
    many = {b"file %d" % i: tree.file(b"%d" % i) for i in range(2_000)}
    tree.root.children = {**tree.root.children, b"many": directory(many)}
    tree.write(image, Ext4Options(profile=profile, size=64 * MIB, inodes=10_000))
    with mounted(image) as place:
        for i in range(0, 2_000, 2):
            (place / "many" / f"file {i}").unlink()
        for i in range(3_000):
            (place / "many" / f"new {i}").write_bytes(b"new")
        (place / "large").write_bytes(bytes(range(256)) * 4_096)
        os.setxattr(place / "crowded", "user.more", b"x" * 40)
        shutil.rmtree(place / "guarded")
    check(image)
    with mounted(image, "ro") as place:
        assert len(list((place / "many").iterdir())) == 4_000
        assert (place / "large").read_bytes() == bytes(range(256)) * 4_096


names = st.binary(min_size=1, max_size=255).filter(
    lambda name: name not in (b".", b"..", b"lost+found") and not {0, 47} & set(name)
)
times = st.integers(-2_208_988_800 * 10**9, 16_725_225_600 * 10**9)
xattr_names = st.text("abcdefghij_.", min_size=1, max_size=40).map(
    lambda name: b"trusted." + name.encode()
)


@st.composite
def nodes(draw: st.DrawFn, tree: Tree, children: st.SearchStrategy[Ext4Node] | None) -> Ext4Node:
    """Generate a node of any kind, or a directory if *children* are given."""
    kinds = [stat.S_IFREG, stat.S_IFLNK, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR]
    kind = stat.S_IFDIR if children is not None else draw(st.sampled_from(kinds))
    node = Ext4Node(
        mode=kind | (0o777 if kind == stat.S_IFLNK else draw(st.integers(0, 0o7777))),
        uid=draw(st.integers(0, 2**32 - 2)),
        gid=draw(st.integers(0, 2**32 - 2)),
        mtime=draw(times),
        xattrs=draw(st.dictionaries(xattr_names, st.binary(max_size=200), max_size=4)),
        children=draw(st.dictionaries(names, children, max_size=8)) if children is not None else {},
    )
    if kind == stat.S_IFREG:
        tree.data[node] = draw(st.binary(max_size=20)) * draw(st.integers(0, 1_000))
    if kind == stat.S_IFLNK:
        node.target = draw(st.binary(min_size=1, max_size=200).filter(lambda path: 0 not in path))
    if kind == stat.S_IFCHR:
        node.major, node.minor = draw(st.integers(0, 4095)), draw(st.integers(0, 2**20 - 1))
    return node


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    tree = Tree()
    leaves = nodes(tree, None)
    tree.root = draw(nodes(tree, leaves | nodes(tree, leaves | nodes(tree, leaves))))
    return tree


@given(tree=trees(), profile=st.sampled_from(PROFILES))
@settings(max_examples=40, suppress_health_check=list(HealthCheck))
def test_e2fsprogs_reads_random_trees(
    tree: Tree, profile: Ext4Profile, tmp_path_factory: pytest.TempPathFactory
) -> None:
    image = tmp_path_factory.mktemp("any") / "image.ext4"
    tree.write(image, Ext4Options(profile=profile))
    check(image)
    with mounted(image, "ro") as place:
        assert seen(place) == expected(tree)
    image.unlink()


def test_hashes_are_those_of_e2fsprogs() -> None:
    debugfs = find_tool("debugfs")
    seed = UUID(int=0x0123456789ABCDEF0123456789ABCDEF)
    options = Ext4Options()
    words = tuple(int.from_bytes(seed.bytes[i : i + 4], "little") for i in (0, 4, 8, 12))
    names = ["a", "abcd", "x" * 31, "y" * 32, "z" * 33, "w" * 255, "größe", "ÿ" * 60]
    assert options.hash_seed != words
    for name, value in zip(
        names,
        hash_names([name.encode() for name in names], (words[0], words[1], words[2], words[3])),
        strict=True,
    ):
        # Algorithm 4 is half-MD4 of unsigned bytes.
        said = debugfs("-R", f"dx_hash -h 4 -s {seed} {name}")
        assert said.endswith(f" is {value >> 32:#x} (minor {value & 0xFFFFFFFF:#x})\n")


@pytest.mark.parametrize("size", [32 * MIB, 1000 * MIB, 10 * 1024 * MIB])
def test_the_features_are_those_of_mkfs(image: Path, tmp_path: Path, size: int) -> None:
    mkfs, dumpe2fs = find_tool("mkfs.ext4"), find_tool("dumpe2fs")
    other = tmp_path / "other"
    features = "^64bit,^orphan_file,metadata_csum_seed"
    mkfs("-q", "-b", "4096", "-O", features, other, f"{size // 1024}k")
    Tree().write(image, Ext4Options(size=size))
    told = [r"^Filesystem features:.*", r"^Reserved GDT.*", r"^Total journal size.*", r"^Journal.*"]
    told += [r"^Block count.*", r"^Inode size.*", r"^Default mount options.*", r"^Flex block.*"]
    mine, theirs = dumpe2fs("-h", image), dumpe2fs("-h", other)
    for pattern in told:
        assert re.findall(pattern, mine, re.M) == re.findall(pattern, theirs, re.M)


def test_debugfs_extracts_the_written_contents(image: Path, tmp_path: Path) -> None:
    tree = every_kind()
    tree.write(image, Ext4Options(timestamp=1_700_000_000))
    debugfs, out = find_tool("debugfs"), tmp_path / "out"
    out.mkdir()
    debugfs("-R", f"rdump / {out}", image)
    dumped = {path: each.digest for path, each in seen(out).items() if each.digest}
    assert dumped == {path: each.digest for path, each in expected(tree).items() if each.digest}
    said = debugfs("-R", "stat /owned", image)
    assert re.search(r"Mode:  06711 .*\nUser: 70000   Group: (-294967296|4000000000) ", said, re.S)
    assert "mtime: 0x499602d2:1d6f3454" in said
    assert "Device major/minor number: 259:70000" in debugfs("-R", "stat /disk", image)
    assert 'Fast link dest: "one byte"' in debugfs("-R", "stat /short", image)


@pytest.mark.parametrize("where", ["in the inode", "in a block", "in both"])
def test_attributes_of_every_size(image: Path, where: str) -> None:
    tree, sizes = Tree(), range(60) if where == "in the inode" else range(60, 4_000, 67)
    for size in sizes:
        node = tree.file()
        node.xattrs = {b"trusted.%d" % size: b"v" * size}
        if where == "in both":
            node.xattrs[b"user.s"] = b"small"
        tree.root.children = {**tree.root.children, b"%d" % size: node}
    tree.write(image)
    check(image)
    with mounted(image) as place:
        assert seen(place) == expected(tree)
        for size in sizes:
            os.removexattr(place / str(size), f"trusted.{size}")
            os.setxattr(place / str(size), "user.other", b"o" * (size // 2))
    check(image)


def test_times_from_1900_to_2500(image: Path) -> None:
    tree = Tree()
    tree.root = directory({b"%d" % y: tree.file(mtime=at(y)) for y in range(1900, 2501)})
    result = tree.write(image)
    assert result.clamped_times == len([*range(1900, 1902), *range(2311, 2379), *range(2447, 2501)])
    check(image)
    with mounted(image, "ro") as place:
        assert seen(place) == expected(tree)


def at(year: int) -> int:
    """Return the start of *year* plus some nanoseconds."""
    return int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) * 10**9 + 123_456_789


def test_discarded_blocks_are_reused_and_blank(image: Path) -> None:
    tree = every_kind()
    with Ext4Writer.open(image) as fs:
        hidden = [fs.store([b"secret" * n], 6 * n) for n in range(1, 5_000, 7)]
        for i, (node, data) in enumerate(tree.data.items()):
            fs.discard(hidden[i * 20])
            node.contents = fs.store([data], len(data))
        for contents in set(hidden) - {hidden[i * 20] for i in range(len(tree.data))}:
            fs.discard(contents)
        fs.finish(tree.root)
    check(image)
    assert b"secret" not in image.read_bytes()
    with mounted(image, "ro") as place:
        assert seen(place) == expected(tree)
