"""The journal of staged changes: one line of JSON for each, so that a killed process loses none.

The first line names the format and its version. An incomplete last line was being written when the
process died, and is dropped. Bytes are text in Latin-1.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from tarkit.errors import MalformedError, RefusedError, UnsupportedError
from tarkit.streams.closeable import Closeable
from tarkit.streams.files import read_only
from tarkit.streams.os_errors import os_errors
from tarkit.tar.member import Member, MemberType, Segment

VERSION = 1
_HEAD = "tarkit staged changes"
_CODE = "latin-1"


class Journal(Closeable):
    """The file *path*, created if it is missing; ``count`` is the number of changes in it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with os_errors(path):
            self._file: BinaryIO = path.open("rb" if read_only(path) else "a+b")
        try:
            with os_errors(path):
                self._lines = self._read()
            self.count = len(self._lines) - 1
            if not self._lines:
                self.append(_HEAD, VERSION)
                self.flush()
        except BaseException:
            self.close()
            raise

    def _read(self) -> list[list[Any]]:
        self._file.seek(0)
        whole, _, torn = self._file.read().rpartition(b"\n")
        if torn and self._file.writable():
            self._file.truncate(len(whole) + bool(whole))
        if not whole:
            return []
        try:
            head, *lines = [json.loads(line) for line in whole.split(b"\n")]
            name, version = head
        except (ValueError, TypeError):
            raise MalformedError("not a journal of staged changes", where=str(self._path)) from None
        if name != _HEAD:
            raise MalformedError("not a journal of staged changes", where=str(self._path))
        if version != VERSION:
            raise UnsupportedError(
                f"staged changes in version {version!r} of the format", where=str(self._path)
            )
        return [head, *lines]

    def changes(self) -> Iterator[tuple[str, list[Any]]]:
        """Yield the name and arguments of each change in the file as it was opened; only once."""
        lines, self._lines = self._lines, []
        for name, *arguments in lines[1:]:
            yield name, arguments

    def append(self, *line: Any) -> None:
        """Add a line, which :meth:`flush` writes; raises :class:`RefusedError` if read-only."""
        if not self._file.writable():
            raise RefusedError("staged changes are read-only here", where=str(self._path))
        self.count += 1
        self._file.write(json.dumps(line, separators=(",", ":")).encode("ascii") + b"\n")

    def flush(self) -> None:
        """Write all lines, so that they outlive this process."""
        with os_errors(self._path):
            self._file.flush()

    def sync(self) -> None:
        """Sync all lines to the disk."""
        with os_errors(self._path):
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Write all lines, and close the file."""
        with os_errors(self._path):
            self._file.close()


def pack(member: Member) -> list[Any]:
    """Return *member* without its name as a value for :meth:`Journal.append`."""
    return [
        text(member.type.value), member.mode, member.uid, member.gid, member.size,
        member.mtime_ns, text(member.linkname), member.devmajor, member.devminor,
        {text(name): text(value) for name, value in member.xattrs.items()},
        member.sparse, member.data_offset, member.stored,
    ]  # fmt: skip


def unpack(name: bytes, fields: list[Any]) -> Member:
    """Return the member of *fields*, with *name*; raises ``ValueError`` or ``TypeError``."""
    kind, mode, uid, gid, size, mtime, link, major, minor, xattrs, sparse, offset, stored = fields
    segments = None if sparse is None else tuple(Segment(*each) for each in sparse)
    return Member(
        name, MemberType(raw(kind)), mode, uid, gid, size, mtime, raw(link), b"", b"",
        major, minor, {raw(key): raw(value) for key, value in xattrs.items()},
        segments, offset, offset, stored,
    )  # fmt: skip


def text(value: bytes) -> str:
    """Return *value* for a line."""
    return value.decode(_CODE)


def raw(value: str) -> bytes:
    """Return the bytes of *value* in a line."""
    return value.encode(_CODE)
