"""Where a store is when nobody says so."""

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
"""The environment variable that names the directory."""


def default_root() -> Path:
    """``$TARKIT_STORE``; else the first of :func:`fallback_roots` that can be made and written to.

    Raises :class:`RefusedError` where there is none.
    """
    named = os.environ.get(VARIABLE)
    if named:
        return make_root(Path(named))
    tried = []
    for root in fallback_roots():
        try:
            return make_root(root)
        except TarkitError:
            tried.append(str(root))
    raise RefusedError(f"no store at {' or '.join(tried)}", hint=f"name a directory in {VARIABLE}")


def fallback_roots() -> Iterator[Path]:
    """The user's cache directory, and one of the user's own where everybody may write."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    home = os.environ.get("HOME", "")
    if cache.startswith("/"):
        yield Path(cache, "tarkit", "artifacts")
    elif home:
        yield Path(home, ".cache", "tarkit", "artifacts")
    owner = os.getuid() if hasattr(os, "getuid") else "user"
    yield Path(tempfile.gettempdir(), f"tarkit-artifacts-{owner}")


def make_root(root: Path) -> Path:
    """Make the directory *root* if it is not there, and return its path.

    Raises what :func:`open_root` does, and :class:`RefusedError` if the user cannot write to it.
    """
    with os_errors(root):
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not root.is_dir() or not os.access(root, os.W_OK | os.X_OK):
        raise RefusedError("not a directory that can be written to", where=str(root))
    open_root(root).close()
    return root


def open_root(root: Path) -> Directory:
    """Open the directory *root*; raise :class:`RefusedError` if another user could have put it there.

    That goes for the directory and for a link that leads to it.
    """
    with os_errors(root):
        directory = Directory.open(root)
        link, status = root.lstat(), directory.status()
    is_ours = not hasattr(os, "getuid") or {link.st_uid, status.st_uid} <= {0, os.getuid()}
    if not is_ours or not (stat.S_ISLNK(link.st_mode) or os.path.samestat(link, status)):
        directory.close()
        raise RefusedError("a directory of another user", where=str(root))
    return directory
