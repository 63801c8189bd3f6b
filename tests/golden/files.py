"""Trees and layers that builds of file operations, merges and differences result in."""

from __future__ import annotations

import io
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from tarkit.cache.manager import CacheManager
from tarkit.cache.refs import ImmutableRef
from tarkit.errors import TarkitError
from tarkit.image.manifest import Manifest
from tarkit.rootfs.output.tarball import write_tar
from tarkit.solver.empty import files_of
from tarkit.solver.local_solver import LocalSolver
from tests.golden.recipes import Recipes
from tests.golden.runner import Case, Skipped

_TYPES = {
    tarfile.REGTYPE: "file",
    tarfile.DIRTYPE: "dir",
    tarfile.SYMTYPE: "symlink",
    tarfile.LNKTYPE: "hardlink",
    tarfile.FIFOTYPE: "fifo",
}


def run(case: Case) -> None:
    """Solve a recipe, and compare the resulting tree, its layers, or the error."""
    if any(node["kind"] == "run" for node in case["nodes"]):
        raise Skipped("processes are not available yet")
    recipes = Recipes()
    recipes.make(case["nodes"])
    definition = recipes.marshal(case["result"])
    with (
        tempfile.TemporaryDirectory() as directory,
        CacheManager.open(Path(directory) / "store") as manager,
        LocalSolver(manager) as solver,
        solver.solve(definition) as solution,
    ):
        try:
            ref = solution.result()
        except TarkitError as error:
            assert "error" in case, f"fails: {error}"
            return
        if "error" in case:
            assert _is_their_slip(case), f"no error, but BuildKit says: {case['error']}"
            return
        if "tree" in case:
            _compare(tree_of(files_of(ref)), case["tree"] or [])
        else:
            assert ref is not None
            found = layers_of(ref)
            assert len(found) == len(case["layers"])
            for layer, expected in zip(found, case["layers"], strict=True):
                _compare(layer, expected or [])
