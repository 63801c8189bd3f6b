"""Threads that fail cleanly if the system refuses them."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread

from tarkit.errors import TransportError


def start_thread(work: Callable[[], None], name: str, *, daemon: bool = True) -> Thread:
    """Start a thread that calls *work*.

    Raises :class:`TransportError` if the system refuses to start it.
    """
    thread = Thread(target=work, name=name, daemon=daemon)
    try:
        thread.start()
    except RuntimeError as error:
        raise no_thread(error) from error
    return thread


def no_thread(error: RuntimeError) -> TransportError:
    """Return *error*, from starting a thread, as an error that says what to do."""
    return TransportError(
        str(error), hint="raise the limits on processes and memory (ulimit -u, -v)"
    )
