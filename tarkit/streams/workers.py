"""Thread pools that fail cleanly and can be stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from threading import Event
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from tarkit.streams.cancellation import SLICE, Cancellation, check
from tarkit.streams.threads import no_thread

P = ParamSpec("P")
T = TypeVar("T")


class Pool(ThreadPoolExecutor):
    """A thread pool that works with fewer threads if the system refuses to start more.

    Submitting a task raises :class:`TransportError` if not even one thread can start.
    """

    def _adjust_thread_count(self) -> None:
        try:
            super()._adjust_thread_count()
        except RuntimeError as error:
            if not self._threads:
                raise no_thread(error) from error


class Workers(Pool):
    """A pool of up to *count* threads, called *name*, that wait for :meth:`begin`.

    A signal may interrupt the start of a thread before the pool has registered it, and the pool
    would not wait for that thread. So no thread works before all have started, and
    none if that fails.
    """

    def __init__(self, count: int, name: str) -> None:
        self._began = Event()
        self._cancellation = Cancellation()
        # The initializer runs first on each thread, so threads wait here for begin().
        super().__init__(count, name, initializer=self._began.wait)

    def submit(self, task: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Submit *task* as the executor does; it runs under the caller's cancellations."""
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
        """Submit *task* for each item and return the results in order; see :func:`result_of`."""
        futures = [self.submit(task, *items) for items in zip(*iterables, strict=False)]
        return map(result_of, futures)

    def begin(self) -> None:
        """Let the threads work on the submitted tasks."""
        self._began.set()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Shut down as the executor does; if :meth:`begin` was not called, cancel all tasks.

        *cancel_futures* also cancels running tasks, even if they wait for a registry or a daemon.
        """
        if cancel_futures:
            self._cancellation.cancel()
        # Cancel before the threads are released, so that none of them starts a task.
        if not self._began.is_set():
            super().shutdown(wait=False, cancel_futures=True)
            # Release the threads, which otherwise wait forever.
            self._began.set()
        super().shutdown(wait=wait, cancel_futures=cancel_futures)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Wait for the threads, or cancel their tasks if the block failed."""
        self.shutdown(cancel_futures=kind is not None)


def result_of(future: Future[T]) -> T:
    """Return the result of *future*, waiting in slices, since a signal cannot interrupt a wait."""
    while not future.done():
        check()
        wait((future,), SLICE)
    return future.result()
