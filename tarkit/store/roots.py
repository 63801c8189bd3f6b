"""The directory of the store that the environment selects."""

from __future__ import annotations

import os
from pathlib import Path

from tarkit.errors import RefusedError

VARIABLE = "TARKIT_STORE"
"""The environment variable with the directory."""


def store_root() -> Path:
    """Return ``$TARKIT_STORE``, or else ``tarkit/store`` in the user's cache directory.

    Raises :class:`RefusedError` if neither is known.
    """
    if named := os.environ.get(VARIABLE):
        return Path(named)
    cache, home = os.environ.get("XDG_CACHE_HOME", ""), os.environ.get("HOME", "")
    if cache.startswith("/"):  # the XDG specification says to ignore relative paths
        return Path(cache, "tarkit", "store")
    if home:
        return Path(home, ".cache", "tarkit", "store")
    raise RefusedError("no directory for a store", hint=f"use --store or set {VARIABLE}")
