"""The protocol without I/O: every byte passes through the tests."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tarkit.errors import TransportError
from tarkit.gateway.buildkit.framing import Unframer, frame
from tarkit.gateway.buildkit.messages.status import Any, Status
from tarkit.gateway.buildkit.protocol import (
    WINDOW,
    Ended,
    HalfClosed,
    Opened,
    Protocol,
    Received,
)
from tarkit.gateway.buildkit.status import Code
from tests.gateway.buildkit.joined import Events, Wire

METHOD = "/test.Service/Method"


def messages(events: Events) -> list[bytes]:
    return [each for event in events if isinstance(event, Received) for each in event.messages]


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_a_call_carries_messages_both_ways_and_a_status(size: int) -> None:
    wire = Wire(size)
    stream = wire.client.call(METHOD, [("key", "one"), ("key", "two")], timeout=1.5)
    wire.client.send(stream, b"question")
    wire.client.close_sending(stream)
    _, events = wire.exchange()
    opened = events[0]
    assert isinstance(opened, Opened)
    assert opened.method == METHOD
    assert [value for name, value in opened.metadata if name == "key"] == ["one", "two"]
    assert dict(opened.metadata)["grpc-timeout"] == "1500m"
    assert messages(events) == [b"question"]
    assert events[-1] == HalfClosed(opened.stream)
    wire.server.send(opened.stream, b"answer")
    wire.server.end(opened.stream, Status())
    events, _ = wire.exchange()
    assert messages(events) == [b"answer"]
    assert events[-1] == Ended(stream, Status())


def test_an_error_keeps_its_message_and_details() -> None:
    wire = Wire()
    stream = wire.client.call(METHOD)
    wire.exchange()
    details = [Any(type_url="x+json", value=b'{"a":1}')]
    status = Status(code=Code.NOT_FOUND, message="50 % of\nä", details=details)
    wire.server.end(stream, status)
    events, _ = wire.exchange()
    assert events == [Ended(stream, status)]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 200_000), max_size=8), st.sampled_from([1000, 16_384, 1 << 20]))
def test_messages_of_any_size_pass_small_windows(sizes: list[int], piece: int) -> None:
    wire = Wire(piece)
    stream = wire.client.call(METHOD)
    sent = [bytes([number]) * size for number, size in enumerate(sizes)]
    for each in sent:
        wire.client.send(stream, each)
    wire.client.close_sending(stream)
    _, events = wire.exchange()
    assert messages(events) == sent
    assert events[-1] == HalfClosed(stream)


def test_a_message_of_16_mib_arrives_though_it_exceeds_the_window() -> None:
    wire = Wire()
    stream = wire.client.call(METHOD)
    data = bytes(16 << 20)
    wire.client.send(stream, data)
    _, events = wire.exchange()
    assert messages(events) == [data]


def test_a_sender_pauses_until_the_consumer_has_room() -> None:
    wire = Wire()
    stream = wire.client.call(METHOD)
    for _ in range(100):
        wire.client.send(stream, bytes(100_000))
    _, events = wire.exchange()
    arrived = sum(map(len, messages(events)))
    assert WINDOW <= arrived <= 2 * WINDOW + 100_000
    assert wire.client.queued(stream) > 0
    total = arrived
    while arrived:
        wire.server.consumed(stream, arrived)
        _, events = wire.exchange()
        arrived = sum(map(len, messages(events)))
        total += arrived
    assert total == 100 * 100_000
    assert wire.client.queued(stream) == 0


def test_a_slow_call_does_not_stop_another() -> None:
    wire = Wire()
    slow, fast = wire.client.call(METHOD), wire.client.call(METHOD)
    for _ in range(100):
        wire.client.send(slow, bytes(100_000))
    wire.client.send(fast, b"quick")
    _, events = wire.exchange()
    assert b"quick" in messages(events)


def test_hundreds_of_calls_in_a_row_leave_nothing_behind() -> None:
    wire = Wire()
    for _ in range(300):
        stream = wire.client.call(METHOD)
        wire.client.close_sending(stream)
        wire.exchange()
        wire.server.end(stream, Status())
        events, _ = wire.exchange()
        assert events[-1] == Ended(stream, Status())
    assert not wire.client._streams
    assert not wire.server._streams


def test_a_cancelled_call_ends_on_the_other_side() -> None:
    wire = Wire()
    stream = wire.client.call(METHOD)
    wire.exchange()
    wire.client.cancel(stream)
    _, events = wire.exchange()
    assert isinstance(events[-1], Ended)
    assert events[-1].status.code == Code.CANCELLED


@pytest.mark.parametrize(
    ("head", "code"),
    [(b"\1\0\0\0\1x", Code.INTERNAL), (b"\0\xff\0\0\0", Code.RESOURCE_EXHAUSTED)],
    ids=["compressed", "too long"],
)
def test_a_frame_that_nobody_may_send_ends_the_call(head: bytes, code: Code) -> None:
    wire = Wire()
    stream = wire.client.call(METHOD)
    wire.exchange()
    wire.server._answer(stream, wire.server._streams[stream])
    wire.server._h2.send_data(stream, head)
    events, _ = wire.exchange()
    assert isinstance(events[-1], Ended)
    assert events[-1].status.code == code


def test_a_daemon_that_shuts_down_takes_no_more_calls() -> None:
    wire = Wire()
    stream = wire.client.call(METHOD)
    wire.exchange()
    wire.server._h2.close_connection(last_stream_id=0)
    events, _ = wire.exchange()
    assert isinstance(events[-1], Ended)
    assert events[-1].stream == stream
    assert events[-1].status.code == Code.UNAVAILABLE
    with pytest.raises(TransportError, match="shutting down"):
        wire.client.call(METHOD)


@pytest.mark.parametrize("data", [b"HTTP/1.1 400 Bad Request\r\n\r\n", bytes(100), b"\xff" * 100])
def test_bytes_that_are_not_http2_are_one_error(data: bytes) -> None:
    with pytest.raises(TransportError, match="malformed HTTP/2"):
        Protocol(server=False).receive(data)


def test_a_flood_of_headers_is_an_error() -> None:
    wire = Wire()
    wire.client.call(METHOD, [(f"x-{number}", "y" * 1000) for number in range(500)])
    with pytest.raises(TransportError, match="malformed HTTP/2"):
        wire.exchange()


@given(st.lists(st.binary(max_size=50), max_size=10), st.integers(1, 30))
def test_frames_are_taken_apart_at_any_place(sent: list[bytes], size: int) -> None:
    stream = b"".join(b"".join(frame(each)) for each in sent)
    unframer = Unframer()
    found = []
    for start in range(0, len(stream), size):
        found += unframer.feed(stream[start : start + size])
    assert found == sent
