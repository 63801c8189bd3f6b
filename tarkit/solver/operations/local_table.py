"""The entries of a local directory as they were when it was last read."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from typing import NamedTuple, Self

VERSION = 1


class Fingerprint(NamedTuple):
    """The facts that change if an entry changes. Times are in nanoseconds."""

    mode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int

    @classmethod
    def of(cls, status: os.stat_result) -> Self:
        """Return the facts of an entry; the size of a directory means nothing."""
        size = status.st_size if not stat.S_ISDIR(status.st_mode) else 0
        return cls(
            status.st_mode, size, status.st_mtime_ns, status.st_ctime_ns,
            status.st_ino, status.st_dev,
        )  # fmt: skip


class Row(NamedTuple):
    """An entry: ``first`` is an earlier name of the same file, ``digest`` its content digest.

    An entry that is racy may have changed without a trace. ``size`` is that of its data.
    """

    mark: Fingerprint
    first: str = ""
    digest: str = ""
    is_racy: bool = False
    size: int = 0


class LocalTable:
    """Rows by path. ``garbage`` is the size of data that is no longer used."""

    def __init__(self, rows: Mapping[str, Row] | None = None, garbage: int = 0) -> None:
        self._rows = dict(rows or {})
        self.garbage = garbage

    @classmethod
    def decode(cls, data: bytes | None) -> Self | None:
        """Return a stored table, None if there is none that this version can read."""
        try:
            document = json.loads(data or b"{}")
            if document.get("version") != VERSION:
                return None
            rows = {
                path: Row(Fingerprint(*mark), first, digest, bool(is_racy), size)
                for path, (mark, first, digest, is_racy, size) in document["rows"].items()
            }
            return cls(rows, int(document["garbage"]))
        except (ValueError, TypeError, KeyError, AttributeError):
            return None  # the directory is read again

    def encode(self) -> bytes:
        """Return the table as bytes to store."""
        document = {"version": VERSION, "garbage": self.garbage, "rows": self._rows}
        return json.dumps(document, separators=(",", ":")).encode("ascii")

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, path: str) -> Row | None:
        """Return the row of *path*, or None."""
        return self._rows.get(path)

    def paths(self) -> set[str]:
        """Return all paths."""
        return set(self._rows)

    def digests(self) -> Mapping[str, str]:
        """Return the known content digests by path."""
        return {path: row.digest for path, row in self._rows.items() if row.digest}

    def live(self) -> int:
        """Return the size of all data in use."""
        return sum(row.size for row in self._rows.values())

    def put(self, path: str, row: Row) -> None:
        """Set the row of *path*."""
        self.drop(path)
        self._rows[path] = row

    def drop(self, path: str) -> None:
        """Remove the row of *path* if there is one."""
        old = self._rows.pop(path, None)
        self.garbage += old.size if old is not None else 0
