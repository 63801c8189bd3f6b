"""A directory removed with all that is in it, however deep it is and whatever its modes are."""

from __future__ import annotations

import os
from contextlib import suppress
from itertools import count
from pathlib import Path


def remove_tree(top: Path) -> None:
    """Remove the directory *top*, or nothing where that is a link to one.

    What the system will not let go of stays, and nothing is raised.

    Every directory in it moves up to stand right under *top* before it is emptied, so there is no
    recursion and no path that grows: an image may nest deeper than ``shutil.rmtree`` can follow and
    than ``PATH_MAX`` can say. Links are removed, never followed.
    """
    with suppress(OSError):
        if top.is_symlink():
            return
        top.chmod(0o700)
    risen = (top / f".{os.urandom(8).hex()}-{number}" for number in count())
    pending = [top]
    while pending:
        path = pending.pop()
        for entry in _entries(path):
            with suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    pending.append(_raise_up(Path(entry), next(risen)))
                else:
                    Path(entry).unlink()
        if path != top:
            with suppress(OSError):
                path.rmdir()
    with suppress(OSError):
        top.rmdir()


def _entries(path: Path) -> list[os.DirEntry[str]]:
    with suppress(OSError), os.scandir(path) as entries:
        return list(entries)
    return []


def _raise_up(directory: Path, place: Path) -> Path:
    directory.chmod(0o700)  # only who may write to a directory may move it
    return directory.rename(place)
