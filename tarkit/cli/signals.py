"""Handle signals that end a command: clean up, print a line, and exit with the signal's code."""

from __future__ import annotations

import os
import signal
import sys
from time import monotonic
from types import FrameType

from tarkit.cli.failures import HUNG_UP, INTERRUPTED, TERMINATED, report
from tarkit.cli.live import announce_stop
from tarkit.streams.cancellation import Cancellation

_GRACE_PERIOD = 1.0  # seconds for which further signals are ignored
_RETRY_DELAY = 0.005  # seconds
_TIMER = (signal.SIGALRM,) if hasattr(signal, "SIGALRM") else ()  # Windows has no such timer


class Signals:
    """Handle SIGTERM, and SIGINT and SIGHUP unless they are ignored, from :meth:`install` on.

    Before :meth:`working` is called, a signal ends the process at once: nothing needs cleaning up,
    and an exception raised during imports could get lost. Afterwards, the first signal cancels
    :attr:`cancellation` and raises an exception. The cancellation ends threads that the interrupted
    code had started but not yet recorded, and which it therefore cannot stop.

    `timeout` and some shells send a signal twice, so further signals are ignored for a moment. A
    later signal ends the process at once, which is safe because no incomplete file has its final
    name.
    """

    def __init__(self) -> None:
        self._codes = {signal.SIGTERM: TERMINATED, signal.SIGINT: INTERRUPTED}
        if hasattr(signal, "SIGHUP"):
            self._codes[signal.SIGHUP] = HUNG_UP
        self._working = False
        self._began = 0.0
        self._code = 0
        self._reported = False
        self.cancellation = Cancellation()

    def install(self) -> None:
        """Install the handlers."""
        for number in self._codes:
            # nohup and background jobs ignore signals on purpose.
            if number == signal.SIGTERM or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._end)
        sys.unraisablehook = self._raise_again

    def working(self) -> None:
        """Clean up after the next signal instead of ending at once."""
        self._working = True

    def exception(self) -> BaseException | None:
        """Return the exception of the first signal, to be reported, or None if there was no signal.

        Afterwards the exception is not raised again.
        """
        self._reported = bool(self._code)
        return _exception(self._code) if self._code else None

    def finished(self, code: int) -> None:
        """Exit with *code* on any further signal: the command is complete."""
        for number in (*self._codes, *_TIMER):
            if signal.getsignal(number) in (self._end, self._retry):
                signal.signal(number, lambda *_: os._exit(code))

    def _end(self, number: int, _: FrameType | None) -> None:
        code = self._codes[signal.Signals(number)]
        if not self._working:
            os._exit(report(_exception(code)))
        # Only one exception may unwind the stack, or it would interrupt the cleanup.
        if not self._code:
            self._code, self._began = code, monotonic()
            self.cancellation.cancel()
            announce_stop()
            raise _exception(code)
        if monotonic() - self._began > _GRACE_PERIOD:
            os._exit(code)

    def _raise_again(self, lost: sys.UnraisableHookArgs) -> None:
        """Raise the exception of a signal again if Python has ignored it.

        Python ignores exceptions in finalizers and in callbacks of the garbage collector, and also
        in this hook, so a timer raises it a moment later. Other ignored exceptions stay silent.
        """
        if isinstance(lost.exc_value, KeyboardInterrupt | SystemExit) and self._code:
            for number in _TIMER:
                signal.signal(number, self._retry)
                signal.setitimer(signal.ITIMER_REAL, _RETRY_DELAY)

    def _retry(self, *_: object) -> None:
        if not self._reported:
            raise _exception(self._code)


def _exception(code: int) -> BaseException:
    return KeyboardInterrupt() if code == INTERRUPTED else SystemExit(code)
