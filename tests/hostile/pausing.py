"""Pause points: a function called just before a chosen system call of this process.

Pause points make a race deterministic. Python reports most calls that concern files to audit hooks
before it makes them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_CALLS = {
    "open",
    "os.mkdir",
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.link",
    "os.symlink",
    "os.chmod",
    "os.chown",
    "os.utime",
    "os.setxattr",
    "os.removexattr",
    "os.listdir",
    "os.scandir",
}

_listeners: list[Callable[[], None]] = []


def _hook(event: str, _: object) -> None:
    if _listeners and event in _CALLS:
        listeners, _listeners[:] = _listeners[:], []  # ignore calls by the listeners themselves
        for listener in listeners:
            listener()
        _listeners[:] = listeners


_installed: list[bool] = []


@contextmanager
def before_each_call(listener: Callable[[], None]) -> Iterator[None]:
    """Call *listener* before every call in ``_CALLS`` during the block."""
    if not _installed:  # hooks cannot be removed, so install it once
        _installed.append(True)
        sys.addaudithook(_hook)
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.clear()
