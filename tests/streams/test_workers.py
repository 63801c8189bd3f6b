"""Threads can be stopped at any time, even while they start."""

from __future__ import annotations

import gzip
import io
import threading
from collections.abc import Callable
from concurrent.futures import Future

import pytest

from tarkit.errors import TransportError
from tarkit.streams.codecs import Compression, compress
from tarkit.streams.gzip import _Workers
from tarkit.streams.threads import start_thread
from tarkit.streams.workers import Pool, Workers


def test_tasks_are_done() -> None:
    with Workers(2, "test") as pool:
        results = pool.map(lambda number: number * number, range(10))
        pool.begin()
        assert list(results) == [number * number for number in range(10)]


def test_no_thread_works_before_all_have_started() -> None:
    done: list[int] = []
    with Workers(4, "test") as pool:
        futures = [pool.submit(done.append, number) for number in range(8)]
        assert done == []
        pool.begin()
    assert sorted(done) == list(range(8))
    assert all(future.done() for future in futures)


def interrupted(start: Callable[[threading.Thread], None]) -> Callable[[threading.Thread], None]:
    """Call *start*, with a signal after the thread has started but before its caller knows."""

    def start_and_fail(thread: threading.Thread) -> None:
        start(thread)
        raise KeyboardInterrupt

    return start_and_fail


def test_an_interrupted_start_leaves_nothing_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[int] = []
    futures: list[Future[None]] = []

    def work() -> None:
        with Workers(2, "orphan") as pool:
            futures.append(pool.submit(done.append, 1))
            monkeypatch.setattr(threading.Thread, "start", interrupted(threading.Thread.start))
            futures.append(pool.submit(done.append, 2))

    with pytest.raises(KeyboardInterrupt):
        work()
    for thread in threading.enumerate():
        if thread.name.startswith("orphan"):
            thread.join(60)
    assert done == []
    assert [future.cancelled() for future in futures] == [True]


def test_an_interrupted_start_leaves_no_packer_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytes(1 << 20)  # a stream of less than one chunk is compressed without threads
    before = set(threading.enumerate())
    monkeypatch.setattr(_Workers, "_executor", None)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", interrupted(threading.Thread.start))
        with pytest.raises(KeyboardInterrupt):
            compress(io.BytesIO(data), Compression.GZIP).read()
    for thread in set(threading.enumerate()) - before:
        thread.join(60)
        assert not thread.is_alive()
    packed = compress(io.BytesIO(data), Compression.GZIP).read()  # as if nothing had been
    assert gzip.decompress(packed) == data


def no_more_than(count: int, monkeypatch: pytest.MonkeyPatch) -> list[threading.Thread]:
    """Let only *count* threads start, and return a list of them."""
    started: list[threading.Thread] = []
    start = threading.Thread.start

    def limited(thread: threading.Thread) -> None:
        if len(started) >= count:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)
    return started


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_pool_works_with_fewer_threads(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    started = no_more_than(count, monkeypatch)
    for make in (Pool, Workers):
        started.clear()
        with make(4, "test") as pool:
            results = pool.map(lambda number: number * number, range(20))
            if isinstance(pool, Workers):
                pool.begin()
            assert list(results) == [number * number for number in range(20)]
        assert 1 <= len(started) <= count


def test_a_pool_without_a_single_thread_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    no_more_than(0, monkeypatch)
    for make in (Pool, Workers):
        with make(4, "test") as pool, pytest.raises(TransportError, match="can't start new thread"):
            pool.submit(int)
    with pytest.raises(TransportError, match="can't start new thread"):
        start_thread(lambda: None, "test")
