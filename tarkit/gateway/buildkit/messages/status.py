"""``google.rpc.Status`` and its relatives."""

from __future__ import annotations

from collections.abc import Sequence

from tarkit.llb.wire import Message, int32, int64, raw_bytes, repeated, string


class Empty(Message):
    """A message without fields."""


class Any(Message):
    """A message of any type; BuildKit's values are JSON."""

    type_url: str = string(1)
    value: bytes = raw_bytes(2)


class Status(Message):
    """The result of a call."""

    code: int = int32(1)
    message: str = string(2)
    details: Sequence[Any] = repeated(3, Any)


class Timestamp(Message):
    """A time since the epoch."""

    second: int = int64(1, name="seconds")
    nanos: int = int32(2)

    @property
    def seconds(self) -> float:
        """The time in seconds."""
        return self.second + self.nanos / 1e9


class BytesMessage(Message):
    """A piece of a stream."""

    data: bytes = raw_bytes(1)


class HealthCheckResponse(Message):
    """Health of a service: 1 is serving."""

    status: int = int32(1)
