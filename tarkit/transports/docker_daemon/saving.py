"""Save an image as a docker archive; the daemon may stop midway and append a reason."""

from __future__ import annotations

from tarkit.errors import TransportError, VerificationError
from tarkit.streams import CHUNK_SIZE
from tarkit.streams.chunks import Readable
from tarkit.tar.archive import Archive
from tarkit.transports.docker_daemon.client import DaemonClient, failure_in

_TAIL_SIZE = 4096


def saved_archive(client: DaemonClient, name: str, *, keep_data: bool = True) -> Archive:
    """Return the image *name* as a docker archive.

    Its ``manifest.json`` comes after the layers, so the layers are spooled unless *keep_data* is
    false. Raises :class:`TransportError` if the daemon fails midway, and the errors of
    :meth:`Archive.from_stream`.
    """
    where = f"docker-daemon:{name}"
    with client.save(name) as body:
        recorder = _TailRecorder(body)
        try:
            archive = Archive.from_stream(recorder, keep_data=keep_data, where=where)
        except VerificationError:
            # The archive may have failed inside the daemon's message, so read the rest of it.
            recorder.read(CHUNK_SIZE)
            _check(recorder, where)
            raise
        try:
            _check(recorder, where)
        except TransportError:
            archive.close()
            raise
    return archive


def _check(recorder: _TailRecorder, where: str) -> None:
    if reason := failure_in(recorder.last_line):
        raise TransportError(f"the Docker daemon failed to save the image: {reason}", where=where)


class _TailRecorder:
    """A *stream* that records its last bytes, which state the reason if the daemon fails."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._tail = b""

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        self._tail = (self._tail + data[-_TAIL_SIZE:])[-_TAIL_SIZE:]
        return data

    @property
    def last_line(self) -> bytes:
        # No separator precedes the message in the truncated archive.
        start = self._tail.rfind(b'{"errorDetail"')
        return self._tail[start:] if start >= 0 else b""
