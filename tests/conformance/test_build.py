"""Built ext4 images, checked by the kernel, e2fsprogs and a booting machine."""

from __future__ import annotations

import errno
import os
import platform
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tarkit.artifacts.build import BuildResult, build_ext4
from tarkit.errors import NoSpaceError
from tarkit.ext4 import Ext4Options, Ext4Profile
from tarkit.rootfs.overlay.overlay import Overlay
from tests.artifacts.images import SECRET, every_form, image, layout, sparse_layer
from tests.builders import image_of, listing, squeeze
from tests.conformance.booting import BUSYBOX, boot
from tests.conformance.ext4_images import MIB, PROFILES, check, mounted
from tests.conformance.test_rootfs import LOCATIONS, comparable, recorded
from tests.conformance.tools import find_tool, unavailable
from tests.rootfs.layers import Item, directory, file, pack
from tests.rootfs.trees import Facts, facts_of_directory

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")

LOST_AND_FOUND = "/lost+found"


def facts_of(image: Path) -> Facts:
    """Mount *image* and return facts about its files, except lost+found."""
    with mounted(image, "ro") as place:
        facts = facts_of_directory(place)
    return {path: fact for path, fact in facts.items() if not path.startswith(LOST_AND_FOUND)}


def build(tmp_path: Path, *layers: bytes, options: Ext4Options | None = None) -> BuildResult:
    location = layout(tmp_path / "layout", image_of(layers), fast)
    return build_ext4(location, tmp_path / "image.ext4", options)


def fast(data: bytes) -> bytes:
    return squeeze(data) if len(data) < 64 * MIB else data


@pytest.mark.parametrize(("location", "name"), LOCATIONS)
def test_the_corpus_is_what_umoci_unpacked(
    corpus: Path, tmp_path: Path, location: str, name: str
) -> None:
    transport, _, path = location.partition(":")
    result = build_ext4(f"{transport}:{corpus / path}", tmp_path / "image.ext4")
    check(result.path)
    assert comparable(facts_of(result.path)) == recorded(corpus, name)
    assert result.notes == ()


@pytest.mark.parametrize("name", ["one", "two"])
def test_the_corpus_gives_one_image_a_tree(corpus: Path, tmp_path: Path, name: str) -> None:
    digests = set()
    for number, (location, held) in enumerate(LOCATIONS):
        if held == name:
            transport, _, path = location.partition(":")
            output = tmp_path / f"{number}.ext4"
            digests.add(build_ext4(f"{transport}:{corpus / path}", output).sha256)
    assert len(digests) == 1


@pytest.mark.parametrize("profile", PROFILES)
def test_an_image_can_be_written_to_and_resized(
    corpus: Path, tmp_path: Path, profile: Ext4Profile
) -> None:
    options = Ext4Options(profile=profile, free=16 * MIB, inodes=4_000)
    path = build_ext4(f"oci:{corpus / 'crane-oci'}", tmp_path / "image.ext4", options).path
    with mounted(path) as place:
        before = facts_of_directory(place)
        (place / "new").mkdir()
        for number in range(1_000):
            (place / "new" / str(number)).write_bytes(b"n" * number)
        shutil.rmtree(place / "usr")
    check(path)
    for size in ("300M", "40M"):
        find_tool("resize2fs")("-f", path, size)
        check(path)
    kept = {name for name in before if not name.startswith("/usr")}
    after = facts_of(path)
    assert kept - {LOST_AND_FOUND} <= after.keys()
    assert after["/new/999"]["size"] == 999


def test_hidden_layers_make_a_clean_image(tmp_path: Path) -> None:
    for number, location in enumerate(every_form(tmp_path, image()).values()):
        result = build_ext4(location, tmp_path / f"{number}.ext4")
        check(result.path)
        facts = facts_of(result.path)
        assert facts["/real/hidden"]["size"] == 4
        assert facts["/second"]["size"] == len(SECRET)
        assert not {"/etc/shadow", "/gone", "/gone/a", "/tmp/secret"} & facts.keys()


def many(names: Iterator[str], data: bytes = b"") -> bytes:
    """Return a layer with an empty directory for each name that ends with a slash, and a file for each other name."""
    return pack([directory(n[:-1]) if n.endswith("/") else file(n, data) for n in names])


def test_a_directory_of_50_000_files(tmp_path: Path) -> None:
    result = build(tmp_path, many(f"d/{number:020}" for number in range(50_000)))
    check(result.path)
    assert "Indirect levels: 0\n" in find_tool("debugfs")("-R", "htree_dump d", result.path)
    with mounted(result.path, "ro") as place:
        assert sum(1 for _ in (place / "d").iterdir()) == 50_000
        assert all((place / "d" / f"{number:020}").exists() for number in range(0, 50_000, 97))


def test_150_000_tiny_files(tmp_path: Path) -> None:
    names = (f"{number // 200}/{number}" for number in range(150_000))
    result = build(tmp_path, many(names, b"tiny"), options=Ext4Options(size="min"))
    check(result.path)
    with mounted(result.path, "ro") as place:
        assert (place / "749" / "149999").read_bytes() == b"tiny"
        assert sum(1 for _ in place.iterdir()) == 751


def test_70_000_subdirectories(tmp_path: Path) -> None:
    result = build(tmp_path, many(f"d/{number}/" for number in range(70_000)))
    check(result.path)
    with mounted(result.path, "ro") as place:
        assert (place / "d").stat().st_nlink == 1
        assert (place / "d" / "69999").is_dir()


def test_a_sparse_file_of_60_gib(tmp_path: Path) -> None:
    size = 60 * 1024 * MIB
    layer = sparse_layer("disk", size, {0: b"start", 50 * 1024 * MIB + 1: b"far", size: b""})
    result = build(tmp_path, layer)
    check(result.path)
    with mounted(result.path, "ro") as place, (place / "disk").open("rb") as stream:
        assert os.fstat(stream.fileno()).st_size == size
        assert os.fstat(stream.fileno()).st_blocks * 512 <= 3 * 4096
        stream.seek(50 * 1024 * MIB)
        assert stream.read(6) == b"\0far\0\0"


def test_4_gib_of_data(tmp_path: Path) -> None:
    if shutil.disk_usage(tmp_path).free < 12 << 30:
        pytest.skip("less than 12 GiB free")
    size, block = 4 << 30, os.urandom(MIB)
    result = build_ext4(dense_archive(tmp_path, size, block), tmp_path / "image.ext4")
    check(result.path)
    with mounted(result.path, "ro") as place, (place / "dense").open("rb") as stream:
        assert all(stream.read(MIB) == block for _ in range(size // MIB))
        assert not stream.read(1)


def dense_archive(directory: Path, size: int, block: bytes) -> str:
    """Write a docker-archive of one layer with a file of *size* bytes that repeats *block*."""
    import hashlib
    import io
    import json

    member = tarfile.TarInfo("dense")
    member.size = size
    hasher = hashlib.sha256()
    path = directory / "dense.tar"
    with path.open("wb") as output:
        outer = tarfile.TarInfo("layer.tar")
        outer.size = size + 3 * tarfile.BLOCKSIZE
        output.write(outer.tobuf())
        pieces = [member.tobuf(), *[block] * (size // len(block)), bytes(2 * tarfile.BLOCKSIZE)]
        for piece in pieces:
            hasher.update(piece)
            output.write(piece)
        config = {"rootfs": {"type": "layers", "diff_ids": [f"sha256:{hasher.hexdigest()}"]}}
        manifest = [{"Config": "config.json", "RepoTags": ["dense:1"], "Layers": ["layer.tar"]}]
        with tarfile.open(fileobj=output, mode="w") as archive:
            for name, document in (("config.json", config), ("manifest.json", manifest)):
                data = json.dumps(document).encode()
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return f"docker-archive:{path}"


GUEST: list[Item] = [
    directory("dev"),
    directory("proc"),
    file("etc/name", "an image of layers"),
    file("bin/busybox", BUSYBOX.read_bytes() if BUSYBOX.exists() else b"", mode=0o755),
    file(
        "bin/start",
        """#!/bin/busybox sh
/bin/busybox mount -t proc none /proc
echo "the shell of $(/bin/busybox cat /etc/name)"
echo "by the guest" >/written
/bin/busybox rm /etc/name
/bin/busybox sync
/bin/busybox mount -o remount,ro /
/bin/busybox poweroff -f
""",
        mode=0o755,
    ),
]


@pytest.mark.parametrize("profile", PROFILES)
def test_a_machine_boots_from_an_image(tmp_path: Path, profile: Ext4Profile) -> None:
    result = build(tmp_path, pack(GUEST), options=Ext4Options(profile=profile, inodes=100))
    assert "the shell of an image of layers" in boot(result.path, "/bin/start")
    check(result.path)
    facts = facts_of(result.path)
    assert facts["/written"]["size"] == len("by the guest\n")
    assert "/etc/name" not in facts


DEBIAN_START = b"""#!/bin/sh
mount -t proc none /proc
. /etc/os-release
echo "the shell of $ID, $(dpkg-query --list | grep -c ^ii) packages"
echo "by the guest" >/written
umount /proc
sync
mount -o remount,ro /
echo o >/proc/sysrq-trigger 2>&1
"""


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Debian root created by debootstrap from this machine's mirror."""
    debootstrap = find_tool("debootstrap")
    if platform.freedesktop_os_release().get("ID") != "debian":
        unavailable("no Debian, whose mirror could be used")
    listed = find_tool("apt-get")("indextargets", "--format", "$(SITE) $(RELEASE)")
    site, release = listed.split()[:2]
    root = tmp_path_factory.mktemp("debian") / "root"
    process = subprocess.run(
        [*debootstrap.command, "--variant=minbase", release, root, site],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert process.returncode == 0, process.stdout[-4_000:]
    return root


def test_a_debian_root_is_the_same_in_an_image_and_boots(debian: Path, tmp_path: Path) -> None:
    options = ("--create", "--xattrs", "--xattrs-include=*", "--numeric-owner", "--one-file-system")
    find_tool("tar")(*options, "--file", tmp_path / "layer.tar", "--format=posix", ".", cwd=debian)
    made = image_of([(tmp_path / "layer.tar").read_bytes()])
    location = layout(tmp_path / "layout", made)
    result = build_ext4(location, tmp_path / "image.ext4")
    check(result.path)
    assert facts_of(result.path) == facts_of_directory(debian)
    overlay = Overlay().write("/start", DEBIAN_START, 0o755)
    result = build_ext4(location, tmp_path / "boot.ext4", overlay=overlay)
    assert "the shell of debian, " in boot(result.path, "/start")
    check(result.path)
    assert "/written" in facts_of(result.path)


def test_a_full_disk_is_no_space_and_leaves_nothing(tmp_path: Path) -> None:
    source = layout(tmp_path / "layout", image_of([pack([file("a", b"x" * (30 * MIB))])]))
    disk = tmp_path / "disk"
    disk.mkdir()
    find_tool("mount")("-t", "tmpfs", "-o", "size=16m", "none", disk)
    try:
        with pytest.raises(NoSpaceError, match=os.strerror(errno.ENOSPC)):
            build_ext4(source, disk / "image.ext4")
        assert listing(disk) == []
        build_ext4(layout(tmp_path / "small", image()), disk / "image.ext4")
        assert listing(disk) == ["image.ext4"]
    finally:
        find_tool("umount")(disk)
