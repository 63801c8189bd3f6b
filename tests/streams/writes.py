"""Writes at any offset, applied to an output and to a model of the file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, TypeAlias

from hypothesis import strategies as st

Kind: TypeAlias = type[bytes] | type[bytearray] | type[memoryview]
Write: TypeAlias = tuple[int | None, int, Kind]

KINDS = st.sampled_from([bytes, bytearray, memoryview])


class Output(Protocol):
    """An object with a ``write`` method."""

    def write(self, offset: int, data: bytes | bytearray | memoryview, /) -> None: ...


def carried_out(output: Output, model: bytearray, writes: Sequence[Write]) -> Iterator[slice]:
    """Where each of *writes* went, to *output* and *model*: an offset, or ``None`` for behind the last one,
    a size, and what the data is in, whose memory is used for something else by then."""
    end = 0
    for number, (offset, size, kind) in enumerate(writes, 1):
        at = end if offset is None else offset
        data = kind(bytes([number]) * size)
        output.write(at, data)
        if isinstance(data, bytearray):
            data[:] = bytes(size)  # theirs again
        end = at + size
        model[at:end] = bytes([number]) * size
        yield slice(at, end)
