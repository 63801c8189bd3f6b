"""Take over the changes that a process made in a real directory.

They become staged changes. All names are read with open descriptors and without following links,
because the process may still run, as another user.
"""

from __future__ import annotations

import os
import stat

from tarkit.rootfs.mounts.found_files import FoundFile, FoundFiles
from tarkit.rootfs.mounts.recorded import RecordedDirectory, attributes_of, whole, xattrs_of
from tarkit.rootfs.writable.staged_tree import StagedFileSystem
from tarkit.streams.os_errors import os_errors
from tarkit.streams.walking import Found

_OPAQUE = (b"trusted.overlay.opaque", b"user.overlay.opaque")


def capture_copy(top: int, recorded: RecordedDirectory, files: StagedFileSystem) -> None:
    """Change *files* as the open directory *top* has changed since it was *recorded*.

    *top* was made from *files*. Attributes that were not changed stay those of *files*, even if the
    user who unpacked them could not keep them. Raises :class:`~tarkit.errors.RefusedError` for names
    that no layer can have, and the errors of the system.
    """
    found_files = FoundFiles(files)
    before = recorded.attributes
    seen: set[bytes] = set()
    closed: list[bytes] = []
    with os_errors("the directory"):
        for found in whole(top, closed):
            seen.add(found.path)
            now, old = attributes_of(found), before.get(found.path)
            if old is not None and (old.inode, old.changed) == (now.inode, now.changed):
                continue
            found_files.take(FoundFile(found, now, old))
        hidden = tuple(path + b"/" for path in closed)
        found_files.drop(
            path for path in before if path not in seen and not path.startswith(hidden)
        )
    files.flush()


def capture_upper(
    top: int, files: StagedFileSystem, recorded: RecordedDirectory | None = None
) -> None:
    """Change *files* by the open directory *top*, the upper directory of an overlay over them.

    The overlay must have been mounted with ``redirect_dir=off``, ``metacopy=off`` and
    ``index=off``. Only the changes are read. *recorded* are the attributes of its lower directory, if
    that could not keep those of *files*. Raises the errors of :func:`capture_copy`.
    """
    before = recorded.attributes if recorded is not None else {}
    found_files = FoundFiles(files)
    with os_errors("the directory"):
        for found in whole(top):
            if _is_whiteout(found.status):
                found_files.drop([found.path])
            else:
                file = FoundFile(found, attributes_of(found), before.get(found.path))
                found_files.take(file, replaced=_is_opaque(found))
    files.flush()


def _is_whiteout(status: os.stat_result) -> bool:
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def _is_opaque(found: Found) -> bool:
    if not stat.S_ISDIR(found.status.st_mode):
        return False
    private = xattrs_of(found, private=True)
    return any(private.get(name) == b"y" for name in _OPAQUE)
