"""Threads: started one by one or in pools, and stopped from the moment they begin."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread

from tarkit.errors import TransportError


def start_thread(work: Callable[[], None], name: str, *, daemon: bool = True) -> Thread:
    """Start a thread that does *work*; raise :class:`TransportError` if the system has none left."""
    thread = Thread(target=work, name=name, daemon=daemon)
    try:
        thread.start()
    except RuntimeError as error:
        raise _no_thread(error) from error
    return thread


class Pool(ThreadPoolExecutor):
    """Up to a number of threads: fewer if the system has no more.

    Raises :class:`TransportError` if it does not have a single one.
    """

    def _adjust_thread_count(self) -> None:
        try:
            super()._adjust_thread_count()
        except RuntimeError as error:
            if not self._threads:
                raise _no_thread(error) from error


class Workers(Pool):
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


def _no_thread(error: RuntimeError) -> TransportError:
    return TransportError(
        str(error), hint="raise the limits of processes and memory (ulimit -u, -v)"
    )
