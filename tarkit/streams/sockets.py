"""Sockets whose waits can be cancelled, with limits on the time and data of a response."""

from __future__ import annotations

import errno
import os
import selectors
import socket
import threading
from collections.abc import Callable, Iterable
from queue import Empty, SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from tarkit.errors import TransportError
from tarkit.streams.cancellation import SLICE, check

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

T = TypeVar("T")
_Addresses = list[tuple[Any, ...]]

_HEAD = 1 << 20  # limit in bytes for a response head, including interim responses
_PROGRESS = 64 << 10  # bytes to send until the limits are reset
_CONNECTING = {errno.EINPROGRESS} | ({errno.EWOULDBLOCK} if os.name == "nt" else set())


class TimeAllowance:
    """Limits the waiting time and the raw bytes of one response from *where*.

    A peer that sends single bytes slowly, or endless headers, makes progress with every read, so
    timeouts per read are not enough.
    """

    def __init__(self, where: str, seconds: float) -> None:
        self._where = where
        self._seconds = seconds
        self.renew()

    def renew(self, size: int = 0) -> None:
        """Reset both limits, and allow a response head plus *size* bytes."""
        self._waited = 0.0
        self._sent = 0
        self.expect(size)

    def expect(self, size: int) -> None:
        """Allow a response head plus *size* bytes from now on, in the remaining time."""
        self._room = _HEAD + size

    def require(self, waiting: float = 0.0) -> None:
        """Raise :class:`TimeoutError` if *waiting* more seconds would use up the remaining time."""
        if self._waited + waiting >= self._seconds:
            raise TimeoutError("timed out")

    def waited(self, seconds: float) -> None:
        """Count *seconds* of waiting."""
        self._waited += seconds
        self.require()

    def received(self, size: int) -> None:
        """Count *size* received bytes; raise :class:`TransportError` if they exceed the limit."""
        self._room -= size
        if self._room < 0:
            raise TransportError("endless response", where=self._where)

    def sent(self, size: int) -> None:
        """Count *size* sent bytes, and reset the limits after enough progress."""
        self._sent += size
        if self._sent >= _PROGRESS:
            self.renew()


class CancellableSocket(socket.socket):
    """A socket that waits in slices, so that a cancellation or an allowance can end any wait.

    The timeout applies to each call as usual. Because of the slices, a signal that arrives just
    before a system call is noticed too.
    """

    allowance: TimeAllowance | None = None
    _timeout: float | None = None

    def settimeout(self, value: float | None, /) -> None:
        """Set the timeout of each call."""
        # The system's timeout is one slice; _retry() counts the rest.
        self._timeout = value
        super().settimeout(SLICE if value is None else min(value, SLICE))

    def gettimeout(self) -> float | None:
        """Return the timeout of each call."""
        return self._timeout

    def recv_into(self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0, /) -> int:
        """Receive into *buffer*, as sockets do."""
        size = self._retry(lambda: super(CancellableSocket, self).recv_into(buffer, nbytes, flags))
        if self.allowance:
            self.allowance.received(size)
        return size

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """Receive up to *bufsize* bytes, as sockets do."""
        data = self._retry(lambda: super(CancellableSocket, self).recv(bufsize, flags))
        if self.allowance:
            self.allowance.received(len(data))
        return data

    def send(self, data: ReadableBuffer, flags: int = 0, /) -> int:
        """Send some of *data*, as sockets do."""
        size = self._retry(lambda: super(CancellableSocket, self).send(data, flags))
        if self.allowance:
            self.allowance.sent(size)
        return size

    def sendall(self, data: ReadableBuffer, flags: int = 0, /) -> None:
        """Send all of *data*; the timeout applies to each call of :meth:`send`."""
        with memoryview(data) as view, view.cast("B") as left:
            sent = 0
            while sent < len(left):
                sent += self.send(left[sent:], flags)

    def connect(self, address: Any, /) -> None:
        """Connect to *address*, as sockets do."""
        # A blocking connect cannot be waited for in slices, so connect without blocking.
        super().settimeout(0)
        try:
            code = self.connect_ex(address)
            if code in _CONNECTING:
                code = self._connected()
        finally:
            self.settimeout(self._timeout)
        if code:
            raise OSError(code, os.strerror(code))

    def _connected(self) -> int:
        with selectors.DefaultSelector() as selector:
            selector.register(self, selectors.EVENT_WRITE)

            def attempt() -> int:
                if not selector.select(SLICE):
                    raise TimeoutError
                # Writable means that the attempt has ended; SO_ERROR is its result, 0 for success.
                return self.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

            return self._retry(attempt)

    def _retry(self, attempt: Callable[[], T]) -> T:
        """Repeat *attempt*, each at most one slice long, until it succeeds or the time is up."""
        began = monotonic()
        while True:
            check()
            try:
                result = attempt()
            except TimeoutError:
                self._require_time(monotonic() - began)
                continue
            # Only time spent waiting counts, so a slow consumer does not use up the allowance.
            if self.allowance:
                self.allowance.waited(monotonic() - began)
            return result

    def _require_time(self, waited: float) -> None:
        if self._timeout is not None and waited >= self._timeout:
            raise TimeoutError("timed out")
        if self.allowance:
            self.allowance.require(waited)


def connected(
    host: str,
    port: int,
    timeout: float | None,
    *,
    allowance: TimeAllowance | None = None,
    options: Iterable[tuple[int, int, int | bytes]] = (),
) -> CancellableSocket:
    """Return a socket connected to *host*.

    *timeout* covers the lookup and the attempts at all addresses together.

    Raises :class:`socket.gaierror` if the lookup fails, :class:`TimeoutError`, and other
    :class:`OSError` if no address accepts the connection.
    """
    end = None if timeout is None else monotonic() + timeout
    addresses = _resolve(host, port, end)
    failure: OSError = OSError(f"{host} has no address")
    for number, (family, kind, protocol, _, address) in enumerate(addresses):
        # An address that does not answer must leave time for the others.
        share = None if end is None else max(0.0, end - monotonic()) / (len(addresses) - number)
        connection = CancellableSocket(family, kind, protocol)
        try:
            connection.allowance = allowance
            for option in options:
                connection.setsockopt(*option)
            connection.settimeout(share)
            connection.connect(address)
        except OSError as error:
            connection.close()
            failure = error
        except BaseException:
            connection.close()
            raise
        else:
            connection.settimeout(timeout)
            return connection
    raise failure


def _resolve(host: str, port: int, end: float | None) -> _Addresses:
    """Look up *host* on a thread, because a lookup cannot be interrupted."""
    answers: SimpleQueue[_Addresses | OSError] = SimpleQueue()

    def look_up() -> None:
        try:
            answers.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except OSError as error:
            answers.put(error)
        except ValueError:  # an invalid name, with a NUL or a label over 63 characters
            answers.put(socket.gaierror(socket.EAI_NONAME, "not a host name"))

    try:
        threading.Thread(target=look_up, name="resolve", daemon=True).start()
    except RuntimeError:  # the system refuses another thread, so look it up here
        look_up()
    while True:
        check()
        try:
            answer = answers.get(timeout=SLICE)
        except Empty:
            if end is not None and monotonic() >= end:
                raise TimeoutError("timed out") from None
            continue
        if isinstance(answer, OSError):
            raise answer
        return answer
