"""The attributes of an unpacked directory, recorded to find later changes.

The file has a line with the format and its version, then one line of JSON for each path. Bytes are
text in Latin-1.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple, Self

from tarkit.errors import MalformedError
from tarkit.streams.os_errors import os_errors
from tarkit.streams.walking import Found, walk_directory

_HEAD = ["tarkit attributes", 1]
_CODE = "latin-1"
_PRIVATE = (b"trusted.overlay.", b"user.overlay.", b"user.rootlesscontainers")


class RecordedAttributes(NamedTuple):
    """Attributes of one path; *changed* is the time of the last change of any of them (ctime)."""

    inode: int
    changed: int
    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    xattrs: dict[bytes, bytes]


class RecordedDirectory:
    """The *attributes* of everything in a directory by path; the path of the top is empty."""

    def __init__(self, attributes: dict[bytes, RecordedAttributes]) -> None:
        self.attributes = attributes

    @classmethod
    def of(cls, path: Path) -> Self:
        """Record the directory *path*; afterwards, every change of it will be noticed.

        Raises the errors of the system.
        """
        with os_errors(path):
            top = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                attributes = {found.path: attributes_of(found) for found in whole(top)}
                _wait_past(path.parent, max(each.changed for each in attributes.values()))
            finally:
                os.close(top)
        return cls(attributes)

    def write(self, output: BinaryIO) -> None:
        """Write the attributes to *output*."""
        output.write(json.dumps(_HEAD).encode("ascii") + b"\n")
        for path, each in self.attributes.items():
            xattrs = {k.decode(_CODE): v.decode(_CODE) for k, v in each.xattrs.items()}
            line = [path.decode(_CODE), *each[:-1], xattrs]
            output.write(json.dumps(line).encode("ascii") + b"\n")

    @classmethod
    def load(cls, file: Path) -> Self:
        """Read the attributes from *file*; raises :class:`MalformedError`."""
        try:
            with os_errors(file), file.open(encoding="ascii") as lines:
                if json.loads(next(lines)) != _HEAD:
                    raise ValueError("another format")
                return cls(dict(_parsed(line) for line in lines))
        except (ValueError, TypeError, StopIteration):
            raise MalformedError("not a record of attributes", where=str(file)) from None


def _parsed(line: str) -> tuple[bytes, RecordedAttributes]:
    path, *numbers, xattrs = json.loads(line)
    raw = {key.encode(_CODE): value.encode(_CODE) for key, value in xattrs.items()}
    return path.encode(_CODE), RecordedAttributes._make([*numbers, raw])


def whole(top: int, closed: list[bytes] | None = None) -> Iterator[Found]:
    """Yield the open directory *top* itself, with an empty path, and everything below.

    See :func:`tarkit.streams.walking.walk_directory` for *closed*.
    """
    yield Found(b"", b".", top, os.fstat(top))
    yield from walk_directory(top, [] if closed is None else closed)


def attributes_of(found: Found) -> RecordedAttributes:
    """Return the attributes of *found*, without the extended attributes of overlayfs."""
    status = found.status
    return RecordedAttributes(
        status.st_ino, status.st_ctime_ns, status.st_mode, status.st_uid, status.st_gid,
        status.st_size, status.st_mtime_ns, xattrs_of(found),
    )  # fmt: skip


def xattrs_of(found: Found, *, private: bool = False) -> dict[bytes, bytes]:
    """Return the extended attributes of *found*; if *private*, only those of overlayfs."""
    names: list[str] = []
    with suppress(OSError):  # the filesystem does not support them
        names = os.listxattr(found.handle, follow_symlinks=False)
    values = {}
    for name in map(os.fsencode, names):
        if name.startswith(_PRIVATE) == private:
            with suppress(OSError):  # overlayfs lists some that cannot be read
                values[name] = os.getxattr(found.handle, name, follow_symlinks=False)
    return values


def _wait_past(directory: Path, moment: int) -> None:
    """Wait until the clock of the filesystem of *directory* is past *moment*.

    That clock advances only a few hundred times per second, and a change within the same tick would
    go unnoticed.
    """
    probe = directory / f".tarkit-{os.urandom(8).hex()}"
    while True:
        probe.touch(mode=0o600, exist_ok=False)
        try:
            if probe.stat().st_ctime_ns > moment:
                return
        finally:
            probe.unlink()
        time.sleep(0.001)
