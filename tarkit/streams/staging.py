"""Directories for unfinished output, which are always removed in the end."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from tarkit.errors import RefusedError
from tarkit.streams.directory import Directory
from tarkit.streams.locking import locked_directory, try_lock
from tarkit.streams.os_errors import creation_errors, os_errors
from tarkit.streams.removal import remove_tree

_OURS = ".tarkit-"
_PREFIX = f"{_OURS}staging-"

_INSIDE = ".wh..tarkit"
"""The single entry of a staging directory, which contains everything else.

It distinguishes staging directories from others with such a name: the prefix marks whiteouts, so no
image has such an entry in its root.
"""


@contextlib.contextmanager
def staging_directory(parent: Directory) -> Iterator[Directory]:
    """Create a directory on the filesystem of *parent* and remove it at the end of the block.

    Other users cannot enter it, so its entries can be trusted even if those of *parent* cannot.
    Create the output there, then move it to its name with :meth:`Directory.publish`.

    If a process is killed, its directory stays until another process uses *parent* and removes it.
    A lock, held for the lifetime of the process, marks directories in use.
    """
    name = _PREFIX + os.urandom(8).hex()
    # The lock on *outer* must outlast its removal, so its descriptor is closed last.
    with contextlib.ExitStack() as locks, contextlib.ExitStack() as stack:
        # The lock on *parent* protects a new directory until it has its own lock.
        with creation_errors(parent.path), locked_directory(parent):
            _sweep(parent)
            outer = locks.enter_context(parent.make(name, 0o700))
            stack.callback(_remove, parent, name, outer)
            try_lock(outer)
        # ACLs before anything is created inside, since they are inherited.
        with os_errors(parent.path):
            _remove_acls(outer)
            inner = stack.enter_context(outer.make(_INSIDE, 0o700))
        yield inner


@contextlib.contextmanager
def parent_of(path: Path) -> Iterator[Directory]:
    """Open the parent of *path*, an absolute path, for the block; create it if it is missing.

    Directories created by this call that are still empty afterwards are removed again.
    """
    with contextlib.ExitStack() as stack:
        missing = []
        above = path.parent
        while not os.path.lexists(above):
            missing.append(above)
            above = above.parent
        for directory in reversed(missing):
            with creation_errors(directory.parent):
                directory.mkdir(exist_ok=True)
            stack.callback(_remove_empty, directory)
        with os_errors(path.parent):
            parent = Directory.open(path.parent)
        yield stack.enter_context(parent)


def _remove_empty(directory: Path) -> None:
    with contextlib.suppress(OSError):
        directory.rmdir()


def is_staging(path: Path) -> bool:
    """Return True if *path* has the name of a staging directory of any process."""
    return path.name.startswith(_PREFIX)


def is_vacant(directory: Directory) -> bool:
    """Return True if *directory* is empty except for staging directories."""
    return all(name.startswith(_OURS) for name in directory.names())


def _remove(parent: Directory, name: str, outer: Directory) -> None:
    try:
        remove_tree(parent, name, outer)
    except (KeyboardInterrupt, SystemExit):  # a signal interrupted the removal, so complete it
        remove_tree(parent, name, outer)
        raise


def _remove_acls(directory: Directory) -> None:
    """Remove inherited access control lists, which could let other users write to *directory*."""
    if hasattr(os, "removexattr") and directory.descriptor is not None:
        for kind in ("access", "default"):
            with contextlib.suppress(OSError):  # there may be none
                os.removexattr(directory.descriptor, f"system.posix_acl_{kind}")


def _sweep(parent: Directory) -> None:
    """Remove staging directories of killed processes of this user from *parent*."""
    for name in parent.names():
        if name.startswith(_PREFIX):
            with (
                contextlib.suppress(OSError, RefusedError),
                parent.open_directory(name) as left,
            ):
                # If the lock is taken, its process is still running.
                if _is_left(left, parent) and try_lock(left):
                    remove_tree(parent, name, left)


def _is_left(left: Directory, parent: Directory) -> bool:
    """Return True if :func:`staging_directory` made *left*, since its name alone proves nothing."""
    status = left.status()
    return (
        hasattr(os, "geteuid")
        and status.st_uid == os.geteuid()
        and status.st_dev == parent.status().st_dev
        and set(left.names()) <= {_INSIDE}
    )
