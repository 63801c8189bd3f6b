"""Reading ahead on a thread: the same bytes, errors at their position, no leftover threads."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator

import pytest

from tarkit.errors import TruncatedError
from tarkit.streams import CHUNK_SIZE
from tarkit.streams.readahead import ReadAhead
from tests.builders import noise


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


class Failing(io.BytesIO):
    """A stream that raises at its end."""

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if not data:
            raise TruncatedError("ends early")
        return data


class Endless:
    """An endless stream that counts reads, and notices if it is closed during one."""

    def __init__(self) -> None:
        self.reads = 0
        self.closed = False
        self.full = threading.Event()

    def read(self, size: int = -1, /) -> bytes:
        assert not self.closed
        self.reads += 1
        if self.reads > 4:
            self.full.set()
        return bytes(10)

    def close(self) -> None:
        self.closed = True


def test_the_same_bytes() -> None:
    data = noise(3 * CHUNK_SIZE + 5)
    with ReadAhead(io.BytesIO(data)) as stream:
        assert stream.read() == data
        assert stream.read(1) == b""


def test_an_error_is_raised_after_the_data_read_before_it() -> None:
    with ReadAhead(Failing(b"abc")) as stream:
        assert stream.read(3) == b"abc"
        for _ in range(2):
            with pytest.raises(TruncatedError):
                stream.read(1)


def test_closing_while_the_thread_waits_for_room() -> None:
    below = Endless()
    stream = ReadAhead(below)
    assert below.full.wait(10)
    stream.close()
    assert below.closed
    assert below.reads < 20


def test_it_stays_a_bounded_way_ahead() -> None:
    below = Endless()
    with ReadAhead(below) as stream:
        for _ in range(100):
            stream.read(10)
        assert below.reads <= 110


def test_closing_before_anything_was_read_and_twice() -> None:
    below = io.BytesIO(noise(10))
    stream = ReadAhead(below)
    stream.close()
    stream.close()
    assert below.closed


def test_closing_after_an_error() -> None:
    below = Failing(b"")
    stream = ReadAhead(below)
    with pytest.raises(TruncatedError):
        stream.read(1)
    stream.close()
    assert below.closed
