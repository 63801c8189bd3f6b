"""Signals that end a command: it cleans up, prints one line and exits with the code for the signal."""

from __future__ import annotations

import os
import signal
import sys
from time import monotonic
from types import FrameType

from tarkit.cli.failures import HUNG_UP, INTERRUPTED, TERMINATED, report

_PATIENCE = 1.0  # seconds
_RETRY = 0.005  # seconds
_TIMER = (signal.SIGALRM,) if hasattr(signal, "SIGALRM") else ()  # Windows has no such timer


class Signals:
    """Handle SIGTERM, and SIGINT and SIGHUP unless they are ignored, from :meth:`install` on.

    Until :meth:`working` is called, there is nothing to clean up, and a signal ends the process at
    once: modules are being imported, and an exception could get lost among them. Afterwards a signal
    raises an exception, once. `timeout` and some shells send a signal twice, and the second one must
    not interrupt the cleanup; a later one ends the process at once, as nothing half-written has its
    final name.
    """

    def __init__(self) -> None:
        self._codes = {signal.SIGTERM: TERMINATED, signal.SIGINT: INTERRUPTED}
        if hasattr(signal, "SIGHUP"):
            self._codes[signal.SIGHUP] = HUNG_UP
        self._working = False
        self._began = 0.0
        self._code = 0

    def install(self) -> None:
        """Begin to handle signals."""
        for number in self._codes:
            if number == signal.SIGTERM or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._end)
        sys.unraisablehook = self._raise_again

    def working(self) -> None:
        """Clean up after the next signal, as there may be something to clean up from now on."""
        self._working = True

    def finished(self, code: int) -> None:
        """Exit with *code* at any further signal: the command has ended, only the process has not."""
        for number in (*self._codes, *_TIMER):
            if signal.getsignal(number) in (self._end, self._retry):
                signal.signal(number, lambda *_: os._exit(code))

    def _end(self, number: int, _: FrameType | None) -> None:
        code = self._codes[signal.Signals(number)]
        if not self._working:
            os._exit(report(_exception(code)))
        if not self._code:
            self._code, self._began = code, monotonic()
            raise _exception(code)
        if monotonic() - self._began > _PATIENCE:
            os._exit(code)

    def _raise_again(self, lost: sys.UnraisableHookArgs) -> None:
        """Raise the exception of a signal again if it was raised where Python has to ignore it.

        That is a finalizer or a callback of the garbage collector. It cannot be raised from here
        either, so a timer does it in a moment. Other ignored exceptions are not the user's concern.
        """
        if isinstance(lost.exc_value, KeyboardInterrupt | SystemExit) and self._code:
            for number in _TIMER:
                signal.signal(number, self._retry)
                signal.setitimer(signal.ITIMER_REAL, _RETRY)

    def _retry(self, *_: object) -> None:
        raise _exception(self._code)


def _exception(code: int) -> BaseException:
    return KeyboardInterrupt() if code == INTERRUPTED else SystemExit(code)
