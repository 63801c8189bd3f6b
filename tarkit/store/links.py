"""Files under two names, and files that move out of the way."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from tarkit.streams.os_errors import os_errors

QUARANTINE = "quarantine"


def move_aside(root: Path, path: Path) -> Path:
    """Move *path* to the quarantine of the store at *root*; return its new path."""
    target = root / QUARANTINE / f"{path.name}-{os.urandom(4).hex()}"
    with os_errors(path):
        target.parent.mkdir(mode=0o700, exist_ok=True)
        with suppress(FileNotFoundError):
            path.replace(target)
    return target


def touch(path: Path) -> None:
    """Set the last use of the file at *path* to now, if the store is writable."""
    with suppress(OSError):
        os.utime(path)


def last_use(path: Path) -> float | None:
    """Return the last use of the file at *path* in seconds since the epoch, or None if it is missing."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return None


def replace_by_link(source: Path, public: Path) -> None:
    """Make *public* the same file as *source*; copy it if the filesystem has no hard links."""
    if public.exists() and public.samefile(source):
        return
    temporary = public.with_name(f".tarkit-{os.urandom(8).hex()}")
    try:
        with suppress(FileNotFoundError):
            _link_or_copy(source, temporary)
        temporary.replace(public)
    finally:
        temporary.unlink(missing_ok=True)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        import shutil

        shutil.copyfile(source, target)
