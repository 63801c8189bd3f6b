"""Limit the work and memory that the layers of one image may take, however small they are compressed."""

from __future__ import annotations

from tarkit.errors import LimitExceededError
from tarkit.tar.allowance import Allowance

MAX_ENTRIES = 8_000_000
"""Maximum number of entries in all layers of an image; each takes about 250 bytes of memory."""

FREE_STEPS = 1_000_000
"""Number of components of symbolic links and very deep paths that the merge follows in any image."""

STEPS_PER_ENTRY = 64
"""Additional components allowed for each entry of the layers; shallower paths do not count."""

_REASON = "the most that fit into 2 GiB of memory"


def entry_allowance() -> Allowance:
    """Return an allowance for the entries of all layers of one image."""
    return Allowance(MAX_ENTRIES, "entries", _REASON)


class MergeLimits:
    """Counts the entries and steps of a merge; raises :class:`LimitExceededError` beyond the limits."""

    def __init__(self) -> None:
        self._entries = entry_allowance()
        self._steps = FREE_STEPS
        self._followed = 0

    def add_entries(self, count: int) -> None:
        """Count *count* entries of a layer."""
        self._entries.take(count)
        self._steps += STEPS_PER_ENTRY * count

    def add_directory(self) -> None:
        """Count a directory that no layer lists."""
        self._entries.take(1)

    def add_paths(self, count: int, length: int) -> None:
        """Count *count* paths of *length* bytes that are not names of entries, in KiB."""
        self._entries.take(count * (length >> 10))

    def follow(self, steps: int) -> None:
        """Count *steps* components of a symbolic link, or of a very deep path."""
        self._followed += steps
        if self._followed > self._steps:
            raise LimitExceededError(
                f"paths and symbolic links take more than {self._steps} steps to follow",
                limit=self._steps,
            )
