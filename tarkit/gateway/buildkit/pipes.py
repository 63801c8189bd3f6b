"""Byte streams under the protocol: read, write, close."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
from typing import TYPE_CHECKING, Protocol

from tarkit.errors import TransportError

if TYPE_CHECKING:
    import ssl

READ = 1 << 16


class Pipe(Protocol):
    """A byte stream in both directions.

    One thread reads and another writes; any may close, which ends the calls of the others.
    Failures raise :class:`OSError`.
    """

    def read(self) -> bytes:
        """Return the next bytes, and none at the end."""
        ...

    def write(self, data: bytes) -> None:
        """Write all of *data*."""
        ...

    def close(self) -> None:
        """Close both directions."""
        ...


class SocketPipe:
    """A connected socket."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection

    def read(self) -> bytes:
        """See :class:`Pipe`."""
        return self._socket.recv(READ)

    def write(self, data: bytes) -> None:
        """See :class:`Pipe`."""
        self._socket.sendall(data)

    def close(self) -> None:
        """See :class:`Pipe`."""
        with contextlib.suppress(OSError):  # wakes a thread that waits in recv()
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


class ChildPipe:
    """The standard streams of a child process, such as ``buildctl dial-stdio``."""

    def __init__(self, command: list[str]) -> None:
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
            )
        except OSError as error:
            raise TransportError(
                f"cannot be started ({error.strerror})", where=command[0][:200]
            ) from None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout

    def read(self) -> bytes:
        """See :class:`Pipe`."""
        try:
            return self._stdout.read(READ)
        except ValueError:  # closed by another thread
            return b""

    def write(self, data: bytes) -> None:
        """See :class:`Pipe`."""
        view = memoryview(data)
        try:
            while view:
                view = view[self._stdin.write(view) :]
        except ValueError:
            raise BrokenPipeError from None

    def close(self) -> None:
        """See :class:`Pipe`; the process has five seconds to end."""
        with contextlib.suppress(OSError):
            self._stdin.close()
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        with contextlib.suppress(OSError):
            self._stdout.close()


class TlsPipe:
    """TLS over another pipe, through memory.

    An SSL socket that one thread reads and another writes can deadlock in some versions of Python.
    The handshake is done at construction; raises :class:`ssl.SSLError`.
    """

    def __init__(self, inner: Pipe, context: ssl.SSLContext, server_name: str) -> None:
        import ssl

        self._inner = inner
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=not server_name,
            server_hostname=server_name or None,
        )  # fmt: skip
        self._state = threading.Lock()
        self._order = threading.Lock()  # written records must not overtake each other
        self._wants_read = ssl.SSLWantReadError
        self._ends = (ssl.SSLZeroReturnError, ssl.SSLEOFError)
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._flush()
                self._fill()
            except ssl.SSLError:
                with contextlib.suppress(OSError):
                    self._flush()  # the alert tells the other side why
                raise
        self._flush()

    @property
    def alpn(self) -> str | None:
        """The protocol that both sides have chosen."""
        return self._tls.selected_alpn_protocol()

    def read(self) -> bytes:
        """See :class:`Pipe`."""
        while True:
            try:
                with self._state:
                    return self._tls.read(READ)
            except self._wants_read:
                self._fill()
            except self._ends:
                return b""

    def write(self, data: bytes) -> None:
        """See :class:`Pipe`."""
        with self._order:
            with self._state:
                self._tls.write(data)  # memory takes all
            self._flush()

    def close(self) -> None:
        """See :class:`Pipe`."""
        self._inner.close()

    def _fill(self) -> None:
        data = self._inner.read()
        with self._state:
            if data:
                self._incoming.write(data)
            else:
                self._incoming.write_eof()

    def _flush(self) -> None:
        with self._state:
            data = self._outgoing.read()
        if data:
            self._inner.write(data)
