"""Policies of prune: the refs that may be removed, and the bytes that may stay."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from tarkit.cache.facts import RecordType
from tarkit.streams.os_errors import os_errors
from tarkit.values import dataclass

_HOUR = 3600
_GB = 10**9
_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class PrunePolicy:
    """One step of a prune. Sizes are in bytes; 0 is no limit.

    - ``filters``: only refs that match one of them may be removed.
    - ``all``: remove also refs of the types internal and frontend, and shared refs.
    - ``keep_duration``: refs used within that many seconds stay.
    - ``reserved``: keep at least this much.
    - ``max_used``: remove refs until less than this is used.
    - ``min_free``: remove refs until this much of the disk is free.

    Without a limit, all these refs are removed.

    >>> with tarkit.CacheManager.open("store") as manager:
    ...     manager.prune([tarkit.PrunePolicy(keep_duration=3600, max_used=10**9)])
    []
    """

    filters: Sequence[str] = ()
    all: bool = False
    keep_duration: float = 0
    reserved: int = 0
    max_used: int = 0
    min_free: int = 0

    @property
    def has_limit(self) -> bool:
        """True if only the excess is removed."""
        return bool(self.reserved or self.max_used or self.min_free)


@dataclass(frozen=True, slots=True)
class DiskSpace:
    """The size of a disk and its free space, in bytes."""

    total: int
    free: int

    @classmethod
    def of(cls, path: Path) -> DiskSpace:
        """Return the space of the disk with *path*, as far as this user may use it."""
        with os_errors(path):
            found = os.statvfs(path)
        return cls(found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize)


def keep_bytes(total: int, disk: DiskSpace, policy: PrunePolicy) -> int:
    """Return the number of bytes to keep of *total*, or 0 if all may be removed."""
    if not policy.has_limit:
        return 0
    keep = policy.max_used
    excess = policy.min_free - disk.free
    if excess > 0:
        keep = min(keep, total - excess) if keep else total - excess
    elif policy.min_free and not keep:
        keep = total
    return max(keep, policy.reserved, 0)


def default_policies(disk: DiskSpace) -> list[PrunePolicy]:
    """Return the four steps of BuildKit's default.

    They remove, in this order: sources and cache mounts beyond 512 MB that were not used for two
    days; refs that were not used for 60 days; other refs; and internal refs. The last three steps
    stop at the caps: at most 80 % of the disk or 100 GB are used, and 20 % are free. 10 % of the
    disk or 10 GB always stay.
    """
    reserved = min(_percent(disk, 10), 10 * _GB)
    max_used = min(_percent(disk, 80), 100 * _GB)
    min_free = _percent(disk, 20)
    sources = (RecordType.LOCAL_SOURCE, RecordType.CACHE_MOUNT, RecordType.GIT_CHECKOUT)
    caps = PrunePolicy(reserved=reserved, max_used=max_used, min_free=min_free)
    return [
        PrunePolicy(
            [f"type=={kind.value}" for kind in sources], keep_duration=48 * _HOUR,
            max_used=512 * 10**6,
        ),
        PrunePolicy((), False, 60 * 24 * _HOUR, reserved, max_used, min_free),
        caps,
        PrunePolicy((), True, 0, reserved, max_used, min_free),
    ]  # fmt: skip


def _percent(disk: DiskSpace, percent: int) -> int:
    return (disk.total * percent // 100 // _GIB + 1) * _GB
