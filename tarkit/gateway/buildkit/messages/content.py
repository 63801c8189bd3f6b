"""The messages of ``containerd.services.content.v1.Content`` for reading."""

from __future__ import annotations

from collections.abc import Mapping

from tarkit.gateway.buildkit.messages.status import Timestamp
from tarkit.llb.wire import Message, int64, mapping, message, raw_bytes, string


class Info(Message):
    """A blob."""

    digest: str = string(1)
    size: int = int64(2)
    created_at: Timestamp | None = message(3, Timestamp)
    updated_at: Timestamp | None = message(4, Timestamp)
    labels: Mapping[str, str] = mapping(5, string)


class InfoRequest(Message):
    """The blob to look up."""

    digest: str = string(1)


class InfoResponse(Message):
    """A blob."""

    info: Info | None = message(1, Info)


class ReadContentRequest(Message):
    """The part of a blob to read; without size, all from the offset."""

    digest: str = string(1)
    offset: int = int64(2)
    size: int = int64(3)


class ReadContentResponse(Message):
    """A part of a blob."""

    offset: int = int64(1)
    data: bytes = raw_bytes(2)
