"""Images as the daemon sends them: a docker archive, which may end in the middle with a reason."""

from __future__ import annotations

from tarkit.errors import TransportError, VerificationError
from tarkit.streams import CHUNK_SIZE
from tarkit.streams.chunks import Readable
from tarkit.tar.archive import Archive
from tarkit.transports.docker_daemon.client import DaemonClient, failure_in

_REMEMBERED = 4096


def saved_archive(client: DaemonClient, name: str, *, keep_data: bool = True) -> Archive:
    """The archive that the daemon makes of the image *name*.

    Its table of contents comes last, so its layers are spooled, unless not to *keep_data*.
    Raises :class:`TransportError` where the daemon fails half-way, and what
    :meth:`Archive.from_stream` raises.
    """
    where = f"docker-daemon:{name}"
    with client.save(name) as body:
        heard = _Heard(body)
        try:
            archive = Archive.from_stream(heard, keep_data=keep_data, where=where)
        except VerificationError:
            heard.read(CHUNK_SIZE)  # the reason is longer than what broke the archive
            _check(heard, where)
            raise
        try:
            _check(heard, where)
        except TransportError:
            archive.close()
            raise
    return archive


def _check(heard: _Heard, where: str) -> None:
    if reason := failure_in(heard.last_line):
        raise TransportError(
            f"the Docker daemon failed while it saved the image: {reason}", where=where
        )


class _Heard:
    """A *stream* whose last bytes are remembered: there the daemon says why it stopped."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._tail = b""

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        self._tail = (self._tail + data[-_REMEMBERED:])[-_REMEMBERED:]
        return data

    @property
    def last_line(self) -> bytes:
        start = self._tail.rfind(b'{"errorDetail"')
        return self._tail[start:] if start >= 0 else b""
