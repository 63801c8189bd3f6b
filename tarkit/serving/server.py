"""A registry on a socket: :class:`RegistryServer`."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from socketserver import TCPServer, ThreadingMixIn
from typing import Self

from tarkit.errors import TransportError
from tarkit.serving.contents import ServedImages
from tarkit.serving.handler import RegistryHandler
from tarkit.serving.opening import open_contents
from tarkit.streams.closeable import Closeable
from tarkit.transports.location import Location

_MOST_CONNECTIONS = 200
_TIMEOUT = 5.0  # seconds to wait for the threads of connections that were closed
_INTERVAL = 0.05  # seconds until a waiting thread notices that it must end


class RegistryServer(Closeable):
    """A registry over the images of a file or directory, without passwords; a context manager.

    It implements the OCI distribution specification 1.1 in threads of its own until :meth:`close`.
    Clients verify what they pull. Pushed content is verified here, and appears in the layout
    complete or not at all.

    ``address`` is ``host:port``, and ``url`` the base URL.

    >>> with (
    ...     tarkit.RegistryServer.open("fixtures/hello.tar") as server,
    ...     tarkit.open_image(f"docker://{server.address}/hello:latest") as image,
    ... ):
    ...     len(image.layers)
    2
    """

    def __init__(
        self,
        contents: ServedImages,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        log: Callable[[str], object] | None = None,
    ) -> None:
        self._contents = contents
        self._closed = threading.Event()
        self._server = _bind(_handler(contents, host, log), host, port)
        bound = self._server.socket.getsockname()[1]
        self.address = f"[{host}]:{bound}" if ":" in host else f"{host}:{bound}"
        self.url = f"http://{self.address}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_INTERVAL,), name="registry", daemon=True
        )
        self._thread.start()

    @classmethod
    def open(
        cls,
        location: Location | Path | str,
        *,
        writable: bool = False,
        name: str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        follow_links: bool = False,
        log: Callable[[str], object] | None = None,
    ) -> Self:
        """Serve the images at *location* on *host* and *port*, by default a free one.

        With *writable*, *location* is a layout that clients can push to; a new one is created. The
        name of an image without the registry's host is its repository, unless *name* is given for
        all images. *log* receives one line for each request, free of control characters. Raises the
        errors of :func:`~tarkit.transports.location.open_reader`,
        :class:`~tarkit.errors.UsageError` if the location cannot be served, and
        :class:`~tarkit.errors.TransportError` if the address is not available.
        """
        contents = open_contents(location, writable=writable, name=name, follow_links=follow_links)
        try:
            return cls(contents, host=host, port=port, log=log)
        except BaseException:
            contents.close()
            raise

    @property
    def references(self) -> tuple[str, ...]:
        """The names under which clients can pull the images now, such as ``127.0.0.1:5000/app:1``."""
        return tuple(
            f"{self.address}/{repository}:{tag}"
            for repository, tags in self._contents.catalogue.repositories.items()
            for tag in tags
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks about images that are left out, one line each."""
        return tuple(self._contents.catalogue.notes)

    def wait(self) -> None:
        """Wait until another thread calls :meth:`close`, or a signal raises an exception."""
        # The system may deliver a signal to another thread, which does not end an unlimited wait.
        while not self._closed.wait(_INTERVAL):
            pass

    def close(self) -> None:
        """Stop at once: end all connections, then discard unfinished uploads."""
        if not self._closed.is_set():
            self._closed.set()
            self._server.shutdown()
            self._server.server_close()
            self._server.disconnect()
            self._contents.close()


class _Server(ThreadingMixIn, TCPServer):
    """Accepts connections, each with a thread of its own."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], handler: type[RegistryHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._live: dict[socket.socket, threading.Thread] = {}
        super().__init__(address, handler)

    def process_request(self, request: object, client_address: object) -> None:
        """Start a thread for a connection, or close it if there are too many."""
        assert isinstance(request, socket.socket)
        if len(self._live) >= _MOST_CONNECTIONS:
            self.shutdown_request(request)
            return
        thread = threading.Thread(
            target=self.process_request_thread, args=(request, client_address), daemon=True
        )
        self._live[request] = thread
        thread.start()

    def shutdown_request(self, request: object) -> None:
        """Close a connection."""
        assert isinstance(request, socket.socket)
        self._live.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore an error of a connection and close it: clients often disconnect without notice."""

    def disconnect(self) -> None:
        """Close all connections and wait for their threads."""
        live = dict(self._live)
        for connection in live:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        deadline = time.monotonic() + _TIMEOUT
        for thread in live.values():
            thread.join(max(deadline - time.monotonic(), 0))


def _bind(handler: type[RegistryHandler], host: str, port: int) -> _Server:
    try:
        return _Server((host, port), handler)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise TransportError(f"cannot listen on {host} port {port}: {reason}") from None


def _handler(
    contents: ServedImages, host: str, log: Callable[[str], object] | None
) -> type[RegistryHandler]:
    """Return a handler class for *contents*: the server makes one instance per connection."""
    allowed = _is_local if _is_local(host) else _is_any
    members = {
        "contents": contents,
        "log": staticmethod(log or _is_any),
        "allowed_host": staticmethod(allowed),
    }
    return type("Handler", (RegistryHandler,), members)


def _is_any(text: str) -> bool:
    return True


def _is_local(host: str) -> bool:
    """Return True if the ``Host`` header *host* cannot be a name that a web page chose.

    A page could point its own name at the loopback interface to read from it (DNS rebinding).
    """
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    if name in ("", "localhost", "host.docker.internal", "host.containers.internal"):
        return True
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return name.endswith(".localhost")
    return True
