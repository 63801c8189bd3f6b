"""The places of outputs: files, standard output, and directories."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from tarkit.errors import TransportError
from tarkit.exporters.outputs import Output
from tarkit.gateway.buildkit.messages.status import BytesMessage
from tarkit.gateway.buildkit.peer import Call
from tarkit.gateway.buildkit.services.filesend import Target
from tarkit.gateway.buildkit.services.receiving import Receiver
from tarkit.rootfs.output.directory import refuse_occupied
from tarkit.streams.atomic import Output as Place
from tarkit.streams.atomic import PendingFile
from tarkit.streams.directory import Directory
from tarkit.streams.os_errors import os_errors
from tarkit.streams.staging import parent_of, staging_directory
from tarkit.streams.standard import standard_output

_NAME = "output"


@contextmanager
def target_of(output: Output) -> Iterator[Target | None]:
    """Yield the place of *output*, which appears when the block ends without an error.

    It is None if the daemon keeps the output, as for an image in its store. Raises
    :class:`~tarkit.errors.TransportError` if the daemon has sent nothing.
    """
    if not output.dest:
        yield None
    elif output.dest == "-":
        target = FileTarget(standard_output())
        yield target
        _require(target, output)
    elif output.is_file:
        # Errors in the block have their own reasons, so none is translated here.
        with Place.at(Path(output.dest).absolute()) as place, PendingFile(place.directory) as file:
            target = FileTarget(file.file)
            yield target
            _require(target, output)
            file.publish(place.name)
    else:
        yield from _directory(output)


def _directory(output: Output) -> Iterator[Target]:
    path = Path(output.dest).absolute()
    refuse_occupied(path)
    with parent_of(path) as parent, staging_directory(parent) as staging:
        with os_errors(path):
            directory = staging.make(_NAME)
        target = DirectoryTarget(directory)
        with directory:
            yield target
            _require(target, output)
            made = directory.status()
        with os_errors(path):
            staging.publish(_NAME, parent, path.name, expected=made)


def _require(target: Target, output: Output) -> None:
    if not target.received:
        raise TransportError("the daemon sent no output", where=str(output))


class FileTarget:
    """A file that takes a stream of bytes."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.received = False

    def receive(self, call: Call) -> None:
        """See :class:`~tarkit.gateway.buildkit.services.filesend.Target`."""
        for message in call.messages(BytesMessage):
            self._file.write(message.data)
        self._file.flush()


class DirectoryTarget:
    """A directory that takes a list of files, and the files; all belong to this user."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self.received = False

    def receive(self, call: Call) -> None:
        """See :class:`~tarkit.gateway.buildkit.services.filesend.Target`."""
        Receiver(call, self._directory).run()
