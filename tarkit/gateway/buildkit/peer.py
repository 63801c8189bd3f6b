"""One side of a connection on a pipe: calls that threads make, and handlers of the other side's calls."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from tarkit.errors import TarkitError, TransportError
from tarkit.gateway.buildkit.headers import Metadata
from tarkit.gateway.buildkit.messages.status import Status
from tarkit.gateway.buildkit.pipes import Pipe
from tarkit.gateway.buildkit.protocol import (
    WINDOW,
    Ended,
    Event,
    HalfClosed,
    Opened,
    Protocol,
    Received,
)
from tarkit.gateway.buildkit.status import Code, StatusError, status_of
from tarkit.llb.wire import Message
from tarkit.streams.cancellation import SLICE, check
from tarkit.streams.closeable import Closeable
from tarkit.streams.threads import start_thread

M = TypeVar("M", bound=Message)

_BATCH = 64 << 10  # bytes of small messages that are written together

LARGEST = 3 << 20
"""Bytes of the longest message that is sent: old daemons take 4 MiB."""


class Call:
    """A call in progress, from either side. Each direction belongs to one thread at a time.

    Methods raise :class:`~tarkit.gateway.buildkit.status.StatusError` if the call fails, and
    :class:`~tarkit.errors.CancelledError` if the caller's work is cancelled.
    """

    def __init__(self, peer: Peer, stream: int, metadata: Metadata = ()) -> None:
        self._peer = peer
        self._stream = stream
        self.metadata = metadata
        self.arrived: deque[bytes] = deque()
        self.half_closed = False
        self.status: Status | None = None

    def values(self, name: str) -> list[str]:
        """Return the values of the metadata *name*."""
        return [value for key, value in self.metadata if key == name]

    def send(self, message: Message, *, flush: bool = True) -> None:
        """Send a message, after those before it have left some room.

        Without *flush*, it may wait until many are together, or this thread waits for an answer.
        """
        data = message.encode()
        if len(data) > LARGEST:
            text = f"message of {len(data)} bytes exceeds {LARGEST}"
            raise StatusError(Code.RESOURCE_EXHAUSTED, text)
        self._peer.send(self, self._stream, data, flush=flush)

    def receive(self, kind: type[M], *, deadline: float | None = None) -> M | None:
        """Return the next message, None after the last; *deadline* is on the monotonic clock."""
        data = self._peer.receive(self, self._stream, deadline)
        return None if data is None else kind.decode(data)

    def poll(self, kind: type[M]) -> M | None:
        """Return the next message if it has arrived already."""
        return self.receive(kind) if self.arrived else None

    def messages(self, kind: type[M]) -> Iterator[M]:
        """Yield the messages until the last."""
        while (message := self.receive(kind)) is not None:
            yield message

    def close_sending(self) -> None:
        """Send no more messages."""
        self._peer.act(lambda protocol: protocol.close_sending(self._stream))

    def cancel(self) -> None:
        """Abandon the call, unless it has ended."""
        self._peer.cancel(self, self._stream)

    def end(self, status: Status) -> None:
        """End a call of the other side."""
        self._peer.act(lambda protocol: protocol.end(self._stream, status))


Handler = Callable[[Call], None]
"""Handles a call of the other side, on a thread of its own; its error is the status of the call."""


class Peer(Closeable):
    """A connection in use; a context manager.

    ``handlers`` serve the methods that the other side may call. One thread reads, and one writes.
    ``failure`` is the reason if the connection is lost; then every call ends with it.
    """

    def __init__(
        self,
        pipe: Pipe,
        *,
        server: bool = False,
        handlers: Mapping[str, Handler] | None = None,
        where: str = "daemon",
    ) -> None:
        self._pipe = pipe
        self._where = where
        self._handlers = dict(handlers or {})
        self._protocol = Protocol(server=server)
        self._calls: dict[int, Call] = {}
        lock = threading.RLock()
        self._changed = threading.Condition(lock)  # for calls that wait
        self._output = threading.Condition(lock)  # for the thread that writes
        self._closed = False
        self.failure: TransportError | None = None
        self._writer = start_thread(self._write, "grpc-writer")
        self._reader = start_thread(self._read, "grpc-reader")

    # calls

    def call(self, method: str, metadata: Metadata = (), *, timeout: float | None = None) -> Call:
        """Start a call; raises :class:`~tarkit.errors.TransportError` if the connection is lost."""
        with self._changed:
            if self.failure is not None:
                raise self.failure
            stream = self._protocol.call(method, metadata, timeout=timeout)
            call = self._calls[stream] = Call(self, stream)
            self._output.notify()
        return call

    def unary(
        self,
        method: str,
        request: Message,
        answer: type[M],
        metadata: Metadata = (),
        *,
        timeout: float | None = None,
    ) -> M:
        """Send *request* and return the answer; *timeout* is in seconds.

        Raises as :class:`Call`.
        """
        call = self.call(method, metadata, timeout=timeout)
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            call.send(request)
            call.close_sending()
            found = call.receive(answer, deadline=deadline)
            if found is not None:
                call.receive(answer, deadline=deadline)  # the status follows
        finally:
            call.cancel()
        if found is None:
            raise StatusError(Code.INTERNAL, "the answer has no message")
        return found

    def act(self, action: Callable[[Protocol], None]) -> None:
        """Do something with the protocol, under the lock, and write the outcome."""
        with self._changed:
            action(self._protocol)
            self._output.notify()

    def send(self, call: Call, stream: int, data: bytes, *, flush: bool) -> None:
        """Send a message of *call*; wait while much is waiting before it."""
        with self._changed:
            self._wait(lambda: call.status is not None or self._has_room(stream, len(data)))
            if call.status is not None and call.status.code:
                raise StatusError.of(call.status)
            self._protocol.send(stream, data)
            if flush or self._protocol.queued(stream) >= _BATCH:
                self._output.notify()

    def _has_room(self, stream: int, size: int) -> bool:
        queued = self._protocol.queued(stream)
        return not queued or queued + size <= WINDOW

    def receive(self, call: Call, stream: int, deadline: float | None) -> bytes | None:
        """Return the next message of *call*, None after the last."""
        with self._changed:
            self._wait(lambda: call.arrived or call.half_closed or call.status, deadline)
            if call.arrived:
                data = call.arrived.popleft()
                self._protocol.consumed(stream, len(data))
                if not call.arrived:
                    self._output.notify()
                return data
            if call.status is not None and call.status.code:
                raise StatusError.of(call.status)
            return None

    def _wait(self, ready: Callable[[], object], deadline: float | None = None) -> None:
        while not ready():
            self._output.notify()
            check()
            if deadline is not None and time.monotonic() >= deadline:
                raise StatusError(Code.DEADLINE_EXCEEDED, "no answer in time")
            self._changed.wait(SLICE)

    def cancel(self, call: Call, stream: int) -> None:
        """Abandon *call* unless it has ended."""
        with self._changed:
            if call.status is None:
                call.status = Status(code=Code.CANCELLED, message="cancelled")
                self._protocol.cancel(stream)
            self._calls.pop(stream, None)
            self._changed.notify_all()
            self._output.notify()

    # threads

    def _write(self) -> None:
        try:
            while True:
                with self._changed:
                    while not self._protocol.ready:
                        if self._closed:
                            return
                        self._output.wait()
                    data = self._protocol.take()
                    self._changed.notify_all()  # there is room again
                self._pipe.write(data)
        except (OSError, TarkitError) as error:
            self._lose(error)

    def _read(self) -> None:
        try:
            while data := self._pipe.read():
                with self._changed:
                    for event in self._protocol.receive(data):
                        self._take(event)
                    self._changed.notify_all()
                    if self._protocol.ready:
                        self._output.notify()
            self._lose(None)
        except (OSError, TarkitError) as error:
            self._lose(error)

    def _take(self, event: Event) -> None:
        if isinstance(event, Opened):
            self._open(event)
            return
        call = self._calls.get(event.stream)
        if call is None:
            return
        match event:
            case Received():
                call.arrived.extend(event.messages)
            case HalfClosed():
                call.half_closed = True
            case Ended():
                call.status = event.status
                self._calls.pop(event.stream, None)

    def _open(self, event: Opened) -> None:
        handler = self._handlers.get(event.method)
        call = Call(self, event.stream, event.metadata)
        if handler is None:
            text = f"unknown method {event.method[:200]}"
            self._protocol.end(event.stream, Status(code=Code.UNIMPLEMENTED, message=text))
            return
        self._calls[event.stream] = call
        try:
            start_thread(lambda: self._handle(handler, call), "grpc-call")
        except TransportError as error:
            self._protocol.end(event.stream, status_of(error))

    def _handle(self, handler: Handler, call: Call) -> None:
        try:
            handler(call)
        except Exception as error:  # noqa: BLE001  whatever fails, the daemon must not wait for it
            call.end(status_of(error))
        else:
            call.end(Status())

    def _lose(self, error: BaseException | None) -> None:
        """End all calls."""
        reason = getattr(error, "message", None) or getattr(error, "strerror", None)
        text = "the daemon closed the connection" + (f" ({reason})" if reason else "")
        with self._changed:
            if self.failure is None:
                self.failure = TransportError(text, where=self._where)
            self._closed = True
            for call in self._calls.values():
                call.status = call.status or Status(code=Code.UNAVAILABLE, message=text)
            self._calls.clear()
            self._changed.notify_all()
            self._output.notify()
        self._pipe.close()

    def close(self) -> None:
        """Close the connection; calls in progress end."""
        with self._changed:
            self.failure = self.failure or TransportError("closed", where=self._where)
        self._lose(None)
        for thread in (self._writer, self._reader):
            if thread is not threading.current_thread():
                thread.join(5)

    def wait_closed(self) -> None:
        """Wait until the other side has closed the connection."""
        with self._changed:
            self._wait(lambda: self._closed)
