"""Mount the files of an image with FUSE."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from types import ModuleType

from tarkit.errors import (
    PathNotFoundError,
    RefusedError,
    TransportError,
    UnsupportedError,
    UsageError,
)
from tarkit.filesystems.operations import ImageOperations
from tarkit.library.opened import OpenImage
from tarkit.streams.os_errors import os_errors
from tarkit.transports.location import AnyLocation, Location, Transport, to_location
from tarkit.values import replace

_KEEP = 86_400  # seconds for which the kernel may cache attributes: an image never changes
_LOOP_ENDED = (7, 8)  # results of fuse_main() after a signal; the number depends on the version


def fixed_location(location: AnyLocation) -> Location:
    """Return *location* with an absolute path, since a background process has another directory.

    Raises :class:`~tarkit.errors.UsageError` for standard input.
    """
    location = to_location(location)
    if location.is_stream:
        raise UsageError("cannot mount an image from a pipe", hint="save it to a file first")
    if not location.path or location.transport is Transport.REGISTRY:
        return location  # the environment selects a daemon or a store
    return replace(location, path=os.path.abspath(location.path))  # noqa: PTH100  keeps links


def mount_image(image: OpenImage, directory: Path, *, foreground: bool = True) -> None:
    """Mount the files of *image* at *directory*, read-only, and return when it is unmounted.

    Parameters:

    - *image*: an open image, whose location is absolute unless *foreground*.
    - *directory*: an existing, empty directory.
    - *foreground*: if false, the process forks: the caller's process ends with the exit code 0 as
      soon as the image is mounted, and this function returns in the child process.

    Ctrl-C, SIGTERM, ``fusermount3 -u`` and ``umount`` unmount it. Raises
    :class:`~tarkit.errors.PathNotFoundError` if *directory* is not a directory,
    :class:`~tarkit.errors.RefusedError` if it is not empty,
    :class:`~tarkit.errors.UnsupportedError` if mfusepy or libfuse is not installed or the system has
    no FUSE, and :class:`~tarkit.errors.TransportError` if mounting fails.
    """
    fuse = require_fuse(directory)
    operations = ImageOperations(image.files)
    if threading.current_thread() is threading.main_thread():
        _leave_signals_to_fuse()
    try:
        fuse.FUSE(
            operations,
            os.path.abspath(directory),  # noqa: PTH100  keeps links
            foreground=foreground,
            nothreads=True,
            ro=True,
            use_ino=True,
            kernel_cache=True,
            attr_timeout=_KEEP,
            entry_timeout=_KEEP,
            fsname="tarkit",
            subtype="tarkit",
        )
    except RuntimeError as error:
        if not (operations.started and error.args[0] in _LOOP_ENDED):
            raise TransportError(
                f"FUSE cannot mount the image (code {error.args[0]})",
                where=str(directory),
                hint="the message above names the reason",
            ) from error


def require_fuse(directory: Path) -> ModuleType:
    """Return the module mfusepy if it can mount at *directory*; see :func:`mount_image` for errors."""
    if not directory.is_dir():
        raise PathNotFoundError("not a directory", where=str(directory))
    with os_errors(directory):
        if any(directory.iterdir()):
            raise RefusedError(
                "the directory is not empty, and a mount would hide its files",
                where=str(directory),
                hint="mount at a new directory",
            )
    if sys.platform == "linux" and not Path("/dev/fuse").exists():
        raise UnsupportedError(
            "this system has no /dev/fuse",
            hint="load the module fuse, or start the container with --device /dev/fuse",
        )
    try:
        import mfusepy
    except ImportError as error:
        raise UnsupportedError(
            "mounting needs the package mfusepy", hint="pip install 'tarkit[mount]'"
        ) from error
    except (OSError, AttributeError) as error:  # no libfuse, or a version that is too old
        raise UnsupportedError(
            f"mounting needs the library libfuse ({error})",
            hint="install the package fuse3, or macFUSE",
        ) from error
    fuse: ModuleType = mfusepy
    return fuse


def _leave_signals_to_fuse() -> None:
    """Restore the default actions, because FUSE handles only signals that have them."""
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
