"""Random changes, made in a real directory or in staged files."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st

from tarkit.errors import TarkitError
from tarkit.rootfs.writable.filesystem import WritableFileSystem

NAMES = st.sampled_from(["a", "b", "c"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
KINDS = st.sampled_from(
    ["write", "write", "mkdir", "mkdir", "remove", "remove", "rename", "link", "symlink", "chmod", "chown",
     "xattr", "utime"]
)  # fmt: skip


@dataclass(frozen=True)
class Step:
    """One change of *path*, with whatever else it needs."""

    kind: str
    path: str
    other: str
    number: int
    data: bytes


def steps() -> st.SearchStrategy[list[Step]]:
    return st.lists(
        st.builds(Step, KINDS, PATHS, PATHS, st.integers(0, 0o777), st.binary(max_size=3)),
        max_size=15,
    )


def change_directory(top: Path, step: Step) -> bool:
    """Make *step* below *top*; return False if the system refuses."""
    path, other = top / step.path, top / step.other
    try:
        match step.kind:
            case "write":
                path.write_bytes(step.data)
            case "mkdir":
                path.mkdir()
            case "remove" if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            case "remove":
                path.unlink()
            case "rename":
                path.rename(other)
            case "link":
                os.link(other, path, follow_symlinks=False)
            case "symlink":
                path.symlink_to(step.other)
            case "chmod":
                path.chmod(step.number)
            case "chown":
                os.lchown(path, step.number, 1)
            case "xattr":
                os.setxattr(path, "trusted.k", step.data)
            case "utime":
                os.utime(path, ns=(0, step.number * 10**9))
    except OSError:
        return False
    return True


def change_staged(files: WritableFileSystem, step: Step) -> bool:
    """Make *step* in *files*; return False if that is refused."""
    try:
        match step.kind:
            case "write":
                files.write(step.path, step.data)
            case "mkdir":
                files.mkdir(step.path)
            case "remove":
                files.remove(step.path)
            case "rename":
                files.rename(step.path, step.other)
            case "link":
                files.link(step.path, step.other)
            case "symlink":
                files.symlink(step.path, step.other)
            case "chmod":
                files.chmod(step.path, step.number)
            case "chown":
                files.chown(step.path, step.number, 1, follow=False)
            case "xattr":
                files.set_xattr(step.path, b"trusted.k", step.data)
            case "utime":
                files.utime(step.path, step.number * 10**9)
    except TarkitError:
        return False
    return True
