"""Test the bounded queue between two threads."""

from __future__ import annotations

import threading
from contextlib import suppress

import pytest

from tarkit import Cancellation, CancelledError
from tarkit.streams.channel import Channel


def test_items_arrive_in_order_however_small_the_channel() -> None:
    channel: Channel[int] = Channel(2)

    def produce() -> None:
        for number in range(1000):
            channel.put(number)

    producer = threading.Thread(target=produce)
    producer.start()
    assert [channel.get() for _ in range(1000)] == list(range(1000))
    producer.join()


def test_the_producer_stays_a_bounded_way_ahead() -> None:
    channel: Channel[int] = Channel(3)
    passed: list[int] = []
    full = Cancellation()

    def produce() -> None:
        with full, suppress(CancelledError):
            for number in range(10):
                channel.put(number)
                passed.append(number)

    producer = threading.Thread(target=produce)
    producer.start()
    producer.join(0.5)  # the fourth item waits
    full.cancel()
    producer.join()
    assert passed == [0, 1, 2]


def test_the_last_item_needs_no_room() -> None:
    channel: Channel[str] = Channel(1)
    channel.put("first")
    channel.put_last("last")
    assert (channel.get(), channel.get()) == ("first", "last")


def test_added_room_ends_a_wait() -> None:
    channel: Channel[int] = Channel(0)
    producer = threading.Thread(target=channel.put, args=(1,))
    producer.start()
    channel.add_room()
    producer.join(20)
    assert not producer.is_alive()
    assert channel.get() == 1


def test_a_cancellation_ends_both_waits() -> None:
    cancellation = Cancellation()
    cancellation.cancel()
    with cancellation:
        with pytest.raises(CancelledError):
            Channel[int](0).put(1)
        with pytest.raises(CancelledError):
            Channel[int](1).get()
