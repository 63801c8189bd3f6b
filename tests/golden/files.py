"""Trees and layers that builds of file operations, merges and differences result in."""

from __future__ import annotations

import atexit
import io
import re
import shutil
import tarfile
import tempfile
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

from tarkit.cache.manager import CacheManager
from tarkit.cache.refs import ImmutableRef
from tarkit.errors import TarkitError
from tarkit.executor.checking import check_executor
from tarkit.image.manifest import Manifest
from tarkit.rootfs.output.tarball import stream_tar
from tarkit.solver.local_solver import LocalSolver
from tarkit.solver.operations.sources import Sources
from tests.golden.recipes import Recipes
from tests.golden.runner import Case, Skipped

Entry = dict[str, Any]

_TRACING = re.compile(r"OTEL_|TRACEPARENT|otel-grpc")
_OF_MACHINE = ("/sys/fs/cgroup/", "/proc/", "/sys/firmware", "/sys/devices")

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
        found = check_executor()
        if found.problems or found.warnings:  # processes of the cases have a network
            raise Skipped("this machine cannot run processes")
    recipes = Recipes()
    recipes.make(case["nodes"])
    definition = recipes.marshal(case["result"])
    needs_root = any(node.get("name") == "root" for node in case["nodes"])
    sources = Sources(locals={"root": root_directory()} if needs_root else {})
    with LocalSolver(_manager(), sources) as solver:
        try:
            solution = solver.solve(definition)
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


@cache
def root_directory() -> Path:
    """Return the root directory for processes: the static busybox of this machine, and accounts."""
    busybox = shutil.which("busybox")
    if busybox is None:
        raise Skipped("there is no busybox")
    directory = tempfile.TemporaryDirectory()
    atexit.register(directory.cleanup)
    root = Path(directory.name)
    for name in ("bin", "etc"):
        (root / name).mkdir()
    shutil.copy(busybox, root / "bin" / "busybox")
    (root / "etc" / "passwd").write_text("root:x:0:0::/:\njoe:x:500:501::/:\n")
    (root / "etc" / "group").write_text("root:x:0:\njoe:x:501:\nwww:x:33:joe\n")
    return root


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
        if _TRACING.search(recorded.get("data", "")):
            _compare_output(entry, known)
        if not recorded.get("size", 1):
            known["data"] = ""
        assert {key: entry.get(key) for key in known} == known


def _compare_output(entry: Entry, known: Entry) -> None:
    """Compare what a process saw, without BuildKit's own tracing and the machine it ran on."""
    expected, found = (_seen(each.get("data", "")) for each in (known, entry))
    assert found == expected
    for key in ("data", "size"):
        known.pop(key)


def _seen(data: str) -> list[str]:
    lines = [line for line in data.splitlines() if not _TRACING.search(line)]
    if not any(line.startswith("/ ") for line in lines):
        return lines
    # a list of mounts: the types of filesystems and the versions of cgroups are the machine's
    points = {line.partition(" ")[0] for line in lines}
    return sorted(point for point in points if not point.startswith(_OF_MACHINE))


def _is_their_slip(case: Case) -> bool:
    """Return whether BuildKit failed because it looked up the target of a link on its own machine."""
    actions = case["nodes"][-1].get("actions", [])
    return case["error"].endswith(": no such file or directory") and any(
        action["action"] == "rm" and case["error"].startswith("failed to solve: stat /xlink:")
        for action in actions
    )
