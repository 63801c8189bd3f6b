"""Overlays: changes on top of an image."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tarkit.errors import (
    MalformedError,
    PathNotFoundError,
    RefusedError,
    UnsupportedError,
    UsageError,
)
from tarkit.image.digest import Digest
from tarkit.rootfs.filesystem import FileSystem
from tarkit.rootfs.overlay.certificates import BUNDLES, encode
from tarkit.rootfs.overlay.overlay import Overlay
from tarkit.streams.directory import Directory
from tarkit.streams.staging import staging_directory
from tarkit.tar.member import MemberType
from tests.builders import listing
from tests.rootfs.layers import Item, directory, file, hard, link, source_of

BASE = [
    directory("etc", 0o750),
    file("etc/hosts", "localhost\n", 0o600, uid=7),
    file("etc/keep", "kept"),
    directory("usr/bin"),
    file("usr/bin/tool", "old", 0o755),
    link("bin", "usr/bin"),
    link("hosts", "etc/hosts"),
]
CERTIFICATE = b"\x30\x03one"
OTHER = b"\x30\x03two"


@contextmanager
def changed(tmp_path: Path, overlay: Overlay, base: list[Item] = BASE) -> Iterator[FileSystem]:
    with source_of(tmp_path, base) as source, FileSystem.of(source, overlay=overlay) as files:
        yield files


def test_a_file_is_added_through_the_images_links(tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    tool.write_text("new")
    tool.chmod(0o4755)
    overlay = Overlay().add(tool, "/bin/tool").add(tool, "/bin/")
    with changed(tmp_path, overlay.add(tool, "opt/new/name")) as files:
        assert files.read_text("usr/bin/tool") == "new"
        entry = files.stat("/opt/new/name")
        assert (entry.mode, entry.uid, entry.gid, entry.layer) == (0o4755, 0, 0, 1)
        assert entry.mtime_ns == tool.stat().st_mtime_ns
        assert files.stat("bin", follow=False).target == "usr/bin"
        assert files.stat("opt").mtime_ns == 0


def test_times_are_at_most_the_source_date_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000")
    (tmp_path / "f").write_text("x")
    with changed(tmp_path, Overlay().add(tmp_path / "f", "/f")) as files:
        assert files.stat("f").mtime_ns == 1000 * 10**9


def test_staging_directories_are_not_added(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").write_text("x")
    with Directory.open(tree) as parent, staging_directory(parent) as staging:
        (staging.path / "half").write_text("not yet")
        with changed(tmp_path, Overlay().add(tree, "/src")) as files:
            assert [entry.path for entry in files.walk("/src")] == ["/src", "/src/file"]


def test_a_tree_is_merged_with_existing_files(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "bin").mkdir(parents=True)
    (tree / "etc").mkdir(mode=0o700)
    (tree / "bin" / "more").write_text("more")
    (tree / "etc" / "hosts").write_text("other")
    (tree / "etc" / "link").symlink_to("/etc/keep")
    with changed(tmp_path, Overlay().add(tree, "/")) as files:
        assert files.read_text("usr/bin/more") == "more"
        assert files.stat("bin", follow=False).target == "usr/bin"
        assert (files.stat("etc").mode, files.read_text("etc/hosts")) == (0o750, "other")
        assert files.read_text("etc/link") == files.read_text("etc/keep") == "kept"


def test_dot_dot_leads_to_the_parent_of_a_link_target(tmp_path: Path) -> None:
    """As the kernel resolves them: ``/bin`` is a link to ``usr/bin``."""
    overlay = Overlay().write("/bin/../new", b"x").remove("/bin/../../etc/keep")
    with changed(tmp_path, overlay) as files:
        assert files.read_text("/usr/new") == "x"
        assert files.stat("/bin/../new").path == "/usr/new"
        assert not files.exists("/etc/keep")


@pytest.mark.parametrize("place", ["/etc", "..", "/bin", "/etc/hosts/below", "/hosts/below"])
def test_a_file_replaces_only_a_file(tmp_path: Path, place: str) -> None:
    """``/bin`` is a link to a directory, and ``/hosts`` one to a file."""
    (tmp_path / "f").write_text("x")
    for overlay in (Overlay().add(tmp_path / "f", place), Overlay().write(place, b"")):
        with pytest.raises(RefusedError, match="in the way"), changed(tmp_path, overlay):
            pass


def test_a_directory_does_not_replace_a_file(tmp_path: Path) -> None:
    (tmp_path / "tree" / "hosts").mkdir(parents=True)
    overlay = Overlay().add(tmp_path / "tree", "/etc")
    with pytest.raises(RefusedError, match="a file of the image"), changed(tmp_path, overlay):
        pass
    with changed(tmp_path, overlay, [link("etc", "nowhere")]) as files:
        assert files.stat("/etc/hosts").type is MemberType.DIRECTORY


def test_a_file_replaces_a_link(tmp_path: Path) -> None:
    with changed(tmp_path, Overlay().write("/hosts", b"new")) as files:
        assert files.read_text("/hosts") == "new"
        assert files.read_text("/etc/hosts") == "localhost\n"


def test_hard_links_of_a_tree_stay_one_file(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "below").mkdir(parents=True)
    (tree / "a").write_text("x")
    os.link(tree / "a", tree / "below" / "b")
    os.link(tree / "a", tmp_path / "elsewhere")
    with changed(tmp_path, Overlay().add(tree, "/bin/")) as files:
        assert files.stat("/usr/bin/a").links == files.stat("/usr/bin/below/b").links == 2
        assert files.file("/usr/bin/a") == files.file("/usr/bin/below/b")
        assert files.read_text("/usr/bin/below/b") == "x"


@pytest.mark.skipif(not hasattr(os, "setxattr"), reason="there are no such attributes here")
def test_attributes_of_the_file_stay(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    try:
        os.setxattr(tmp_path / "f", "user.note", b"kept")
    except OSError as error:
        pytest.skip(f"no attributes here: {error}")
    with changed(tmp_path, Overlay().add(tmp_path / "f", "/f")) as files:
        assert dict(files.stat("/f").xattrs) == {b"user.note": b"kept"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_files_of_other_owners_lose_set_id_bits(tmp_path: Path) -> None:
    for name, owner in (("mine", 0), ("theirs", 12_345)):
        (tmp_path / name).write_text("x")
        os.chown(tmp_path / name, owner, owner)
        (tmp_path / name).chmod(0o6755)
    overlay = Overlay().add(tmp_path / "mine", "/").add(tmp_path / "theirs", "/")
    with changed(tmp_path, overlay) as files:
        assert [files.stat(name).mode for name in ("mine", "theirs")] == [0o6755, 0o755]


def test_a_link_and_a_file_with_the_same_bytes_have_different_digests(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("payload")
    (tmp_path / "x").chmod(0o777)
    os.utime(tmp_path / "x", ns=(0, 0))
    overlay = Overlay().add(tmp_path / "x", "/x")
    before = overlay.digest()
    digest = Digest.of(b"payload")
    (tmp_path / "tree").mkdir()
    (tmp_path / "x").rename(tmp_path / "tree" / "x")
    tree = Overlay().add(tmp_path / "tree", "/")
    os.utime(tmp_path / "tree", ns=(0, 0))
    file_digest = tree.digest()
    (tmp_path / "tree" / "x").unlink()
    (tmp_path / "tree" / "x").symlink_to(str(digest))
    os.utime(tmp_path / "tree" / "x", ns=(0, 0), follow_symlinks=False)
    os.utime(tmp_path / "tree", ns=(0, 0))
    assert len({before, file_digest, tree.digest()}) == 3


def test_the_digest_identifies_the_changes(tmp_path: Path) -> None:
    """Two edits that cannot be distinguished must not have the same digest."""

    def edit(data: bytes) -> bytes:
        return data

    for change in (edit, lambda data: data, partial(edit), re.compile(b"x").sub):
        overlay = Overlay().edit("/a", change)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="pass a name"):
            overlay.digest()
    one, two = (Overlay().edit("/a", edit, name=name) for name in ("one", "two"))
    assert one.digest() != two.digest()
    assert Overlay().edit("/a", bytes.upper).digest() != Overlay().edit("/a", bytes.lower).digest()


def test_added_paths_must_exist_and_have_a_supported_type(tmp_path: Path) -> None:
    with pytest.raises(PathNotFoundError), changed(tmp_path, Overlay().add(tmp_path / "no", "/a")):
        pass
    with pytest.raises(UnsupportedError), changed(tmp_path, Overlay().add("/dev/null", "/a")):
        pass


def test_paths_are_removed_recursively(tmp_path: Path) -> None:
    with changed(tmp_path, Overlay().remove("/bin").remove("usr").remove("hosts")) as files:
        assert [entry.path for entry in files.walk()] == ["/", "/etc", "/etc/hosts", "/etc/keep"]


def test_removing_a_missing_path_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PathNotFoundError), changed(tmp_path, Overlay().remove("/none")):
        pass
    with pytest.raises(RefusedError), changed(tmp_path, Overlay().remove("/")):
        pass


def test_an_edit_follows_links_and_keeps_metadata(tmp_path: Path) -> None:
    overlay = Overlay().edit("/hosts", lambda data: data + b"db\n")
    with changed(tmp_path, overlay) as files:
        assert files.read_text("etc/hosts") == "localhost\ndb\n"
        assert (files.stat("etc/hosts").mode, files.stat("etc/hosts").uid) == (0o600, 7)
        assert files.stat("hosts", follow=False).target == "etc/hosts"


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts descriptors in /proc")
def test_a_change_that_fails_leaves_no_layer_open(tmp_path: Path) -> None:
    def refuse(data: bytes) -> bytes:
        raise ValueError(data)

    before = len(listing(Path("/proc/self/fd")))
    with (
        pytest.raises(ValueError, match="localhost"),
        changed(tmp_path, Overlay().edit("/hosts", refuse)),
    ):
        pass
    assert len(listing(Path("/proc/self/fd"))) == before


def test_changes_see_earlier_changes(tmp_path: Path) -> None:
    overlay = Overlay().write("/new", b"a").edit("/new", lambda data: data * 2)
    overlay.remove("/etc/keep").write("/gone", b"").remove("/gone")
    with changed(tmp_path, overlay) as files:
        assert files.read_text("new") == "aa"
        assert not files.exists("etc/keep")
        assert not files.exists("gone")


def test_a_changed_hard_link_leaves_its_other_names_alone(tmp_path: Path) -> None:
    base = [file("a", "one"), hard("b", "a")]
    with changed(tmp_path, Overlay().edit("/a", lambda _: b"two"), base) as files:
        assert (files.read_text("a"), files.read_text("b")) == ("two", "one")
        assert files.stat("b").links == 1


def test_names_of_whiteouts_cannot_be_added(tmp_path: Path) -> None:
    with pytest.raises(MalformedError), changed(tmp_path, Overlay().write("/.wh.etc", b"")):
        pass


def bundle_of(files: FileSystem, path: str) -> list[bytes]:
    blocks = files.read_text(path).split("-----END CERTIFICATE-----")[:-1]
    return [base64.b64decode(block.rpartition("-----")[2]) for block in blocks]


def test_certificates_go_into_every_bundle_and_every_anchor_directory(tmp_path: Path) -> None:
    debian, redhat = BUNDLES[0], BUNDLES[1]
    base = [
        file(debian, encode(OTHER).rstrip(), 0o600),
        file(redhat, encode(OTHER)),
        link("etc/pki/tls/certs/ca-bundle.crt", f"/{redhat}"),
        directory("usr/local/share/ca-certificates"),
    ]
    overlay = Overlay().add_certificate(encode(CERTIFICATE) + b"# a comment\n" + encode(OTHER))
    with changed(tmp_path, overlay, base) as files:
        for path in (debian, redhat, "etc/pki/tls/certs/ca-bundle.crt"):
            assert bundle_of(files, path) == [OTHER, CERTIFICATE]
        assert files.stat(debian).mode == 0o600
        assert files.stat("etc/pki/tls/certs/ca-bundle.crt", follow=False).target == f"/{redhat}"
        anchors = list(files.glob("usr/local/share/ca-certificates/tarkit-*.crt"))
        assert {bundle_of(files, anchor.path)[0] for anchor in anchors} == {CERTIFICATE, OTHER}


def test_an_image_without_bundles_gets_one(tmp_path: Path) -> None:
    with changed(tmp_path, Overlay().add_certificate(encode(CERTIFICATE))) as files:
        assert bundle_of(files, BUNDLES[0]) == [CERTIFICATE]
        assert len([path for path in BUNDLES if files.exists(path)]) == 1


@pytest.mark.parametrize(
    "pem",
    [
        b"",
        b"-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n",
        b"-----BEGIN CERTIFICATE-----\nMAA\n-----END CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n",
        encode(CERTIFICATE[:-1]),
        encode(CERTIFICATE).replace(b"\n-----END", b"\n!-----END") + encode(OTHER),
    ],
)
def test_invalid_certificates_are_refused(pem: bytes) -> None:
    with pytest.raises(MalformedError):
        Overlay().add_certificate(pem)
