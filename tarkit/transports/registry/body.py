"""The body of a response as it comes in, with errors in our words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from typing import TYPE_CHECKING

from tarkit.transports.registry.failures import PassingError, from_exception

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

    from tarkit.streams.sockets import Allowance

_OVERHEAD = 2  # times its size: what chunks may add to a body


class Body:
    """The bytes of *raw*, which come from *host*; *allowance* bounds what waiting for them costs."""

    def __init__(self, raw: BaseHTTPResponse, host: str, allowance: Allowance | None) -> None:
        self._raw = raw
        self._host = host
        self._allowance = allowance

    def expect(self, size: int) -> None:
        """Take up to *size* more bytes in the time that is left for the whole answer."""
        if self._allowance:
            self._allowance.expect(size * _OVERHEAD)

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes, at most *size*; none at the end only.

        Raises :class:`PassingError` if the connection breaks, and
        :class:`~tarkit.errors.TransportError` if nothing comes in time.
        """
        from urllib3.exceptions import HTTPError

        try:
            return self._raw.read1(size) or b""
        except HTTPError as error:
            raise from_exception(error, self._host) from None
        except (OSError, ValueError, HTTPException, AttributeError):  # http.client, on nonsense
            raise PassingError("the connection broke", where=self._host) from None

    def next_piece(self, size: int) -> bytes:
        """Return the next bytes of a blob. Each piece has all of the time for an answer to itself."""
        if self._allowance:
            self._allowance.renew(size * _OVERHEAD)
        return self.read(size)

    def release(self) -> None:
        """Give the connection back: everything was read."""
        self._raw.release_conn()

    def close(self) -> None:
        """End the connection."""
        self._raw.close()


@dataclass(frozen=True, slots=True)
class Response:
    """An answer whose body is still to be read from ``stream``; ``url`` is where it came from in the end."""

    status: int
    headers: Mapping[str, str]
    url: str
    stream: Body
