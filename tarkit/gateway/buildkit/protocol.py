"""gRPC over HTTP/2 without I/O, for both sides of a connection.

Specification: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any

from tarkit.errors import TransportError, UnsupportedError, VerificationError
from tarkit.gateway.buildkit.framing import Unframer, frame
from tarkit.gateway.buildkit.headers import (
    Metadata,
    request_headers,
    response_headers,
    status_from,
    trailers,
)
from tarkit.gateway.buildkit.messages.status import Status
from tarkit.gateway.buildkit.status import Code
from tarkit.values import dataclass

if TYPE_CHECKING:
    from h2.connection import H2Connection

WINDOW = 1 << 20
"""Bytes of one call that may wait for their consumer before the other side has to pause."""

_STEP = WINDOW // 4  # windows are opened by this much, not for every frame
_BUFFER = 1 << 20  # bytes that are ready to be written, before calls have to wait
_TYPE_AT, _SETTINGS = 3, b"\x04"  # the first frame's type, and the byte that it must be
_CONNECTION_WINDOW = 16 << 20


@dataclass(frozen=True, slots=True)
class Opened:
    """The other side calls *method*."""

    stream: int
    method: str
    metadata: Metadata


@dataclass(frozen=True, slots=True)
class Received:
    """Messages of a call have arrived."""

    stream: int
    messages: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class HalfClosed:
    """The other side sends no more messages, but still receives some."""

    stream: int


@dataclass(frozen=True, slots=True)
class Ended:
    """A call has ended."""

    stream: int
    status: Status


Event = Opened | Received | HalfClosed | Ended


@dataclass(slots=True)
class _Stream:
    """The state of a call: ``unread`` and ``held`` count bytes that the consumer has not taken."""

    unframer: Unframer = field(default_factory=Unframer)
    outgoing: deque[bytes | memoryview] = field(default_factory=deque)
    queued: int = 0
    unread: int = 0
    held: int = 0
    ending: Status | None = None
    closing: bool = False
    answered: bool = False
    sent_all: bool = False
    got_all: bool = False


class Protocol:
    """One side of a connection.

    Pass received bytes to :meth:`receive`, which returns events; write what :meth:`take` returns
    after every call of another method. A consumer of messages reports with :meth:`consumed`; until
    then, the window of the call stays closed, and memory is bounded. Not thread-safe.

    Messages wait here until the other side's windows have room; :meth:`queued` tells how many bytes.
    """

    def __init__(self, *, server: bool, authority: str = "localhost") -> None:
        self._server = server
        self._authority = authority
        self._streams: dict[int, _Stream] = {}
        self._buffer = bytearray()
        self._h2 = _connection(server)
        self._held = 0  # received bytes for which the connection's window is still closed
        self._first = b""  # the first bytes from a server
        self.is_draining = False

    # what to send

    def call(self, method: str, metadata: Metadata = (), *, timeout: float | None = None) -> int:
        """Start a call and return the number of its stream.

        Raises :class:`~tarkit.errors.TransportError` if the other side takes no more calls.
        """
        from h2.exceptions import ProtocolError

        if self.is_draining:
            raise TransportError("the daemon is shutting down")
        try:
            stream = self._h2.get_next_available_stream_id()
            headers = request_headers(method, self._authority, metadata, timeout)
            self._h2.send_headers(stream, headers)
        except ProtocolError as error:
            raise TransportError(f"no call can be started ({error})") from None
        self._streams[stream] = _Stream(answered=True)
        return stream

    def send(self, stream: int, message: bytes) -> None:
        """Send a message, together with others that follow at once.

        Do nothing if the call has ended.
        """
        state = self._streams.get(stream)
        if state is None or state.sent_all:
            return
        for piece in frame(message):
            state.outgoing.append(piece)
            state.queued += len(piece)

    def close_sending(self, stream: int) -> None:
        """Tell the server that no more messages follow."""
        state = self._streams.get(stream)
        if state is not None and not state.closing:
            state.closing = True
            self._pump()

    def end(self, stream: int, status: Status) -> None:
        """End a call of the other side with *status*, after all messages."""
        state = self._streams.get(stream)
        if state is not None:
            state.ending = status
            self._pump()

    def cancel(self, stream: int) -> None:
        """Abandon a call."""
        self._reset(stream, 8)  # CANCEL

    def queued(self, stream: int) -> int:
        """Return the bytes of a call that have not been sent yet."""
        state = self._streams.get(stream)
        return state.queued if state is not None else 0

    def take(self) -> bytes:
        """Return bytes to write; all calls may have more afterwards."""
        self._pump()
        self._collect()
        taken = bytes(self._buffer)
        self._buffer.clear()
        return taken

    @property
    def ready(self) -> int:
        """The number of bytes that :meth:`take` would return."""
        self._pump()
        self._collect()
        return len(self._buffer)

    def _collect(self) -> None:
        self._buffer += self._h2.data_to_send()

    def _pump(self) -> None:
        """Move messages to the buffer as the windows allow, a frame of each call in turn."""
        moved = True
        while moved:
            moved = False
            for stream, state in list(self._streams.items()):
                if state.outgoing:
                    self._collect()
                    if len(self._buffer) >= _BUFFER:
                        return
                    moved |= self._push(stream, state)
                if not state.outgoing:
                    self._finish(stream, state)

    def _push(self, stream: int, state: _Stream) -> bool:
        room = min(self._h2.local_flow_control_window(stream), self._h2.max_outbound_frame_size)
        if room <= 0:
            return False
        self._answer(stream, state)
        pieces: list[bytes | memoryview] = []
        while state.outgoing and room:  # many small messages are one frame
            piece = state.outgoing.popleft()
            if len(piece) > room:
                state.outgoing.appendleft(memoryview(piece)[room:])
                piece = piece[:room]
            pieces.append(piece)
            room -= len(piece)
        data = b"".join(pieces)
        self._h2.send_data(stream, data)
        state.queued -= len(data)
        return True

    def _answer(self, stream: int, state: _Stream) -> None:
        if not state.answered:
            state.answered = True
            self._h2.send_headers(stream, response_headers())

    def _finish(self, stream: int, state: _Stream) -> None:
        """Send the end of a call whose messages have all been sent."""
        if state.ending is not None:
            headers = trailers(state.ending)
            if not state.answered:
                headers = [*response_headers(), *headers]
            self._h2.send_headers(stream, headers, end_stream=True)
            if not state.got_all:
                self._h2.reset_stream(stream, 0)  # the rest of the request is not wanted
            del self._streams[stream]
        elif state.closing and not self._server:
            self._h2.end_stream(stream)
            state.closing = False
            state.sent_all = True

    def _reset(self, stream: int, code: int) -> None:
        from h2.exceptions import ProtocolError

        if self._streams.pop(stream, None) is not None:
            try:
                self._h2.reset_stream(stream, code)
            except ProtocolError:
                return  # it has ended already

    # what has arrived

    def receive(self, data: bytes) -> list[Event]:
        """Take received bytes and return the events in them.

        Raises :class:`~tarkit.errors.TransportError` if they are not HTTP/2.
        """
        from h2.exceptions import ProtocolError

        if not self._server and len(self._first) < _TYPE_AT + 1:
            # Text of HTTP/1.1 looks like the beginning of a long frame, and would be waited for.
            self._first += data[: _TYPE_AT + 1]
            if self._first[_TYPE_AT : _TYPE_AT + 1] not in (b"", _SETTINGS):
                raise TransportError("malformed HTTP/2 (no settings came first)")
        try:
            events = self._h2.receive_data(data)
        except (ProtocolError, ValueError, KeyError) as error:
            text = str(error) or type(error).__name__
            raise TransportError(f"malformed HTTP/2 ({text[:200]})") from None
        found: list[Event] = []
        for event in events:
            found.extend(self._event(event))
        self._pump()
        return found

    def consumed(self, stream: int, size: int) -> None:
        """Report that *size* bytes of received messages are no longer needed."""
        state = self._streams.get(stream)
        if state is not None:
            state.unread -= size
            self._open_window(stream, state)

    def _open_window(self, stream: int, state: _Stream) -> None:
        # A message longer than the window must still arrive, so only whole messages count.
        if state.held >= _STEP and state.unread < WINDOW:
            self._acknowledge(stream, state.held)
            state.held = 0

    def _acknowledge(self, stream: int, size: int) -> None:
        from h2.exceptions import ProtocolError

        try:
            self._h2.increment_flow_control_window(size, stream)
        except ProtocolError:
            return  # the other side has closed the stream

    def _event(self, event: Any) -> Iterable[Event]:
        from h2 import events

        match event:
            case events.RequestReceived():
                yield from self._opened(event.stream_id, event.headers)
            case events.ResponseReceived() | events.TrailersReceived():
                yield from self._headers(event.stream_id, event.headers, event.stream_ended)
            case events.DataReceived():
                yield from self._data(event)
            case events.StreamEnded():
                yield from self._stream_ended(event.stream_id)
            case events.StreamReset():
                yield from self._ended(event.stream_id, _reset_status(event.error_code))
            case events.ConnectionTerminated():
                self.is_draining = True
                last = event.last_stream_id or 0
                for stream in [each for each in self._streams if each > last]:
                    text = "the daemon is shutting down"
                    yield from self._ended(stream, Status(code=Code.UNAVAILABLE, message=text))

    def _opened(self, stream: int, headers: Iterable[tuple[bytes, bytes]]) -> Iterable[Event]:
        fields = [(_text(name), _text(value)) for name, value in headers]
        method = next((value for name, value in fields if name == ":path"), "")
        self._streams[stream] = _Stream()
        shown = [(name, value) for name, value in fields if not name.startswith(":")]
        yield Opened(stream, method, tuple(shown))

    def _headers(
        self, stream: int, headers: Iterable[tuple[bytes, bytes]], ended: object
    ) -> Iterable[Event]:
        if stream not in self._streams:
            return
        fields = [(_text(name), _text(value)) for name, value in headers]
        status = status_from(fields, ended=ended is not None)
        if status is not None:
            if ended is None:
                self._reset(stream, 8)
            yield Ended(stream, status)
            self._streams.pop(stream, None)

    def _data(self, event: Any) -> Iterable[Event]:
        stream, size = event.stream_id, event.flow_controlled_length
        self._acknowledge_connection(size)
        state = self._streams.get(stream)
        if state is None:
            return
        state.held += size
        try:
            messages = state.unframer.feed(event.data)
        except (UnsupportedError, VerificationError) as error:
            self._reset(stream, 8)
            code = Code.INTERNAL if isinstance(error, UnsupportedError) else Code.RESOURCE_EXHAUSTED
            yield Ended(stream, Status(code=code, message=error.message))
            return
        state.unread += sum(map(len, messages))
        if messages:
            yield Received(stream, messages)
        self._open_window(stream, state)

    def _acknowledge_connection(self, size: int) -> None:
        self._held += size
        if self._held >= _STEP:
            self._h2.increment_flow_control_window(self._held)
            self._held = 0

    def _stream_ended(self, stream: int) -> Iterable[Event]:
        state = self._streams.get(stream)
        if state is None:
            return
        if not self._server:
            text = "the call ended without a status"
            yield from self._ended(stream, Status(code=Code.INTERNAL, message=text))
        elif not state.got_all:
            state.got_all = True
            yield HalfClosed(stream)

    def _ended(self, stream: int, status: Status) -> Iterable[Event]:
        if self._streams.pop(stream, None) is not None:
            yield Ended(stream, status)


def _connection(server: bool) -> H2Connection:
    try:
        from h2.config import H2Configuration
        from h2.connection import H2Connection
        from h2.settings import SettingCodes
    except ImportError:
        raise UnsupportedError(
            "BuildKit daemons need the package h2", hint="pip install 'tarkit[buildkit]'"
        ) from None
    connection = H2Connection(H2Configuration(client_side=not server, header_encoding=None))
    connection.local_settings = type(connection.local_settings)(
        client=not server,
        initial_values={
            SettingCodes.ENABLE_PUSH: 0,
            SettingCodes.INITIAL_WINDOW_SIZE: WINDOW,
            SettingCodes.MAX_CONCURRENT_STREAMS: 100,
            SettingCodes.MAX_FRAME_SIZE: 1 << 16,
            SettingCodes.MAX_HEADER_LIST_SIZE: 1 << 16,
        },
    )
    connection.max_inbound_frame_size = 1 << 16
    connection.initiate_connection()
    connection.increment_flow_control_window(_CONNECTION_WINDOW)
    return connection


def _reset_status(code: int) -> Status:
    """Return the status for a stream that the other side has reset."""
    found = {7: Code.UNAVAILABLE, 8: Code.CANCELLED, 11: Code.RESOURCE_EXHAUSTED}.get(
        int(code), Code.INTERNAL
    )
    return Status(code=found, message=f"the other side has cancelled the call (code {int(code)})")


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")
