"""The default directory of a store."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tarkit.errors import RefusedError, TarkitError
from tarkit.streams.directory import Directory
from tarkit.streams.os_errors import os_errors

VARIABLE = "TARKIT_STORE"
"""The environment variable with the directory of the store that holds the artifacts."""


def default_root() -> Path:
    """Return ``$TARKIT_STORE/artifacts``, or the first of :func:`fallback_roots` that is writable.

    Creates the directory if necessary. Raises :class:`RefusedError` if no directory is usable.
    """
    named = os.environ.get(VARIABLE)
    if named:
        return make_root(Path(named, "artifacts"))
    tried = []
    for root in fallback_roots():
        try:
            return make_root(root)
        except TarkitError:
            tried.append(str(root))
    raise RefusedError(f"no store at {' or '.join(tried)}", hint=f"name a directory in {VARIABLE}")


def fallback_roots() -> Iterator[Path]:
    """Yield a directory in the user's cache and another in the system's temporary directory."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    home = os.environ.get("HOME", "")
    if cache.startswith("/"):  # the XDG specification says to ignore relative paths
        yield Path(cache, "tarkit", "artifacts")
    elif home:
        yield Path(home, ".cache", "tarkit", "artifacts")
    owner = os.getuid() if hasattr(os, "getuid") else "user"
    yield Path(tempfile.gettempdir(), f"tarkit-artifacts-{owner}")


def make_root(root: Path) -> Path:
    """Create the directory *root* if it does not exist, and return its path.

    Raises :class:`RefusedError` if it is not writable, and the errors of :func:`open_root`.
    """
    with os_errors(root):
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not root.is_dir() or not os.access(root, os.W_OK | os.X_OK):
        raise RefusedError("not a writable directory", where=str(root))
    open_root(root).close()
    return root


def open_root(root: Path) -> Directory:
    """Open the directory *root*.

    Raises :class:`RefusedError` if the directory, or a symbolic link to it, belongs to another user
    than the current one or root.
    than the current one and root.
    """
    # In a shared directory such as /tmp, anybody can create this path first.
    with os_errors(root):
        directory = Directory.open(root)
        link, status = root.lstat(), directory.status()
    is_ours = not hasattr(os, "getuid") or {link.st_uid, status.st_uid} <= {0, os.getuid()}
    # If the path is no link, it must still be the open directory: a user may have swapped it.
    if not is_ours or not (stat.S_ISLNK(link.st_mode) or os.path.samestat(link, status)):
        directory.close()
        raise RefusedError("the directory belongs to another user", where=str(root))
    return directory
