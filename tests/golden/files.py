"""Trees and layers that builds of file operations, merges and differences result in."""

from __future__ import annotations

import atexit
import io
import tarfile
import tempfile
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

from tarkit.cache.manager import CacheManager
from tarkit.cache.refs import ImmutableRef
from tarkit.errors import TarkitError
from tarkit.image.manifest import Manifest
from tarkit.rootfs.output.tarball import stream_tar
from tarkit.solver.local_solver import LocalSolver
from tests.golden.recipes import Recipes
from tests.golden.runner import Case, Skipped

Entry = dict[str, Any]

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
    with LocalSolver(_manager()) as solver, solver.solve(definition) as solution:
        try:
            ref = solution.result()
        except TarkitError as error:
            if "error" not in case:
                raise AssertionError(f"fails: {error}") from None
            return
        if "error" in case:
            assert _is_their_slip(case), f"no error, but BuildKit says: {case['error']}"
            return
        if "tree" in case:
            _compare(tree_of(ref), case["tree"] or [])
        else:
            assert ref is not None
            for layer, expected in zip(layers_of(ref), case["layers"], strict=True):
                _compare(layer, expected or [])


@cache
def _manager() -> CacheManager:
    """Return a cache for all cases, which share many vertices; it is removed at exit."""
    stack = ExitStack()
    atexit.register(stack.close)
    directory = stack.enter_context(tempfile.TemporaryDirectory())
    return stack.enter_context(CacheManager.open(Path(directory) / "store"))


def tree_of(ref: ImmutableRef | None) -> list[Entry]:
    """Return the entries of the root filesystem but its root, as Python reads them."""
    output = io.BytesIO()
    if ref is None:
        return []
    stream_tar(ref, output)
    return [entry for entry in entries_of(output.getvalue()) if entry["name"] not in ("", ".")]


def layers_of(ref: ImmutableRef) -> list[list[Entry]]:
    """Return the entries of each layer of the image."""
    manifest = Manifest.parse(ref.manifest())
    layers = []
    for descriptor in manifest.layers:
        with ref.open_blob(descriptor) as stream:
            layers.append(entries_of(stream.read()))
    return layers


def entries_of(data: bytes) -> list[Entry]:
    """Return the members of a tar in the form of the records."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return [_entry(archive, member) for member in archive]


def _entry(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Entry:
    entry: Entry = {
        "name": member.name.removeprefix("./"),
        "type": _TYPES[member.type],
        "mode": f"{member.mode:04o}",
        "uid": member.uid,
        "gid": member.gid,
        "mtime": int(member.mtime),
    }
    if member.issym() or member.islnk():
        entry["link"] = member.linkname
    if member.isreg():
        file = archive.extractfile(member)
        assert file is not None
        entry |= {"size": member.size, "data": file.read().decode()}
    return entry


def _compare(found: list[Entry], expected: list[Entry]) -> None:
    """Raise AssertionError if entries differ in what was recorded; times of the build are not."""
    assert [each["name"] for each in found] == [each["name"] for each in expected]
    for entry, recorded in zip(found, expected, strict=True):
        known = {key: value for key, value in recorded.items() if value != "now"}
        if not recorded.get("size", 1):
            known["data"] = ""
        assert {key: entry.get(key) for key in known} == known


def _is_their_slip(case: Case) -> bool:
    """Return whether BuildKit failed because it looked up the target of a link on its own machine."""
    actions = case["nodes"][-1].get("actions", [])
    return case["error"].endswith(": no such file or directory") and any(
        action["action"] == "rm" and case["error"].startswith("failed to solve: stat /xlink:")
        for action in actions
    )
