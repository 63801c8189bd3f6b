"""A pipe through a call of another connection, in messages of bytes."""

from __future__ import annotations

from tarkit.errors import TarkitError
from tarkit.gateway.buildkit.messages.status import BytesMessage
from tarkit.gateway.buildkit.peer import Call

_CHUNK = 32 << 10


class CallPipe:
    """See :class:`~tarkit.gateway.buildkit.pipes.Pipe`."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def read(self) -> bytes:
        """See :class:`~tarkit.gateway.buildkit.pipes.Pipe`."""
        try:
            while (message := self._call.receive(BytesMessage)) is not None:
                if message.data:
                    return bytes(message.data)
        except TarkitError as error:
            raise ConnectionError(0, error.message) from error
        return b""

    def write(self, data: bytes) -> None:
        """See :class:`~tarkit.gateway.buildkit.pipes.Pipe`."""
        try:
            for start in range(0, len(data), _CHUNK):
                self._call.send(BytesMessage(data=data[start : start + _CHUNK]))
        except TarkitError as error:
            raise ConnectionError(0, error.message) from error

    def close(self) -> None:
        """See :class:`~tarkit.gateway.buildkit.pipes.Pipe`."""
        self._call.cancel()
