"""Layouts and directories with links out of them: refused unless ``follow_links`` is set."""

from __future__ import annotations

from pathlib import Path

import pytest

from tarkit.errors import UnsafePathError
from tarkit.image.manifest import Manifest
from tarkit.selection.select import select_image
from tarkit.transports.location import open_source
from tarkit.verifying.runner import verify
from tests.builders import copy, layout_of, make_image, write_files
from tests.cli.conftest import Tarkit, tarkit

__all__ = ["tarkit"]

IMAGE = make_image("one", "two")


def link_out(directory: Path, *patterns: str) -> None:
    """Replace matching files by links to the same content beside *directory*."""
    for pattern in patterns:
        for path in sorted(directory.glob(pattern)):
            target = directory.parent / "cache" / path.relative_to(directory)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)
            path.symlink_to(target)


@pytest.fixture(params=["blobs/sha256/*", "blobs/sha256", "blobs", "*"])
def bazel(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A layout as Bazel's rules create it."""
    layout = write_files(tmp_path / "bazel", layout_of(IMAGE, "app"))
    link_out(layout, request.param)
    return layout


COMMANDS = [
    ("list", "{in}"),
    ("inspect", "{in}"),
    ("verify", "{in}"),
    ("ls", "{in}"),
    ("cat", "{in}", "one.txt"),
    ("diff", "{in}", "{in}"),
    ("copy", "{in}", "oci:{dir}/out:x"),
    ("rootfs", "{in}", "{dir}/files.tar"),
    ("ext4", "{in}", "{dir}/image.ext4"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
@pytest.mark.parametrize("prefix", ["oci:", ""])
def test_every_command_accepts_follow_links(
    tarkit: Tarkit, bazel: Path, tmp_path: Path, command: tuple[str, ...], prefix: str
) -> None:
    places = {"in": f"{prefix}{bazel}", "dir": str(tmp_path)}
    arguments = [argument.format(**places) for argument in command]
    refused = tarkit(*arguments)
    assert refused.code in (4, 6)
    assert "--follow-links" in refused.err + refused.out
    assert not list(tmp_path.glob("out*")) + list(tmp_path.glob("*.ext4"))
    followed = tarkit(*arguments, "--follow-links")
    assert (followed.code, "--follow-links" in followed.err) == (0, False)


def test_link_targets_are_verified(bazel: Path, tmp_path: Path, tarkit: Tarkit) -> None:
    name = f"blobs/sha256/{IMAGE.digest[7:]}"
    path = bazel / name
    path.write_bytes(path.read_bytes().replace(b"amd64", b"arm64"))
    result = tarkit("copy", "--follow-links", f"oci:{bazel}", f"oci:{tmp_path / 'out'}:x")
    assert result.code == 4
    assert "digest mismatch" in result.err
    assert not (tmp_path / "out").exists()
    assert not verify(f"oci:{bazel}", follow_links=True).ok


def test_links_in_a_dir_image_are_followed(tmp_path: Path) -> None:
    write_files(tmp_path / "in", layout_of(IMAGE, "app"))
    copy(f"oci:{tmp_path / 'in'}", f"dir:{tmp_path / 'loose'}")
    link_out(tmp_path / "loose", "*")
    location = f"dir:{tmp_path / 'loose'}"
    with pytest.raises(UnsafePathError, match="--follow-links"), open_source(location) as image:
        image.manifest()
    assert not verify(location).ok
    with open_source(location, follow_links=True) as image:
        manifest = Manifest.parse(select_image(image))
        for layer in manifest.layers:
            with image.open_blob(layer) as stream:
                assert layer.digest.matches(stream.read())
    assert verify(location, follow_links=True).ok


def test_a_dangling_link_is_a_missing_blob(tmp_path: Path) -> None:
    layout = write_files(tmp_path / "bazel", layout_of(IMAGE, "app"))
    path = layout / f"blobs/sha256/{IMAGE.digest[7:]}"
    path.unlink()
    path.symlink_to(tmp_path / "gone")
    rules = [finding.rule for finding in verify(f"oci:{layout}", follow_links=True).findings]
    assert rules == ["missing-blob"]


@pytest.mark.parametrize("target", ["/dev/zero", "."])
def test_a_link_to_a_special_file_is_refused(tmp_path: Path, target: str) -> None:
    layout = write_files(tmp_path / "bazel", layout_of(IMAGE, "app"))
    path = layout / f"blobs/sha256/{IMAGE.digest[7:]}"
    path.unlink()
    path.symlink_to(target)
    assert not verify(f"oci:{layout}", follow_links=True).ok


def test_links_within_the_layout_need_no_option(tmp_path: Path) -> None:
    layout = write_files(tmp_path / "in", layout_of(IMAGE, "app"))
    path = layout / f"blobs/sha256/{IMAGE.digest[7:]}"
    path.rename(layout / "config")
    path.symlink_to("../../config")
    assert verify(f"oci:{layout}").ok
