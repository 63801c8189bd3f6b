"""A cancellation stops all work inside its block, in every thread, and nothing else."""

from __future__ import annotations

import io
import threading
from concurrent.futures import Future

import pytest

from tarkit.errors import CancelledError
from tarkit.streams.cancellation import Cancellation, check, shielded, wait
from tarkit.streams.readahead import ReadAhead
from tarkit.streams.verify import VerifyingReader
from tarkit.streams.workers import Workers, result_of


def cancelled() -> Cancellation:
    cancellation = Cancellation()
    cancellation.cancel()
    return cancellation


def test_work_inside_is_cancelled() -> None:
    cancellation = Cancellation()
    with cancellation, Cancellation():
        check()
        cancellation.cancel()
        assert cancellation.cancelled
        with pytest.raises(CancelledError):
            check()
    check()


def test_an_inner_cancellation_leaves_the_outer_one_alone() -> None:
    with Cancellation():
        with pytest.raises(CancelledError), cancelled():
            check()
        check()


def test_workers_and_their_workers_are_cancelled() -> None:
    started = threading.Event()

    def work() -> None:
        with Workers(1, "inner") as inner:
            future = inner.submit(wait, threading.Event(), 60)
            inner.begin()
            started.set()
            result_of(future)

    with Workers(1, "outer") as pool:
        cancellation = Cancellation()
        with cancellation:
            future = pool.submit(work)
        pool.begin()
        assert started.wait(60)
        cancellation.cancel()
        with pytest.raises(CancelledError):
            future.result(60)


def test_a_pool_whose_block_fails_stops_its_workers() -> None:
    started = threading.Event()

    def work() -> None:
        started.set()
        wait(threading.Event(), 60)

    def fail() -> None:
        with Workers(1, "test") as pool:
            futures.append(pool.submit(work))
            pool.begin()
            started.wait(60)
            raise KeyError

    futures: list[Future[None]] = []
    with pytest.raises(KeyError):
        fail()
    assert isinstance(futures[0].exception(0), CancelledError)


class Stalling(io.RawIOBase):
    """A stream that blocks until it is cancelled."""

    def __init__(self) -> None:
        self.reached = threading.Event()

    def read(self, size: int = -1, /) -> bytes:
        self.reached.set()
        wait(threading.Event(), 60)
        return b"too late"


def test_closing_a_read_ahead_stops_its_thread() -> None:
    stream = Stalling()
    reader = ReadAhead(stream)
    assert stream.reached.wait(60)
    reader.close()
    assert not reader._thread.is_alive()
    assert stream.closed


def test_a_read_ahead_is_cancelled_with_its_creator() -> None:
    cancellation = Cancellation()
    with cancellation:
        reader = ReadAhead(stream := Stalling())
        assert stream.reached.wait(60)
        cancellation.cancel()
        with pytest.raises(CancelledError):
            reader.read(1)
    reader.close()


def test_a_verified_stream_is_stopped_between_chunks() -> None:
    with cancelled(), pytest.raises(CancelledError):
        VerifyingReader(io.BytesIO(b"x")).read()


def test_cleaning_up_is_shielded_for_a_while() -> None:
    with cancelled():
        with shielded(60):
            check()
        with pytest.raises(CancelledError):
            check()
        with shielded(0), pytest.raises(CancelledError):
            check()


def test_a_wait_ends_with_its_event() -> None:
    event = threading.Event()
    assert not wait(event, 0)
    event.set()
    assert wait(event, 60)
