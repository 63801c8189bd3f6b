"""Forward a socket to the SSH agent of the user."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread

_CHUNK = 64 << 10


@contextmanager
def forwarding(path: Path, target: Path) -> Iterator[None]:
    """Listen at *path* for the block, and forward each connection to the socket *target*."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = Thread(target=_accept, args=(listener, target), daemon=True)
        thread.start()
        try:
            yield
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # ends accept()
            thread.join()


def _accept(listener: socket.socket, target: Path) -> None:
    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            Thread(target=_serve, args=(connection, target), daemon=True).start()


def _serve(connection: socket.socket, target: Path) -> None:
    with connection, socket.socket(socket.AF_UNIX) as agent, suppress(OSError):
        agent.connect(str(target))
        answers = Thread(target=_copy, args=(agent, connection), daemon=True)
        answers.start()
        _copy(connection, agent)
        answers.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while chunk := source.recv(_CHUNK):
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)
