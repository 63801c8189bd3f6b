"""Messages as gRPC frames them in a stream: a flag, four bytes of length, and the message."""

from __future__ import annotations

from tarkit.errors import LimitExceededError, UnsupportedError
from tarkit.llb.wire.base import LARGEST

_HEAD = 5


def frame(message: bytes) -> tuple[bytes, bytes]:
    """Return the frame of a message in two parts."""
    return b"\0" + len(message).to_bytes(4, "big"), message


class Unframer:
    """Takes a stream apart; pass pieces of any size to :meth:`feed`."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        self._wanted = _HEAD
        self._in_message = False

    def feed(self, data: bytes) -> list[bytes]:
        """Return the messages that *data* completes.

        Raises :class:`~tarkit.errors.UnsupportedError` for a compressed message, and
        :class:`~tarkit.errors.LimitExceededError` if one is longer than 16 MiB.
        """
        self._pieces.append(data)
        self._size += len(data)
        if self._size < self._wanted:
            return []
        buffer, at = b"".join(self._pieces), 0
        found = []
        while len(buffer) - at >= self._wanted:
            piece = buffer[at : at + self._wanted]
            at += self._wanted
            if self._in_message:
                found.append(piece)
                self._wanted, self._in_message = _HEAD, False
            else:
                self._wanted, self._in_message = _length(piece), True
        rest = buffer[at:]
        self._pieces, self._size = [rest], len(rest)
        return found


def _length(head: bytes) -> int:
    if head[0]:
        raise UnsupportedError("compressed message, although none was asked for")
    length = int.from_bytes(head[1:], "big")
    if length > LARGEST:
        raise LimitExceededError(f"message of {length} bytes exceeds {LARGEST}", limit=LARGEST)
    return length
