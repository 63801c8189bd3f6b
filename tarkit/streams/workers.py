"""Threads that can be stopped from the moment they begin."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event


class Workers(ThreadPoolExecutor):
    """Up to *count* threads, called *name*, that begin when :meth:`begin` says so.

    A signal may interrupt whoever starts a thread just before the pool has heard of it, and the pool
    would not wait for that one. So none works until all were started, and none does at all where it
    does not come to that.
    """

    def __init__(self, count: int, name: str) -> None:
        self._began = Event()
        super().__init__(count, name, initializer=self._began.wait)

    def begin(self) -> None:
        """Have the threads do what was submitted."""
        self._began.set()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As the executor's; what has not begun is cancelled in any case."""
        if not self._began.is_set():
            super().shutdown(wait=False, cancel_futures=True)
            self._began.set()
        super().shutdown(wait=wait, cancel_futures=cancel_futures)
