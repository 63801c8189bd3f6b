"""Images as e2fsprogs and the kernel see them."""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tarkit.errors import NoSpaceError
from tarkit.ext4 import Ext4Options, Ext4Writer, Node, Profile, Region, SizePolicy
from tarkit.ext4.dirhash import hash_names
from tests.conformance.tools import find_tool, unavailable
from tests.ext4.trees import REGULAR, Tree, directory, every_kind, expected, seen

MIB = 1024 * 1024
CLEAN = re.compile(
    r"Pass 1: .*\nPass 2: .*\nPass 3: .*\nPass 4: .*\nPass 5: .*\n\S+: \d+/\d+ files .*blocks\n"
)
PROFILES: tuple[Profile, ...] = ("default", "ro", "compat")

Check: TypeAlias = Callable[[Path], None]


@pytest.fixture(scope="session")
def check() -> Check:
    """e2fsck has nothing to say about an image."""
    e2fsck = find_tool("e2fsck")

    def run(image: Path) -> None:
        assert CLEAN.fullmatch(e2fsck("-fn", image))

    return run


@contextmanager
def mounted(image: Path, *options: str) -> Iterator[Path]:
    """Where *image* is mounted while the block runs."""
    if os.geteuid() != 0:
        unavailable("mounting needs root")
    place = image.with_suffix(".mounted")
    place.mkdir()
    find_tool("mount")("-o", ",".join(("loop", "noatime", *options)), image, place)
    try:
        yield place
    finally:
        find_tool("umount")(place)
        place.rmdir()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return tmp_path / "image.ext4"


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("size", ["auto", "min", 1024 * MIB])
def test_everything_is_as_it_was_put_in(
    image: Path, check: Check, profile: Profile, size: SizePolicy
) -> None:
    tree = every_kind()
    tree.write(image, Ext4Options(profile=profile, size=size))
    check(image)
    with mounted(image, "ro") as place:
        assert seen(place) == expected(tree)


@pytest.mark.parametrize("profile", PROFILES)
def test_a_mounted_image_can_be_changed(image: Path, check: Check, profile: Profile) -> None:
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
def nodes(draw: st.DrawFn, tree: Tree, children: st.SearchStrategy[Node] | None) -> Node:
    """A node of any kind; with *children*, a directory."""
    kinds = [stat.S_IFREG, stat.S_IFLNK, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR]
    kind = stat.S_IFDIR if children is not None else draw(st.sampled_from(kinds))
    node = Node(
        mode=kind | (0o777 if kind == stat.S_IFLNK else draw(st.integers(0, 0o7777))),
        uid=draw(st.integers(0, 2**32 - 2)),
        gid=draw(st.integers(0, 2**32 - 2)),
        mtime=draw(times),
        atime=draw(st.none() | times),
        ctime=draw(st.none() | times),
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
def test_any_tree_is_as_it_was_put_in(
    tree: Tree, profile: Profile, check: Check, tmp_path_factory: pytest.TempPathFactory
) -> None:
    image = tmp_path_factory.mktemp("any") / "image.ext4"
    tree.write(image, Ext4Options(profile=profile))
    check(image)
    with mounted(image, "ro") as place:
        assert seen(place) == expected(tree)
    image.unlink()


@pytest.mark.parametrize("profile", ["default", "compat"])
@pytest.mark.parametrize(("count", "width", "levels"), [(50_000, 20, 0), (10_000, 255, 1)])
def test_a_large_directory_is_indexed(
    image: Path, check: Check, profile: Profile, count: int, width: int, levels: int
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


def test_many_tiny_files(image: Path, check: Check) -> None:
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


def test_more_subdirectories_than_links_can_count(image: Path, check: Check) -> None:
    tree = Tree()
    tree.root = directory({b"%d" % i: directory({}) for i in range(70_000)})
    tree.write(image)
    check(image)
    with mounted(image) as place:
        assert place.stat().st_nlink == 1
        (place / "one more").mkdir()
        (place / "7").rmdir()
    check(image)


def test_a_sparse_file_of_60_gib(image: Path, check: Check) -> None:
    size = 60 * 1024 * MIB
    regions = [Region(0, 5), Region(30 * 1024 * MIB - 3, 6), Region(size - 1, 1)]
    with Ext4Writer.open(image) as fs:
        contents = fs.store([b"startmiddle!"], size, regions)
        fs.finish(directory({b"sparse": Node(mode=REGULAR, contents=contents)}))
    assert image.stat().st_size < 64 * MIB
    check(image)
    with mounted(image, "ro") as place, (place / "sparse").open("rb") as stream:
        assert os.fstat(stream.fileno()).st_size == size
        assert stream.read(8) == b"start\0\0\0"
        stream.seek(30 * 1024 * MIB - 4)
        assert stream.read(8) == b"\0middle\0"
        stream.seek(size - 2)
        assert stream.read() == b"\0!"


def test_a_file_whose_map_takes_several_levels(image: Path, check: Check) -> None:
    pieces = 120_000
    regions = [Region(i * 8192, 4) for i in range(pieces)]
    with Ext4Writer.open(image) as fs:
        data = [i.to_bytes(4, "little") for i in range(pieces)]
        contents = fs.store(data, pieces * 8192, regions)
        fs.finish(directory({b"holes": Node(mode=REGULAR, contents=contents)}))
    check(image)
    with mounted(image) as place:
        with (place / "holes").open("rb") as stream:
            for i in (0, 1, 339, 340, 115_599, 115_600, pieces - 1):
                stream.seek(i * 8192)
                assert stream.read(8) == i.to_bytes(8, "little")
        (place / "holes").unlink()
    check(image)


def test_names_of_one_hash_in_two_leaves(image: Path, check: Check) -> None:
    options = Ext4Options(size=64 * MIB)
    first_leaf = (4096 - 12) // 28
    candidates = [b"%020d" % i for i in range(150_000)]
    hashes = [value >> 32 for value in hash_names(candidates, options.hash_seed)]
    order = sorted(range(len(candidates)), key=hashes.__getitem__)
    twin = next(
        i for i in range(first_leaf, len(order)) if hashes[order[i]] == hashes[order[i - 1]]
    )
    crowd = [candidates[i] for i in order[twin - first_leaf : twin + 100]]
    tree = Tree(directory({b"crowd": directory({name: Node(mode=REGULAR) for name in crowd})}))
    tree.write(image, options)
    check(image)
    dump = find_tool("debugfs")("-R", "htree_dump crowd", image)
    assert f"Entry #1: Hash {hashes[order[twin]] | 1:#010x}" in dump
    with mounted(image) as place:
        assert all((place / "crowd" / name.decode()).exists() for name in crowd)
        assert not (place / "crowd" / "somebody else").exists()


def test_names_of_any_bytes_are_found_by_their_hash(image: Path, check: Check) -> None:
    names = [bytes([high, low]) * 20 for high in range(128, 256) for low in range(48, 128)]
    tree = Tree(directory({b"d": directory({name: Node(mode=REGULAR) for name in names})}))
    tree.write(image)
    check(image)
    with mounted(image, "ro") as place:
        assert all(os.path.lexists(os.fsencode(place) + b"/d/" + name) for name in names)


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


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("size", ["auto", 1024 * MIB])
def test_an_image_grows_and_shrinks(
    image: Path, check: Check, profile: Profile, size: SizePolicy
) -> None:
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


@pytest.mark.parametrize("size", [32 * MIB, 1000 * MIB, 10 * 1024 * MIB])
def test_the_features_are_those_of_mkfs(image: Path, tmp_path: Path, size: int) -> None:
    mkfs, dumpe2fs = find_tool("mkfs.ext4"), find_tool("dumpe2fs")
    other = tmp_path / "other"
    features = "^64bit,^orphan_file,^metadata_csum_seed"
    mkfs("-q", "-b", "4096", "-O", features, other, f"{size // 1024}k")
    Tree().write(image, Ext4Options(size=size))
    told = [r"^Filesystem features:.*", r"^Reserved GDT.*", r"^Total journal size.*", r"^Journal.*"]
    told += [r"^Block count.*", r"^Inode size.*", r"^Default mount options.*", r"^Flex block.*"]
    mine, theirs = dumpe2fs("-h", image), dumpe2fs("-h", other)
    for pattern in told:
        assert re.findall(pattern, mine, re.M) == re.findall(pattern, theirs, re.M)


def test_debugfs_gets_out_what_went_in(image: Path, tmp_path: Path) -> None:
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
def test_attributes_of_every_size(image: Path, check: Check, where: str) -> None:
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


def test_discarded_blocks_are_reused_and_blank(image: Path, check: Check) -> None:
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


def test_a_full_disk_is_no_space(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        unavailable("mounting needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    find_tool("mount")("-t", "tmpfs", "-o", "size=4m", "none", disk)
    try:
        with Ext4Writer.open(disk / "image") as fs, pytest.raises(NoSpaceError, match="No space"):
            fs.store([bytes(MIB)] * 10, 10 * MIB)
        with pytest.raises(NoSpaceError, match="No space"):
            Ext4Writer.open(disk / "image", Ext4Options(size=16 * MIB, sparse=False))
    finally:
        find_tool("umount")(disk)


def test_an_image_above_16_tib(check: Check, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        unavailable("mounting needs root")
    disk, tree = tmp_path / "disk", every_kind()
    disk.mkdir()
    find_tool("mount")("-t", "tmpfs", "-o", "size=1g", "none", disk)  # few others take such files
    try:
        tree.write(disk / "image", Ext4Options(size=17 * 2**40, profile="ro"))
        check(disk / "image")
        with mounted(disk / "image") as place:
            assert seen(place) == expected(tree)
            (place / "more").write_bytes(b"m" * MIB)
        check(disk / "image")
    finally:
        find_tool("umount")(disk)
