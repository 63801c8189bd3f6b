"""Secrets that no message may show, however a far end echoes them."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from weakref import WeakSet

_MASK = "***"
_SHORTEST = 2  # masking a single letter would leave nothing to read
_TELLING = 8  # so many first characters of a secret give it away, wherever the rest was cut off

_vaults: WeakSet[Secrets] = WeakSet()
_lock = threading.Lock()


class Secrets:
    """The secrets in use somewhere. Every :class:`~tarkit.errors.TarkitError` hides them while this object lives."""

    def __init__(self) -> None:
        self._patterns: dict[str, re.Pattern[str]] = {}
        with _lock:
            _vaults.add(self)

    def add(self, *secrets: str) -> None:
        """Hide *secrets* from now on, in every form in which they could come back."""
        forms = {form for secret in secrets for form in _forms(secret)}
        self._patterns.update({form: _pattern(form) for form in forms if len(form) >= _SHORTEST})

    def hide(self, text: str) -> str:
        """Return *text* with every secret masked."""
        for form in sorted(self._patterns, key=len, reverse=True):
            text = self._patterns[form].sub(_MASK, text)
        return text


def hidden(text: str) -> str:
    """Return *text* without any secret in use."""
    with _lock:
        vaults = list(_vaults)
    for vault in vaults:
        text = vault.hide(text)
    return text


def _forms(secret: str) -> Iterable[str]:
    """Yield *secret* as it is, and as URLs, JSON, messages and URL-safe base64 write it."""
    import json
    from base64 import urlsafe_b64encode
    from urllib.parse import quote, quote_plus

    yield secret
    yield secret.rstrip("=")
    yield secret.replace("+", "-").replace("/", "_").rstrip("=")
    yield quote(secret, safe="")
    yield quote(secret)
    yield quote_plus(secret)
    yield json.dumps(secret)[1:-1]
    yield repr(secret)[1:-1]
    yield urlsafe_b64encode(secret.encode(errors="replace")).decode().rstrip("=")


def _pattern(form: str) -> re.Pattern[str]:
    """Match *form* in any case (host names lose theirs), or as much of it as was not cut off."""
    if len(form) <= _TELLING:
        return re.compile(re.escape(form), re.IGNORECASE)
    start, rest = form[:_TELLING], form[_TELLING:]
    cut = f"(?:{re.escape(rest)}|[^\\s\"'<>]*(?=$|[\"'…]))"
    return re.compile(re.escape(start) + cut, re.IGNORECASE)
