"""The streamed body of a response, with errors translated to tarkit's."""

from __future__ import annotations

from collections.abc import Mapping
from http.client import HTTPException
from typing import TYPE_CHECKING

from tarkit.transports.registry.failures import PassingError, from_exception
from tarkit.values import dataclass

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

    from tarkit.streams.sockets import TimeAllowance

_OVERHEAD = 2  # chunked encoding may double the size of a body


class Body:
    """The bytes of *raw*, an answer from *host*; *allowance* limits the time spent waiting."""

    def __init__(self, raw: BaseHTTPResponse, host: str, allowance: TimeAllowance | None) -> None:
        self._raw = raw
        self._host = host
        self._allowance = allowance

    def expect(self, size: int) -> None:
        """Allow *size* more bytes within the time left for the whole answer."""
        if self._allowance:
            self._allowance.expect(size * _OVERHEAD)

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes, at most *size*, or none at the end.

        Raises :class:`PassingError` if the connection breaks, and
        :class:`~tarkit.errors.TransportError` if no data arrives in time.
        """
        from urllib3.exceptions import HTTPError

        try:
            return self._raw.read1(size) or b""
        except HTTPError as error:
            raise from_exception(error, self._host) from None
        except (
            OSError,
            ValueError,
            HTTPException,
            AttributeError,
        ):  # raised by http.client on invalid data
            raise PassingError("the connection broke", where=self._host) from None

    def next_piece(self, size: int) -> bytes:
        """Return the next bytes of a blob; the time limit for an answer applies to each piece."""
        if self._allowance:
            self._allowance.renew(size * _OVERHEAD)
        return self.read(size)

    def release(self) -> None:
        """Return the connection to the pool after the body has been read completely."""
        self._raw.release_conn()

    def close(self) -> None:
        """Close the connection."""
        self._raw.close()


@dataclass(frozen=True, slots=True)
class Response:
    """An answer whose body is unread in ``stream``; ``url`` is the last one after redirects."""

    status: int
    headers: Mapping[str, str]
    url: str
    stream: Body
