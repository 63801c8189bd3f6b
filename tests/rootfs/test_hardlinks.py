"""Random stacks of hard links, whiteouts and replacements: all outputs agree."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tarkit.rootfs.filesystem import FileSystem
from tarkit.rootfs.output.directory import write_directory
from tarkit.rootfs.output.tarball import save_tar
from tests.rootfs.inorder import (
    InOrder,
    depends_on_whiteout_order,
    hides_through_replaced_link,
    random_stack,
    side_by_side,
)
from tests.rootfs.layers import members, merge, source_of
from tests.rootfs.test_merge_model import shape_of, shape_of_model
from tests.rootfs.trees import Facts, facts_of_directory, facts_of_image, facts_of_tar


def facts_of_files(facts: Facts) -> Facts:
    """Return the properties of each path in *facts* that do not require root."""
    keys = ("type", "size", "sha256", "nlink", "target")
    return {
        path: {key: fact[key] for key in keys if key in fact}
        for path, fact in facts.items()
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
def test_the_merge_agrees_with_extraction_in_order(seed: int) -> None:
    random = Random(seed)
    compared = 0
    for _ in range(150):
        stack = random_stack(random)
        if depends_on_whiteout_order(stack) or hides_through_replaced_link(stack):
            continue
        compared += 1
        model = InOrder()
        for layer in stack:
            model.apply(layer)
        assert shape_of(merge([members(*layer) for layer in stack])) == shape_of_model(model), stack
    assert compared > 130


@pytest.mark.parametrize("compressed", [True, False])
def test_directory_tar_and_tree_agree(tmp_path: Path, compressed: bool) -> None:
    random = Random(5)
    stacks = [stack for stack in (random_stack(random) for _ in range(100))
              if not depends_on_whiteout_order(stack)]  # fmt: skip
    with source_of(tmp_path, *side_by_side(stacks), compressed=compressed) as source:
        write_directory(source, tmp_path / "out")
        save_tar(source, tmp_path / "out.tar")
        with FileSystem.of(source) as files:
            expected = facts_of_files(facts_of_image(files))
    assert facts_of_files(facts_of_directory(tmp_path / "out")) == expected
    assert facts_of_files(facts_of_tar(tmp_path / "out.tar")) == expected
