"""A directory for unfinished output, which goes away on every way out."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from tarkit.errors import RefusedError
from tarkit.streams.directory import Directory
from tarkit.streams.locking import locked_directory, try_lock
from tarkit.streams.os_errors import os_errors
from tarkit.streams.removal import remove_tree

_OURS = ".tarkit-"
_PREFIX = f"{_OURS}staging-"

_INSIDE = ".wh..tarkit"
"""The one entry of such a directory, which has everything else in it.

It tells staging directories from others that somebody has given the name of one: names with this
beginning are whiteouts, so no image can have one in its root.
"""


@contextlib.contextmanager
def staging_directory(parent: Directory) -> Iterator[Directory]:
    """Make a directory on the filesystem of *parent*, removed at the end of the block.

    Nobody else can reach anything in it, so its entries can be trusted even if *parent* cannot:
    make the output there, and move it to its place with :meth:`Directory.publish`.

    A killed process cannot remove its own: the next one to stage in the same place does. A lock
    held for the life of the process tells the living from the dead.
    """
    name = _PREFIX + os.urandom(8).hex()
    with contextlib.ExitStack() as locks, contextlib.ExitStack() as stack:
        with os_errors(parent.path), locked_directory(parent):
            _sweep(parent)
            outer = locks.enter_context(parent.make(name, 0o700))
            stack.callback(_remove, parent, name, outer)
            try_lock(outer)
        with os_errors(parent.path):
            _forget_acls(outer)
            inner = stack.enter_context(outer.make(_INSIDE, 0o700))
        yield inner


def is_staging(path: Path) -> bool:
    """Whether *path* has the name of such a directory, this process's or another's."""
    return path.name.startswith(_PREFIX)


def is_vacant(directory: Directory) -> bool:
    """Whether *directory* is empty, apart from what is or was being staged in it."""
    return all(name.startswith(_OURS) for name in directory.names())


def _remove(parent: Directory, name: str, outer: Directory) -> None:
    try:
        remove_tree(parent, name, outer)
    except (KeyboardInterrupt, SystemExit):  # a signal, which asks for the same
        remove_tree(parent, name, outer)
        raise


def _forget_acls(directory: Directory) -> None:
    """Remove the access control lists that *directory* inherited: they could let others write to it."""
    if hasattr(os, "removexattr") and directory.descriptor is not None:
        for kind in ("access", "default"):
            with contextlib.suppress(OSError):  # there is none
                os.removexattr(directory.descriptor, f"system.posix_acl_{kind}")


def _sweep(parent: Directory) -> None:
    """Remove what killed processes of this user left in *parent*."""
    for name in parent.names():
        if name.startswith(_PREFIX):
            with (
                contextlib.suppress(OSError, RefusedError),
                parent.open_directory(name) as left,
            ):
                if _is_left(left, parent) and try_lock(left):
                    remove_tree(parent, name, left)


def _is_left(left: Directory, parent: Directory) -> bool:
    """Whether *left* was made by :func:`staging_directory`: anybody can give it the name."""
    status = left.status()
    return (
        hasattr(os, "geteuid")
        and status.st_uid == os.geteuid()
        and status.st_dev == parent.status().st_dev
        and set(left.names()) <= {_INSIDE}
    )
