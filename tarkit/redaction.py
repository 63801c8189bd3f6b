"""Mask secrets in messages, even if a server echoes them in another encoding."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from weakref import WeakSet

_MASK = "***"
_SHORTEST = 2  # masking single letters would make messages unreadable
_TELLING = 8  # a truncated secret is masked if at least this many characters are left

_vaults: WeakSet[Secrets] = WeakSet()
_lock = threading.Lock()


class Secrets:
    """A set of secrets, which every :class:`~tarkit.errors.TarkitError` masks while this exists."""

    def __init__(self) -> None:
        self._patterns: dict[str, re.Pattern[str]] = {}
        with _lock:
            _vaults.add(self)

    def add(self, *secrets: str) -> None:
        """Mask *secrets* from now on, in every encoding in which a server may echo them."""
        forms = {form for secret in secrets for form in _forms(secret)}
        self._patterns.update({form: _pattern(form) for form in forms if len(form) >= _SHORTEST})

    def hide(self, text: str) -> str:
        """Return *text* with every secret masked."""
        # The longest first, because a short form may be part of a longer one.
        for form in sorted(self._patterns, key=len, reverse=True):
            text = self._patterns[form].sub(_MASK, text)
        return text


def hidden(text: str) -> str:
    """Return *text* with the secrets of all living :class:`Secrets` masked."""
    with _lock:
        vaults = list(_vaults)
    for vault in vaults:
        text = vault.hide(text)
    return text


def _forms(secret: str) -> Iterable[str]:
    """Yield *secret* itself, and its encodings in URLs, JSON, repr and URL-safe base64."""
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
    """Return a pattern for *form*, possibly truncated, in any case: host names lose theirs."""
    if len(form) <= _TELLING:
        return re.compile(re.escape(form), re.IGNORECASE)
    start, rest = form[:_TELLING], form[_TELLING:]
    cut = f"(?:{re.escape(rest)}|[^\\s\"'<>]*(?=$|[\"'…]))"
    return re.compile(re.escape(start) + cut, re.IGNORECASE)
