"""A bounded queue between two threads that no signal can block."""

from __future__ import annotations

from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from tarkit.streams.cancellation import SLICE, check

T = TypeVar("T")


class Channel(Generic[T]):
    """Passes items from one thread to another, at most *depth* of them ahead.

    A signal can interrupt :class:`queue.Queue` while it holds its lock, and then both threads wait
    forever. A ``SimpleQueue`` has no such lock, so a second one counts the room in the first. Waits
    end with :class:`~tarkit.errors.CancelledError` if the waiting thread is cancelled.
    """

    def __init__(self, depth: int) -> None:
        self._items: SimpleQueue[T] = SimpleQueue()
        self._room: SimpleQueue[None] = SimpleQueue()
        for _ in range(depth):
            self.add_room()

    def put(self, item: T) -> None:
        """Pass *item* on, after waiting for room."""
        _take(self._room)
        self._items.put(item)

    def put_last(self, item: T) -> None:
        """Pass on the last *item*, which needs no room, so cleanup never waits."""
        self._items.put(item)

    def get(self) -> T:
        """Wait for the next item and return it."""
        item = _take(self._items)
        self.add_room()
        return item

    def add_room(self) -> None:
        """Make room for one more item; a thread that waits in :meth:`put` continues."""
        self._room.put(None)


def _take(queue: SimpleQueue[T]) -> T:
    """Return the next item; wait in slices, or a signal just before a wait goes unnoticed."""
    while True:
        try:
            return queue.get(timeout=SLICE)
        except Empty:
            check()
