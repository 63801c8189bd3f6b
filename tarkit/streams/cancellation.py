"""Cancellation: a request to stop all work inside a block, in every thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Self

from tarkit.errors import CancelledError

SLICE = 0.1
"""Longest wait in seconds between two checks for a cancellation."""

_active: ContextVar[tuple[Cancellation, ...]] = ContextVar("active_cancellations", default=())


class Cancellation:
    """Stops the work done inside its block.

    ::

        cancellation = Cancellation()
        with cancellation:
            copy_image(source, destination)  # raises CancelledError soon after cancel()

    Call :meth:`cancel` from any thread or signal handler. It also ends waits for a registry or a
    daemon. One object can cover several blocks in several threads, and stays cancelled.

    >>> cancellation = tarkit.Cancellation()
    >>> cancellation.cancel()
    >>> try:
    ...     with cancellation:
    ...         tarkit.verify("fixtures/hello.tar")
    ... except tarkit.CancelledError:
    ...     print("cancelled")
    cancelled
    """

    def __init__(self) -> None:
        self._cancelled = False

    def cancel(self) -> None:
        """Stop all work inside the block within a fraction of a second."""
        self._cancelled = True  # takes no lock, so a signal handler may call it

    @property
    def cancelled(self) -> bool:
        """True if :meth:`cancel` was called."""
        return self._cancelled

    def __enter__(self) -> Self:
        _active.set((*_active.get(), self))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Blocks nest, so the last entry is this one, even if it occurs several times.
        _active.set(_active.get()[:-1])


class _Expiring(Cancellation):
    """A cancellation that takes effect after some *seconds*."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._end = time.monotonic() + seconds

    @property
    def cancelled(self) -> bool:
        return time.monotonic() >= self._end


def check() -> None:
    """Raise :class:`CancelledError` if a cancellation around the caller has been cancelled."""
    for cancellation in _active.get():
        if cancellation.cancelled:
            raise CancelledError("cancelled")


def wait(event: threading.Event, seconds: float) -> bool:
    """Wait for *event* for at most *seconds*; return True if it is set.

    Raises :class:`CancelledError` if the work around the caller is cancelled.
    """
    end = time.monotonic() + seconds
    # Signal handlers run only between waits, so wait in slices.
    while True:
        check()
        left = end - time.monotonic()
        if event.wait(max(0.0, min(SLICE, left))) or left <= SLICE:
            return event.is_set()


@contextmanager
def shielded(seconds: float) -> Iterator[None]:
    """Protect the block, which cleans up, from cancellation for at most *seconds*."""
    # Replaces the enclosing cancellations, which may already be cancelled.
    token = _active.set((_Expiring(seconds),))
    try:
        yield
    finally:
        _active.reset(token)
