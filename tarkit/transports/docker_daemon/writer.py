"""Write images to a Docker daemon."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from tarkit.layout.archive_output import ArchiveOutput
from tarkit.protocols import Destination
from tarkit.transports.docker_archive.format import DockerFormat
from tarkit.transports.docker_archive.writer import DockerArchiveWriter
from tarkit.transports.docker_daemon.client import DaemonClient
from tarkit.transports.docker_daemon.daemon import Daemon
from tarkit.transports.docker_daemon.names import require_name


class DockerDaemonWriter:
    """Writes a docker archive of any number of images, which the daemon loads when complete."""

    def __init__(self, client: DaemonClient, format: DockerFormat) -> None:
        self.where = client.where
        output = ArchiveOutput(self.where, deliver=client.load)
        self._archive = DockerArchiveWriter.over(output, format)

    @classmethod
    def open(cls, daemon: Daemon | None = None, format: DockerFormat = DockerFormat.DUAL) -> Self:
        """Open *daemon*, by default the one of Docker's command line.

        Raises :class:`TransportError` if it cannot be reached, before any work is done.
        """
        client = DaemonClient(daemon or Daemon.find())
        client.ping()
        return cls(client, format)

    def destination(self, *names: str) -> Destination:
        """Return the destination of an image; raise :class:`UsageError` for a bad name or an ID."""
        return self._archive.destination(*map(require_name, names))

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
