"""Leases, which keep content alive that no name or record refers to."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tarkit.store.database import Database
from tarkit.store.holders import is_alive
from tarkit.store.record import check_id
from tarkit.values import dataclass

PULLED = "pulled"
"""The lease of blobs that copies stored while reading: ``prune`` removes them by last use."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease with its ``id``, and the IDs of its ``items``: digests of blobs, or ``layer:KEY``.

    It ends when it is deleted, when the process of ``holder`` ends, or at ``expires``, in seconds
    since the epoch; the last two may be None.
    """

    id: str
    holder: str | None
    expires: float | None
    items: frozenset[str] = frozenset()


class Leases:
    """The leases in *database*; *holder* returns the ID of this process's holder.

    A clock that jumps does not end a lease early: until the next boot, expiry counts the time since
    boot.
    """

    def __init__(self, database: Database, root: Path, holder: Callable[[], str]) -> None:
        self._database = database
        self._root = root
        self._holder = holder

    def create(self, lease_id: str | None = None, *, seconds: float | None = None) -> str:
        """Create a lease that ends after *seconds*, or with this process; return its ID.

        An infinite number of seconds makes a lease that ends only when it is deleted. A lease of
        that ID keeps its items and gets the new end.
        """
        lease_id = check_id(lease_id or os.urandom(8).hex())
        row: tuple[object, ...] = (lease_id, self._holder(), None, None, None)
        if seconds == math.inf:
            row = (lease_id, None, None, None, None)
        elif seconds is not None:
            row = (lease_id, None, time.time() + seconds, *_end_in_boot(seconds))
        with self._database.write() as connection:
            connection.execute("INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?, ?)", row)
        return lease_id

    @contextmanager
    def held(self) -> Iterator[str]:
        """Create a lease for the block; it also ends with the process."""
        lease_id = self.create()
        try:
            yield lease_id
        finally:
            self.delete(lease_id)

    def add(self, lease_id: str, *items: str) -> None:
        """Keep *items* alive until the lease ends."""
        with self._database.write() as connection:
            rows = ((lease_id, item) for item in items)
            connection.executemany("INSERT OR IGNORE INTO leased VALUES (?, ?)", rows)

    def drop(self, lease_id: str, *items: str) -> None:
        """Remove *items* from the lease; do nothing for items that it does not have."""
        with self._database.write() as connection:
            rows = ((lease_id, item) for item in items)
            connection.executemany("DELETE FROM leased WHERE lease = ? AND item = ?", rows)

    def delete(self, lease_id: str) -> None:
        """End the lease; do nothing if there is none."""
        with self._database.write() as connection:
            connection.execute("DELETE FROM leases WHERE id = ?", (lease_id,))
            connection.execute("DELETE FROM leased WHERE lease = ?", (lease_id,))

    def all(self) -> list[Lease]:
        """Return the leases that have not ended."""
        items: dict[str, set[str]] = {}
        with self._database.read() as connection:
            for lease, item in connection.execute("SELECT lease, item FROM leased"):
                items.setdefault(lease, set()).add(item)
            rows = connection.execute("SELECT * FROM leases ORDER BY id").fetchall()
        return [
            Lease(row[0], row[1], row[2], frozenset(items.get(row[0], ())))
            for row in rows
            if not self._has_ended(*row[1:])
        ]

    def keeps(self, item: str) -> bool:
        """Return True if a lease that has not ended has *item*."""
        leases = {
            row[0] for row in self._database.rows("SELECT lease FROM leased WHERE item = ?", item)
        }
        return bool(leases) and any(lease.id in leases for lease in self.all())

    def sweep(self) -> None:
        """Delete the leases that have ended."""
        with self._database.write():
            alive = {lease.id for lease in self.all()}
            ids = self._database.rows("SELECT id FROM leases UNION SELECT lease FROM leased")
            for (lease_id,) in ids:
                if lease_id not in alive:
                    self.delete(lease_id)

    def _has_ended(
        self, holder: str | None, expires: float | None, boot: str | None, in_boot: float | None
    ) -> bool:
        if holder is not None:
            return not is_alive(self._root, holder)
        if expires is None:
            return False
        now = _now_in_boot()
        if now is not None and in_boot is not None and now[0] == boot:
            return now[1] >= in_boot
        return time.time() >= expires


def _now_in_boot() -> tuple[str, float] | None:
    """Return the ID of this boot and the seconds since then, or None if the system has no ID."""
    with suppress(OSError, AttributeError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return boot, time.clock_gettime(time.CLOCK_BOOTTIME)
    return None


def _end_in_boot(seconds: float) -> tuple[str | None, float | None]:
    now = _now_in_boot()
    return (None, None) if now is None else (now[0], now[1] + seconds)
