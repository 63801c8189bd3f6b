"""Registry credentials; repr omits secrets, so logs and tracebacks do too."""

from __future__ import annotations

import base64
import binascii
from dataclasses import field
from typing import Self

from tarkit.errors import MalformedError, UsageError
from tarkit.patterns import lazy_pattern
from tarkit.values import dataclass

_LINE_BREAKS = lazy_pattern(r"[\r\n]")
TOKEN_USER = "<token>"
"""The user name under which helpers and Docker store an identity token."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user name and password, or an ``identity_token`` to exchange for access tokens.

    ``origin`` is their source, for error messages.

    >>> tarkit.Credentials("user", "secret", origin="the test").username
    'user'
    """

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    origin: str = field(default="", compare=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ``user:password``; raise :class:`UsageError`, which does not quote *text*."""
        username, colon, password = text.partition(":")
        if not username or not colon:
            raise UsageError("credentials must have the form USER:PASSWORD")
        return cls(username, password, origin="the command line")

    @classmethod
    def from_basic(cls, encoded: str, *, origin: str) -> Self:
        """Parse base64 of ``user:password``; raise :class:`MalformedError` if it is invalid."""
        try:
            text = base64.b64decode(_LINE_BREAKS.sub("", encoded), validate=True).decode()
        except (binascii.Error, ValueError):
            raise MalformedError("'auth' is not base64", where=origin) from None
        username, colon, password = text.partition(":")
        if not colon:
            raise MalformedError("'auth' is not base64 of user:password", where=origin)
        return cls(username, password.rstrip("\0"), origin=origin)

    def __bool__(self) -> bool:
        """Return False if user name, password and token are all empty."""
        return bool(self.username or self.password or self.identity_token)

    @property
    def basic(self) -> str:
        """Base64 of ``user:password``, as Basic authentication sends and auth files store it."""
        return base64.b64encode(f"{self.username}:{self.password}".encode()).decode()

    @property
    def secrets(self) -> tuple[str, ...]:
        """The strings to mask in messages, in every form that is sent."""
        plain = tuple(secret for secret in (self.password, self.identity_token) if secret)
        return (*plain, self.basic) if self.password else plain
