"""Hard links, whiteouts and replacements in any order, as umoci extracts them."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path
from random import Random

import pytest

from tarkit.rootfs.output.directory import write_directory
from tarkit.transports.location import open_source
from tests.builders import image_of, layout_of, write_files
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
    theirs, ours = tmp_path / "bundle" / "rootfs", tmp_path / "out"
    expected, actual = (by_stack(facts_of_directory(top)) for top in (theirs, ours))
    expected_groups, groups = link_groups(theirs), link_groups(ours)
    for number, stack in enumerate(compared):
        name = str(number)
        assert actual.get(name) == expected.get(name), stack
        assert groups.get(name) == expected_groups.get(name), stack
