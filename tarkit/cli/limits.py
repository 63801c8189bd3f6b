"""The limits of a run that skopeo's global options set: its time, and its temporary files."""

from __future__ import annotations

import os
import re
from pathlib import Path

from tarkit.cli.messages import note
from tarkit.errors import PathNotFoundError, UsageError

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")


def parse_duration(text: str) -> float:
    """Return the seconds in a duration as Go writes it, such as ``1m30s``; raise UsageError."""
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise UsageError(f"{text[:100]!r} is not a duration", hint="write 90s, 1m30s or 2h")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def end_after(duration: str) -> None:
    """End this process like ``kill`` after *duration*: it cleans up, and exits with 143."""
    import signal
    import threading

    def end() -> None:
        note(f"the command takes longer than --command-timeout {duration}")
        os.kill(os.getpid(), signal.SIGTERM)

    timer = threading.Timer(parse_duration(duration), end)
    timer.daemon = True
    timer.start()


def use_temporary(directory: Path) -> None:
    """Put temporary files in *directory*; raise :class:`PathNotFoundError` if it is missing."""
    if not directory.is_dir():
        raise PathNotFoundError("no such directory", where=str(directory))
    os.environ["TMPDIR"] = str(directory)
