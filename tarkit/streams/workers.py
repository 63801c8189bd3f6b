"""Threads: started one by one or in pools, and stopped from the moment they begin."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from threading import Event, Thread
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from tarkit.errors import TransportError
from tarkit.streams.cancellation import SLICE, Cancellation, check

P = ParamSpec("P")
T = TypeVar("T")


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
        self._cancellation = Cancellation()
        super().__init__(count, name, initializer=self._began.wait)

    def submit(self, task: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Submit *task* as the executor does; it inherits the caller's cancellations."""
        context = copy_context()

        def run() -> T:
            with self._cancellation:
                return task(*args, **kwargs)

        return super().submit(lambda: context.run(run))

    def map(
        self,
        task: Callable[..., T],
        /,
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
    ) -> Iterator[T]:
        """Submit *task* for each item and return the results in order, each by :func:`result_of`."""
        futures = [self.submit(task, *items) for items in zip(*iterables, strict=False)]
        return map(result_of, futures)

    def begin(self) -> None:
        """Have the threads do what was submitted."""
        self._began.set()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As the executor's; what has not begun is cancelled in any case.

        *cancel_futures* also ends the waits of running tasks for a registry or a daemon.
        """
        if cancel_futures:
            self._cancellation.cancel()
        if not self._began.is_set():
            super().shutdown(wait=False, cancel_futures=True)
            self._began.set()
        super().shutdown(wait=wait, cancel_futures=cancel_futures)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Wait for the threads, or stop them if the block failed."""
        self.shutdown(cancel_futures=kind is not None)


def result_of(future: Future[T]) -> T:
    """Return the result of *future*. A signal just before a wait does not end it, so none is long."""
    while not future.done():
        check()
        wait((future,), SLICE)
    return future.result()


def _no_thread(error: RuntimeError) -> TransportError:
    return TransportError(
        str(error), hint="raise the limits of processes and memory (ulimit -u, -v)"
    )
