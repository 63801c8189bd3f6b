"""Write images to a Docker daemon."""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

from tarkit.image.platform import Platform
from tarkit.layout.archive_output import ArchiveOutput
from tarkit.protocols import Destination
from tarkit.transports.docker_archive.format import DockerFormat
from tarkit.transports.docker_archive.writer import DockerArchiveWriter
from tarkit.transports.docker_daemon.client import DaemonClient
from tarkit.transports.docker_daemon.daemon import Daemon
from tarkit.transports.docker_daemon.names import require_name


class DockerDaemonWriter:
    """Writes a docker archive of any number of images, which the daemon loads when complete."""

    def __init__(
        self, client: DaemonClient, format: DockerFormat, platform: Platform | None = None
    ) -> None:
        self.where = client.where
        output = ArchiveOutput(self.where, deliver=client.load)
        self._archive = DockerArchiveWriter.over(output, format, platform)

    @classmethod
    def open(
        cls,
        daemon: Daemon | None = None,
        format: DockerFormat = DockerFormat.DUAL,
        platform: Platform | None = None,
    ) -> Self:
        """Open *daemon*, by default the one of Docker's command line.

        *platform* is that of :meth:`DockerArchiveWriter.open`.

        Raises :class:`TransportError` if it cannot be reached, before any work is done.
        """
        client = DaemonClient(daemon or Daemon.find())
        client.ping()
        return cls(client, format, platform)

    def destination(self, *names: str) -> Destination:
        """Return the destination of an image; raise :class:`UsageError` for a bad name or an ID."""
        return self._archive.destination(*map(require_name, names))

    def undoing(self) -> AbstractContextManager[None]:
        """Return a block for storing one image; if it raises, the stored data is removed again."""
        return self._archive.undoing()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Load the images, unless the block raised an error or nothing was committed.

        Raises :class:`TransportError` if the daemon fails to load them.
        """
        self._archive.__exit__(kind, error, traceback)
