"""Other tools read the images that tarkit builds."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

import tarkit
from tarkit import llb

skopeo = pytest.mark.skipif(shutil.which("skopeo") is None, reason="needs skopeo")
umoci = pytest.mark.skipif(
    shutil.which("umoci") is None or os.geteuid() != 0, reason="needs umoci and root"
)

ACTIONS = (
    llb.mkdir("/d", mode=0o1777)
    .mkfile("/d/file", "content", mode=0o640)
    .symlink("file", "/d/link")
    .mkdir("/gone")
)
TREE = llb.scratch().file(ACTIONS).file(llb.rm("/gone")).file(llb.mkfile("/d/ä", "more"))


def build(tmp_path: Path, *outputs: str) -> None:
    with tarkit.build_client("local", store=tmp_path / "store") as builder:
        builder.build(TREE, output=outputs)


@skopeo
@pytest.mark.parametrize(
    ("output", "location"),
    [
        ("type=oci,dest={}/image", "oci-archive:{}/image"),
        ("type=oci,dest={}/image,compression=zstd", "oci-archive:{}/image"),
        ("type=oci,dest={}/image,tar=false", "oci:{}/image"),
        ("type=docker,dest={}/image,name=app:1", "docker-archive:{}/image:app:1"),
    ],
)
def test_skopeo_inspects_and_copies_an_image(tmp_path: Path, output: str, location: str) -> None:
    build(tmp_path, output.format(tmp_path))
    source = location.format(tmp_path)
    command = ["skopeo", "inspect", source]
    found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert found["Os"] == "linux"
    assert len(found["Layers"]) == 3
    subprocess.run(
        ["skopeo", "copy", "-q", source, f"dir:{tmp_path / 'copy'}"],
        check=True,
        capture_output=True,
    )


@umoci
def test_umoci_unpacks_the_tree_that_the_local_output_has(tmp_path: Path) -> None:
    build(
        tmp_path,
        f"type=oci,dest={tmp_path / 'layout'},tar=false,name=app:1",
        f"type=local,dest={tmp_path / 'local'}",
    )
    (tag,) = (
        each["annotations"]["org.opencontainers.image.ref.name"]
        for each in json.loads((tmp_path / "layout" / "index.json").read_text())["manifests"]
    )
    command = [
        "umoci",
        "unpack",
        "--image",
        f"{tmp_path / 'layout'}:{tag}",
        str(tmp_path / "bundle"),
    ]
    subprocess.run(command, check=True, capture_output=True)
    trees = [listed(tmp_path / "bundle" / "rootfs"), listed(tmp_path / "local")]
    assert trees[0] == trees[1]
    assert ("d/file", 0o100640, "content") in trees[0]
    assert len(trees[0]) == 4


def listed(root: Path) -> list[tuple[str, int, str]]:
    """Return the name, mode and content or target of every file."""
    rows = []
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        content = path.readlink().name if path.is_symlink() else ""
        if path.is_file() and not path.is_symlink():
            content = path.read_text()
        rows.append((path.relative_to(root).as_posix(), status.st_mode, content))
    return rows
