"""Hard links, whiteouts and replacements in any order, as umoci extracts them."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path
from random import Random

import pytest

from tarkit.artifacts.build import build_ext4
from tarkit.rootfs.output.directory import write_directory
from tarkit.transports.location import open_source
from tests.builders import image_of, layout_of, squeeze, write_files
from tests.conformance.ext4_images import mounted
from tests.conformance.tools import Tool
from tests.rootfs.inorder import (
    Stack,
    depends_on_whiteout_order,
    hides_through_replaced_link,
    random_stack,
    side_by_side,
)
from tests.rootfs.trees import Facts, facts_of_directory

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root unpacks everything")

STACKS = 1_050
"""Stacks in one image, each in a directory of its own: umoci takes its time for each image."""


def by_stack(facts: Facts) -> dict[str, Facts]:
    """Return *facts* grouped by the directory of their stack, without times."""
    parted: dict[str, Facts] = defaultdict(dict)
    for path, fact in facts.items():
        stack = path.split("/")[1]
        parted[stack][path] = {key: fact[key] for key in fact if key != "mtime_ns"}
    return parted


def link_groups(top: Path) -> dict[str, list[list[str]]]:
    """Return the paths that share an inode, grouped by the directory of their stack."""
    inodes: dict[int, list[str]] = defaultdict(list)
    for path in top.rglob("*"):
        inodes[path.lstat().st_ino].append(str(path.relative_to(top)))
    groups: dict[str, list[list[str]]] = defaultdict(list)
    for paths in sorted(map(sorted, inodes.values())):
        groups[paths[0].split("/")[0]].append(paths)
    return groups


def differs_for_a_reason(stack: Stack) -> bool:
    return depends_on_whiteout_order(stack) or hides_through_replaced_link(stack)


def assert_same(stacks: list[Stack], ours: Path, theirs: Path) -> None:
    """Compare the directories of *stacks* in *ours* and in *theirs*."""
    actual, expected = (by_stack(facts_of_directory(top)) for top in (ours, theirs))
    groups, expected_groups = link_groups(ours), link_groups(theirs)
    for number, stack in enumerate(stacks):
        name = str(number)
        assert actual.get(name) == expected.get(name), stack
        assert groups.get(name) == expected_groups.get(name), stack


@pytest.mark.parametrize("seed", [1, 2])
def test_random_links_and_whiteouts_match_umoci(umoci: Tool, tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    stacks = [random_stack(random) for _ in range(STACKS)]
    compared = [stack for stack in stacks if not differs_for_a_reason(stack)]
    assert len(compared) > 0.95 * STACKS
    write_files(tmp_path / "layout", layout_of(image_of(side_by_side(compared))))
    location = f"{tmp_path / 'layout'}:app"
    umoci("unpack", "--image", location, tmp_path / "bundle")
    with open_source(f"oci:{location}") as source:
        write_directory(source, tmp_path / "out")
    assert_same(compared, tmp_path / "out", tmp_path / "bundle" / "rootfs")


def test_an_ext4_image_holds_the_same_links(umoci: Tool, tmp_path: Path) -> None:
    random = Random(3)
    stacks = [random_stack(random) for _ in range(200)]
    stacks = [stack for stack in stacks if not differs_for_a_reason(stack)]
    write_files(tmp_path / "layout", layout_of(image_of(side_by_side(stacks)), pack=squeeze))
    location = f"{tmp_path / 'layout'}:app"
    umoci("unpack", "--image", location, tmp_path / "bundle")
    build_ext4(f"oci:{location}", tmp_path / "image.ext4")
    with mounted(tmp_path / "image.ext4", "ro") as top:
        assert_same(stacks, top, tmp_path / "bundle" / "rootfs")
