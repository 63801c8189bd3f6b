"""Mount and unmount overlays (linux/Documentation/filesystems/overlayfs.rst)."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from tarkit.streams.directory import Directory

_MNT_DETACH = 2
_MS_RDONLY = 1
_OPTIONS = "redirect_dir=off,metacopy=off,index=off"


def mount_overlay(
    target: Directory, lower: list[Directory], upper: Directory | None, work: Directory | None
) -> None:
    """Mount an overlay of *lower*, top first, and *upper* on *target*; without *upper*, read-only.

    Directories are named by their descriptors, so no path needs escaping, and none is resolved again.
    Raises :class:`OSError`, for example if the system or the filesystem does not support overlays.
    """
    layers = f"lowerdir={':'.join(map(_name, lower))}"
    if upper is None or work is None:
        options = f"{layers},{_OPTIONS}"
    else:
        options = f"{layers},upperdir={_name(upper)},workdir={_name(work)},{_OPTIONS}"
    flags = _MS_RDONLY if upper is None else 0
    _call("mount", b"overlay", _name(target).encode(), b"overlay", flags, options.encode())


def unmount(path: Path) -> None:
    """Detach the mount on *path*, even if it is in use; do nothing if there is none."""
    while os.path.ismount(path):
        _call("umount2", os.fsencode(path), _MNT_DETACH)


def _name(directory: Directory) -> str:
    return f"/proc/self/fd/{directory.fileno()}"


def _call(function: str, *arguments: bytes | int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, function)(*arguments):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
