"""Report requests and decisions to a listener, such as ``--verbose``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tarkit.errors import one_line
from tarkit.redaction import hidden

_listener: Callable[[str], None] | None = None


def trace(message: str, *values: object) -> None:
    """Report *message* with *values*, formatted with ``%``; mask secrets and control characters.

    The module logging is not used: its functions take locks, and a signal handler that raises an
    exception inside them could leave one locked for all threads.
    """
    if _listener is not None:
        _listener(one_line(hidden(message % values)))


@contextmanager
def tracing(listener: Callable[[str], None]) -> Iterator[None]:
    """Report all requests and decisions, in every thread, to *listener* during the block.

    >>> from tarkit.tracing import tracing
    >>> with tracing(print), tarkit.open_reader("fixtures/hello.tar") as reader:
    ...     pass
    fixtures/hello.tar: read as a docker archive
    """
    global _listener
    before, _listener = _listener, listener
    try:
        yield
    finally:
        _listener = before
