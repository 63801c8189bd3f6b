"""Unpack images into directories, including hostile layers."""

from __future__ import annotations

import errno
import io
import os
import stat
import struct
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from tarkit.errors import (
    DigestMismatchError,
    RefusedError,
    TarkitError,
    UnsupportedError,
    VerificationError,
)
from tarkit.rootfs.output.directory import RootfsResult, write_directory
from tarkit.rootfs.overlay.overlay import Overlay
from tarkit.streams.directory import Directory
from tarkit.streams.removal import remove_tree
from tarkit.transports.location import open_source
from tests.builders import Layout, image_of, layout_of, listing, named, squeeze, write_files
from tests.rootfs.layers import (
    Item,
    block,
    char,
    directory,
    fifo,
    file,
    hard,
    link,
    pack,
    source_of,
)
from tests.rootfs.trees import Facts, facts_of_directory

ALL_IDS = (1 << 32) - 1

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX")
pytestmark = posix


def unpack(
    tmp_path: Path, *layers: Sequence[Item], compressed: bool = True, rootless: bool = False
) -> tuple[Path, RootfsResult]:
    target = tmp_path / "out"
    with source_of(tmp_path, *layers, compressed=compressed) as source:
        result = write_directory(source, target, rootless=rootless)
    return target, result


def names(top: Path) -> list[str]:
    return sorted(path.relative_to(top).as_posix() for path in top.rglob("*"))


def names_in(descriptor: int) -> list[str]:
    with os.scandir(descriptor) as entries:
        return [entry.name for entry in entries]


@pytest.mark.parametrize("compressed", [True, False])
def test_layers_become_one_directory(tmp_path: Path, compressed: bool) -> None:
    base = [directory("d", 0o750), file("d/a", "old"), file("d/b", "b" * 3000), link("l", "d")]
    upper = [file("l/a", "new"), file("d/.wh.b"), file("d/c")]
    top, result = unpack(tmp_path, base, upper, compressed=compressed)
    assert names(top) == ["d", "d/a", "d/c", "l"]
    assert (top / "d" / "a").read_text() == "new"
    assert (top / "l").readlink() == Path("d")
    assert stat.S_IMODE((top / "d").stat().st_mode) == 0o750
    assert (result.entries, result.size) == (5, 3)
    assert not list(tmp_path.glob(".tarkit*"))


def test_data_mispredicted_as_hidden_is_read_again(tmp_path: Path) -> None:
    base = [file("a", "shared"), hard("b", "a"), directory("x"), file("x/f", "kept")]
    upper = [file("a", "new"), link("x2", "x")]
    top, _ = unpack(tmp_path, base, upper)
    assert ((top / "a").read_text(), (top / "b").read_text()) == ("new", "shared")
    assert (top / "b").stat().st_nlink == 1


def test_hard_links_of_every_type_share_their_inode(tmp_path: Path) -> None:
    layer = [
        file("a", "x"),
        hard("b", "a"),
        link("c", "a"),
        hard("d", "c"),
        file("e"),
        hard("f", "e"),
    ]
    top, _ = unpack(tmp_path, layer)
    for one, other in (("a", "b"), ("c", "d"), ("e", "f")):
        assert (top / one).lstat().st_ino == (top / other).lstat().st_ino
        assert (top / one).lstat().st_nlink == 2


def test_times_are_kept_to_the_nanosecond(tmp_path: Path) -> None:
    odd = file("old", pax={"mtime": "-5.25"})
    layer = [file("a", pax={"mtime": "1700000000.123456789"}), odd, directory("d", mtime=5)]
    top, _ = unpack(tmp_path, [*layer, file("d/x"), file("far", pax={"mtime": "13569465600"})])
    assert (top / "a").stat().st_mtime_ns == 1_700_000_000_123_456_789
    assert (top / "d").stat().st_mtime_ns == 5 * 10**9
    assert (top / "old").stat().st_mtime_ns == -5_250_000_000
    assert (top / "far").stat().st_mtime_ns == 13_569_465_600 * 10**9


def test_unlisted_directories_have_the_source_date_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "77")
    top, _ = unpack(tmp_path, [file("a/b")])
    assert (top / "a").stat().st_mtime_ns == top.stat().st_mtime_ns == 77 * 10**9


def test_sparse_files_keep_their_holes(tmp_path: Path) -> None:
    sparse = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.name": "s"}
    sparse |= {"GNU.sparse.size": str(64 << 20), "GNU.sparse.map": f"{32 << 20},5"}
    top, _ = unpack(tmp_path, [file("GNUSparseFile.0/s", "hello", pax=sparse)])
    status = (top / "s").stat()
    assert status.st_size == 64 << 20
    assert status.st_blocks * 512 < 1 << 20
    assert (top / "s").read_bytes()[32 << 20 :][:5] == b"hello"


@pytest.mark.parametrize("compressed", [True, False])
def test_blocks_of_zeros_become_holes(tmp_path: Path, compressed: bool) -> None:
    held = {
        "empty": bytes(8 << 20),
        "ends": b"a" * 5_000 + bytes(8 << 20) + b"z" * 5_000,
        "tail": b"a" * 70_000 + bytes(8 << 20),
        "odd": bytes((8 << 20) + 1),
        "small": bytes(10),
        "none": b"",
    }
    top, _ = unpack(
        tmp_path, [file(name, data) for name, data in held.items()], compressed=compressed
    )
    assert {name: (top / name).read_bytes() for name in held} == held
    assert sum((top / name).stat().st_blocks for name in held) * 512 < 1 << 20


@as_root
def test_root_keeps_everything(tmp_path: Path) -> None:
    capability = "\x01\x00\x00\x02\x00\x20" + "\x00" * 14
    layer = [
        file("suid", mode=0o6755, uid=3_000_000, gid=4_000_000),
        directory("sticky", 0o1777),
        file("cap", "x", pax={"SCHILY.xattr.security.capability": capability}),
        file("note", "x", pax={"SCHILY.xattr.user.note": "hi"}),
        char("null", 1, 3),
        block("loop", 7, 9),
        fifo("pipe"),
    ]
    top, result = unpack(tmp_path, layer)
    facts = facts_of_directory(top)
    assert facts["/suid"]["mode"] == 0o6755
    assert (facts["/suid"]["uid"], facts["/suid"]["gid"]) == (3_000_000, 4_000_000)
    assert facts["/sticky"]["mode"] == 0o1777
    assert facts["/cap"]["xattrs"] == {"security.capability": capability.encode().hex()}
    assert facts["/note"]["xattrs"] == {"user.note": b"hi".hex()}
    assert facts["/null"]["rdev"] == [1, 3]
    assert facts["/loop"]["type"] == "block"
    assert facts["/pipe"]["type"] == "fifo"
    assert result.notes == ()


def unpack_without_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *layer: Item, rootless: bool = False
) -> tuple[Facts, RootfsResult]:
    """Unpack with a patched ``geteuid`` that reports a user other than root."""
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    monkeypatch.setattr(os, "getegid", lambda: 12345)
    top, result = unpack(tmp_path, layer, rootless=rootless)
    return facts_of_directory(top), result


def test_without_root_notes_list_lost_metadata(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = [
        file("a", uid=5),
        file("b", mode=0o4755),
        char("null", 1, 3),
        file("mine", uid=12345, gid=12345),
    ]
    facts, result = unpack_without_root(tmp_path, monkeypatch, *layer)
    assert "/null" not in facts
    assert facts["/b"]["mode"] == 0o755
    assert [note.partition(" of")[0] for note in result.notes] == [
        "1 device nodes were left out; only root can create them",
        "owners",
        "set-id bits",
    ]


@pytest.mark.skipif(not hasattr(os, "setxattr"), reason="there are no such attributes here")
def test_an_entry_that_loses_several_attributes_counts_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(errno.EPERM, "no")

    monkeypatch.setattr(os, "setxattr", refuse)
    pax = {f"SCHILY.xattr.user.{name}": "x" for name in "abc"}
    _, result = unpack(tmp_path, [file("a", pax=pax), file("b", pax=pax)])
    assert result.notes == ("extended attributes of 2 entries were not kept",)


def test_rootless_keeps_owners_in_attributes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts, result = unpack_without_root(
        tmp_path, monkeypatch, file("a", uid=5, gid=300), file("zero"), rootless=True
    )
    assert facts["/a"]["xattrs"] == {"user.rootlesscontainers": "080510ac02"}
    assert facts["/zero"]["xattrs"] == {}
    assert result.notes == ()


def test_invalid_owners_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="4294967295"):
        unpack(tmp_path, [file("a", pax={"uid": "4294967295"})])


@as_root
@pytest.mark.parametrize(("major", "minor"), [(1 << 12, 0), (0, 1 << 20), ((1 << 32) - 1, 0)])
def test_invalid_device_numbers_are_refused(tmp_path: Path, major: int, minor: int) -> None:
    numbers = {"SCHILY.devmajor": str(major), "SCHILY.devminor": str(minor)}
    item = Item("dev", tarfile.CHRTYPE, pax=numbers)
    with pytest.raises(UnsupportedError, match=f"invalid device number {major}:{minor}"):
        unpack(tmp_path, [item])
    assert "out" not in listing(tmp_path)


@pytest.mark.skipif(not hasattr(os, "setxattr"), reason="there are no such attributes here")
def test_default_acls_of_the_destination_are_not_inherited(tmp_path: Path) -> None:
    entries = [(0x01, 7, ALL_IDS), (0x02, 7, 1234), (0x04, 5, ALL_IDS), (0x10, 7, ALL_IDS)]
    entries.append((0x20, 5, ALL_IDS))
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    try:
        os.setxattr(tmp_path, "system.posix_acl_default", acl)
    except OSError as error:
        pytest.skip(f"no access control lists here: {error}")
    top, _ = unpack(tmp_path, [directory("d"), file("d/a", "x", mode=0o640)])
    assert [fact["xattrs"] for fact in facts_of_directory(top).values()] == [{}, {}, {}]
    assert facts_of_directory(top)["/d/a"]["mode"] == 0o640


@pytest.mark.parametrize("there", ["file", "full", "dangling"])
def test_an_occupied_path_is_left_alone(tmp_path: Path, there: str) -> None:
    target = tmp_path / "out"
    match there:
        case "file":
            target.write_text("mine")
        case "full":
            target.mkdir()
            (target / "mine").write_text("x")
        case "dangling":
            target.symlink_to("nowhere")
    with pytest.raises(RefusedError):
        unpack(tmp_path, [file("a")])
    assert not (target / "a").exists()


def test_an_empty_directory_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    top, _ = unpack(tmp_path, [file("a")])
    assert names(top) == ["a"]


def test_a_name_too_long_for_the_disk_is_an_error_that_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TarkitError, match="too long"):
        unpack(tmp_path, [directory("closed", 0o500), file("closed/x"), file("n" * 300)])
    assert [path.name for path in tmp_path.iterdir()] == ["layout"]


def test_deep_trees_need_neither_recursion_nor_descriptors(tmp_path: Path) -> None:
    top, result = unpack(tmp_path, [file("d/" * 1500 + "f", "deep")])
    assert result.entries == 1502
    path, depth = os.open(top, os.O_RDONLY), 0
    while (names := names_in(path)) == ["d"]:
        below = os.open("d", os.O_RDONLY, dir_fd=path)
        os.close(path)
        path, depth = below, depth + 1
    os.close(path)
    assert (names, depth) == (["f"], 1500)
    with Directory.open(tmp_path) as outer, Directory.open(top) as directory:
        remove_tree(outer, top.name, directory)  # pytest's own removal recurses


def test_a_deep_tree_is_removed_on_failure(tmp_path: Path) -> None:
    bad = [file("x"), file("y", "late")]
    deep = [file("d/" * 1500 + "f", "deep")]
    with source_of(tmp_path, deep, pack(bad)[:700]) as source, pytest.raises(VerificationError):
        write_directory(source, tmp_path / "out")
    assert "out" not in listing(tmp_path)
    assert not [name for name in listing(tmp_path) if name.startswith(".")]


def test_lost_metadata_of_hidden_files_is_not_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name of the link hides nothing, so the data below it is unpacked before the merge."""
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    monkeypatch.setattr(os, "getegid", lambda: 12345)
    layers = [[file("u/s", "x", 0o4755), link("l", "u")], [file("l/.wh.s")]]
    _, result = unpack(tmp_path, *layers)
    assert [note.partition(" entries")[0] for note in result.notes] == ["owners of 3"]


def test_times_the_disk_cannot_store_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = 99_999_999_999
    before = os.utime

    def utime(target: int | bytes, *, ns: tuple[int, int], follow_symlinks: bool = True) -> None:
        times = tuple(min(each, 2**34 * 10**9) for each in ns)
        before(target, ns=times, follow_symlinks=follow_symlinks)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "utime", utime)
    _, result = unpack(tmp_path, [file("a", "x", mtime=far), file("b", mtime=-1)])
    assert result.notes == ("times of 1 entries were not kept",)


def test_a_mount_point_is_refused_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "disk").mkdir()
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path).name == "disk")
    with (
        source_of(tmp_path, [file("a")]) as source,
        pytest.raises(RefusedError, match="is a mount point; name a directory inside it"),
    ):
        write_directory(source, tmp_path / "disk")


@as_root
def test_the_error_in_a_deep_tree_is_the_one_reported(tmp_path: Path) -> None:
    deep = [file("/".join(["n" * 200] * 40)), char("z", 5000, 0)]
    with pytest.raises(UnsupportedError, match="invalid device number 5000:0"):
        unpack(tmp_path, deep)
    assert not [name for name in listing(tmp_path) if name.startswith((".", "out"))]


def test_an_altered_layer_leaves_nothing(tmp_path: Path) -> None:
    files = layout_of(image_of([pack([file("a", "x" * 9000)])]), pack=None)
    name = max(files, key=lambda name: len(files[name]))
    files[name] = files[name].replace(b"xxxx", b"yxxx", 1)
    write_files(tmp_path / "layout", files)
    with (
        open_source(f"oci:{tmp_path / 'layout'}") as source,
        pytest.raises(DigestMismatchError),
    ):
        write_directory(source, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["layout"]


def test_a_layer_is_checked_against_its_diff_id_too(tmp_path: Path) -> None:
    image = image_of([pack([file("a")])])
    layout = Layout()
    entry = layout.image(image, pack=lambda _: squeeze(pack([file("b")])))
    write_files(tmp_path / "layout", layout.finish(named(entry, "app")))
    with (
        open_source(f"oci:{tmp_path / 'layout'}") as source,
        pytest.raises(DigestMismatchError, match="uncompressed"),
    ):
        write_directory(source, tmp_path / "out")


def test_a_truncated_layer_is_an_error(tmp_path: Path) -> None:
    cut = pack([file("a", "x" * 5000)])[:3000]
    with source_of(tmp_path, cut) as source, pytest.raises(VerificationError):
        write_directory(source, tmp_path / "out")


def raw(*members: tuple[str, bytes, str]) -> bytes:
    """Return a layer of (name, type, target) with names that tarfile would not extract."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w") as archive:
        for name, kind, target in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = kind, target, 0
            if kind == tarfile.REGTYPE:
                info.size = 4
            archive.addfile(info, io.BytesIO(b"evil"))
    return output.getvalue()


FILE, LINK, HARD, DIR = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE

HOSTILE: dict[str, list[list[tuple[str, bytes, str]]]] = {
    "dot-dot": [[("../canary/secret", FILE, ""), ("../../../../canary/new", FILE, "")]],
    "absolute": [[("{outside}/secret", FILE, ""), ("{outside}/new", FILE, "")]],
    "symlink, then through it": [[("l", LINK, "{outside}"), ("l/secret", FILE, "")]],
    "relative symlink": [[("a/l", LINK, "../../canary"), ("a/l/secret", FILE, "")]],
    "chain of symlinks": [[("a", LINK, ".."), ("b", LINK, "a/.."), ("b/canary/secret", FILE, "")]],
    "symlink in one layer, through it in the next": [
        [("l", LINK, "{outside}")],
        [("l/secret", FILE, ""), ("l/new/x", FILE, "")],
    ],
    "directory swapped for a symlink in the same layer": [
        [("d", DIR, ""), ("d/x", FILE, ""), ("d", LINK, "{outside}"), ("d/secret", FILE, "")]
    ],
    "symlink swapped for a directory and back": [
        [("d", LINK, "{outside}"), ("d", DIR, ""), ("d/a", FILE, ""), ("d", LINK, "{outside}")],
        [("d/secret", FILE, ""), ("d/.wh.keep", FILE, "")],
    ],
    "hard link to the outside": [[("h", HARD, "{outside}/secret"), ("h", FILE, "")]],
    "hard link through a symlink": [[("l", LINK, "{outside}"), ("h", HARD, "l/secret")]],
    "hard link to a symlink, written through": [
        [("l", LINK, "{outside}/secret"), ("h", HARD, "l"), ("h", FILE, "")],
        [("l", FILE, "")],
    ],
    "write through a symlink of that name": [
        [("f", LINK, "{outside}/secret"), ("f", FILE, "")],
        [("g", LINK, "{outside}/secret")],
        [("g", FILE, "")],
    ],
    "whiteouts out of the image": [
        [("l", LINK, "{outside}")],
        [("l/.wh.secret", FILE, ""), ("l/.wh..wh..opq", FILE, ""), ("../.wh.canary", FILE, "")],
        [(".wh...", FILE, "")],
    ],
    "a directory entry on a symlink": [
        [("l", LINK, "{outside}")],
        [("l/", DIR, ""), ("l/secret", FILE, "")],
    ],
    "the root itself": [[("/", LINK, "{outside}"), ("secret", FILE, "")]],
    "a loop": [[("a", LINK, "b"), ("b", LINK, "a"), ("a/x", FILE, "")]],
}


@pytest.mark.parametrize("case", HOSTILE)
@pytest.mark.parametrize("compressed", [True, False])
def test_nothing_outside_is_touched(tmp_path: Path, case: str, compressed: bool) -> None:
    outside = tmp_path / "canary"
    write_files(outside, {"secret": b"untouched", "keep/me": b"here"})
    before = facts_of_directory(outside)
    (tmp_path / "in").mkdir()
    layers = [
        raw(*((n.format(outside=outside), k, t.format(outside=outside)) for n, k, t in layer))
        for layer in HOSTILE[case]
    ]
    target = tmp_path / "in" / "out"
    with source_of(tmp_path / "in", *layers, compressed=compressed) as source:
        try:
            write_directory(source, target)
        except TarkitError:
            assert not target.exists()
    assert facts_of_directory(outside) == before
    for path in target.rglob("*"):
        assert not path.is_file() or path.is_symlink() or path.read_bytes() != b"untouched"


def test_an_overlay_does_not_leave_the_image_either(tmp_path: Path) -> None:
    outside = write_files(tmp_path / "canary", {"secret": b"untouched"})
    before = facts_of_directory(outside)
    overlay = Overlay().write("/l/secret", b"new").write("/up/canary/secret", b"new")
    overlay.edit("/abs", lambda data: data + b"!")
    layer = [
        link("l", str(outside)),
        link("up", "../../.."),
        link("abs", "/etc/x"),
        file("etc/x", "x"),
    ]
    with source_of(tmp_path, layer) as source:
        write_directory(source, tmp_path / "out", overlay=overlay)
    assert facts_of_directory(outside) == before
    assert (tmp_path / "out" / "etc" / "x").read_text() == "x!"


def test_systems_without_posix_directories_are_unsupported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "supports_dir_fd", set())
    with pytest.raises(UnsupportedError, match="on this system"):
        unpack(tmp_path, [file("a")])
