"""Root filesystems of results, also of those without files."""

from __future__ import annotations

from tarkit.rootfs.chain import open_chain
from tarkit.rootfs.filesystem import FileSystem
from tarkit.solver.operation import Ref


def files_of(ref: Ref) -> FileSystem:
    """Return the root filesystem of a result; it is open as long as the result."""
    return ref.files if ref is not None else open_chain([], where="empty")
