"""Differences of random root filesystems as layers, as umoci and GNU tar extract them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from tarkit.errors import TarkitError
from tarkit.rootfs.filesystem import FileSystem
from tarkit.rootfs.self_contained import is_self_contained
from tests.builders import image_of, layout_of, write_files
from tests.conformance.tools import Tool
from tests.rootfs.chains import difference, files_of
from tests.rootfs.inorder import (
    Stack,
    depends_on_whiteout_order,
    hides_through_replaced_link,
    random_stack,
    side_by_side,
)
from tests.rootfs.trees import Facts, facts_of_directory, facts_of_image

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root unpacks everything")

STACKS = 400


def random_layers(random: Random) -> list[bytes]:
    """Return the layers of many random root filesystems, each in a directory of its own."""
    stacks = [random_stack(random) for _ in range(STACKS)]
    return side_by_side([stack for stack in stacks if is_clear(stack)])


def is_clear(stack: Stack) -> bool:
    """Return whether all programs agree on the meaning of *stack*."""
    try:
        files_of(*stack)
    except TarkitError:  # a loop of links, for example
        return False
    return not depends_on_whiteout_order(stack) and not hides_through_replaced_link(stack)


def kept(facts: Facts) -> Facts:
    """Return the *facts* that a difference keeps.

    The root is not in it, a changed time alone does not bring a directory into it, and new names of
    unchanged files become files.
    """
    return {
        path: {
            key: value
            for key, value in fact.items()
            if key != "nlink" and not (key == "mtime_ns" and fact["type"] == "dir")
        }
        for path, fact in facts.items()
        if path != "/"
    }


def test_umoci_extracts_the_upper_tree(umoci: Tool, tmp_path: Path) -> None:
    random = Random(7)
    below, above = random_layers(random), random_layers(random)
    lower, upper = files_of(*below), files_of(*above)
    written, data = difference(lower, upper)
    assert is_self_contained(written.listing)
    write_files(tmp_path / "layout", layout_of(image_of([*below, data])))
    umoci("unpack", "--image", f"{tmp_path / 'layout'}:app", tmp_path / "bundle")
    extracted = facts_of_directory(tmp_path / "bundle" / "rootfs")
    assert kept(extracted) == kept(facts_of_image(upper))


def test_gnu_tar_extracts_a_whole_tree(require_tool: Callable[[str], Tool], tmp_path: Path) -> None:
    upper: FileSystem = files_of(*random_layers(Random(8)))
    _, data = difference(files_of([]), upper)
    (tmp_path / "layer.tar").write_bytes(data)
    (tmp_path / "out").mkdir()
    tar = require_tool("tar")
    tar("--extract", "--file", tmp_path / "layer.tar", "--directory", tmp_path / "out", "-p")
    extracted = facts_of_directory(tmp_path / "out")
    expected = facts_of_image(upper)
    for facts in (extracted, expected):
        del facts["/"]
    assert extracted == expected
