"""Regular expressions that are compiled on first use."""

from __future__ import annotations

import re
from typing import Any, AnyStr, cast


def lazy_pattern(pattern: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
    """Return an object that behaves like ``re.compile(pattern, flags)``, but costs nothing yet."""
    return cast("re.Pattern[AnyStr]", _LazyPattern(pattern, flags))


class _LazyPattern:
    """Compiles the pattern when its first method is used."""

    def __init__(self, pattern: Any, flags: int) -> None:
        self._arguments = pattern, flags

    def __getattr__(self, name: str) -> Any:
        """Return a method of the pattern, and keep it: later uses are as fast as the pattern's own."""
        value = getattr(re.compile(*self._arguments), name)
        setattr(self, name, value)
        return value
