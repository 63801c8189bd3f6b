"""The messages of file transfers: ``fsutil`` packets."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

from tarkit.llb.wire import (
    Message,
    enum,
    int64,
    mapping,
    message,
    raw_bytes,
    string,
    uint32,
)


class Stat(Message):
    """The facts about a file; see :class:`~tarkit.gateway.stat.Stat`."""

    path: str = string(1)
    mode: int = uint32(2)
    uid: int = uint32(3)
    gid: int = uint32(4)
    size: int = int64(5)
    mod_time: int = int64(6, name="modTime")
    linkname: str = string(7)
    devmajor: int = int64(8)
    devminor: int = int64(9)
    xattrs: Mapping[str, bytes] = mapping(10, raw_bytes)


class PacketType(IntEnum):
    """The types of packets."""

    STAT = 0
    REQ = 1
    DATA = 2
    FIN = 3
    ERR = 4


class Packet(Message):
    """A step of a transfer."""

    type: PacketType = enum(1, PacketType)
    stat: Stat | None = message(2, Stat)
    id: int = uint32(3, name="ID")
    data: bytes = raw_bytes(4)
