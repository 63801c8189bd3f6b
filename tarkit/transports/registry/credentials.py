"""Who to be at a registry. A secret is in no repr, and so in no log and no traceback."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from typing import Self

from tarkit.errors import MalformedError, UsageError

_LINE_BREAKS = re.compile(r"[\r\n]")
TOKEN_USER = "<token>"
"""The user name under which helpers and Docker keep an identity token."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user name and password, or an ``identity_token`` to trade for access tokens.

    ``origin`` says where they were found, for messages.
    """

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    origin: str = field(default="", compare=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``user:password``; raises :class:`UsageError`, without the text, where it is neither."""
        username, colon, password = text.partition(":")
        if not username or not colon:
            raise UsageError("credentials are written USER:PASSWORD")
        return cls(username, password, origin="the command line")

    @classmethod
    def from_basic(cls, encoded: str, *, origin: str) -> Self:
        """Read base64 of ``user:password``, perhaps with line breaks; raises :class:`MalformedError`."""
        try:
            text = base64.b64decode(_LINE_BREAKS.sub("", encoded), validate=True).decode()
        except (binascii.Error, ValueError):
            raise MalformedError("an 'auth' that is not base64", where=origin) from None
        username, colon, password = text.partition(":")
        if not colon:
            raise MalformedError("an 'auth' that is not user:password", where=origin)
        return cls(username, password.rstrip("\0"), origin=origin)

    def __bool__(self) -> bool:
        """Return whether there is anything to send: without a name and a secret, nobody is meant."""
        return bool(self.username or self.password or self.identity_token)

    @property
    def basic(self) -> str:
        """Base64 of ``user:password``: what Basic authentication sends and auth files keep."""
        return base64.b64encode(f"{self.username}:{self.password}".encode()).decode()

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown, in every form it travels in."""
        plain = tuple(secret for secret in (self.password, self.identity_token) if secret)
        return (*plain, self.basic) if self.password else plain
