"""The few calls of the Docker Engine API that move images."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO
from urllib.parse import quote

from tarkit.errors import ImageNotFoundError, MalformedError, TransportError, VerificationError
from tarkit.image.digest import Digest
from tarkit.image.document import (
    METADATA_LIMIT,
    as_object,
    get_object,
    get_string,
    get_strings,
    parse_json,
    parse_object,
)
from tarkit.streams.chunks import read_bounded
from tarkit.transports.docker_daemon.connection import Body, answered
from tarkit.transports.docker_daemon.daemon import Daemon

_LIST_LIMIT = 64 << 20
_UNNAMED = "<none>:<none>"
_SHOWN = 500


@dataclass(frozen=True, slots=True)
class DaemonImage:
    """An image of the daemon: its ``id``, and its ``tags`` as the daemon writes them, sorted.

    The ID is the config's digest, or that of the manifest or index where containerd stores the images.
    """

    id: Digest
    tags: tuple[str, ...]

    @classmethod
    def from_json(cls, document: object, *, where: str) -> DaemonImage:
        """Read an entry of the daemon's list, or what it says of one image."""
        entry = as_object(document, where=where)
        tags = get_strings(entry, "RepoTags", where=where)
        return cls(
            Digest.parse(get_string(entry, "Id", where=where), where=where),
            tuple(sorted(tag for tag in tags if tag != _UNNAMED)),
        )


class DaemonClient:
    """Speaks to *daemon*, with a connection for each call: any thread may use it.

    Every method raises :class:`~tarkit.errors.TransportError` where the daemon is not there, does
    not answer in time, breaks off or fails, and :class:`~tarkit.errors.AuthenticationError` where
    it, or its socket, denies access.
    """

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self.where = daemon.host

    def ping(self) -> None:
        """Make sure that the daemon is there and lets us in."""
        with answered(self._daemon, "/_ping") as body:
            read_bounded(body, METADATA_LIMIT, where=self.where)

    def images(self) -> tuple[DaemonImage, ...]:
        """The images there are, in an order of their names."""
        listed = self._json("/images/json", _LIST_LIMIT)
        if not isinstance(listed, list):
            raise MalformedError("not a list of images", where=self.where)
        images = (DaemonImage.from_json(entry, where=self.where) for entry in listed)
        return tuple(sorted(images, key=lambda image: (not image.tags, image.tags, str(image.id))))

    def find(self, name: str) -> DaemonImage:
        """The image of that *name* or ID; raises :class:`ImageNotFoundError`."""
        try:
            document = self._json(f"/images/{_quoted(name)}/json", METADATA_LIMIT)
        except ImageNotFoundError:
            raise ImageNotFoundError(
                f"the Docker daemon has no image {name!r}",
                where=self.where,
                hint="'tarkit list docker-daemon:' shows what it has",
            ) from None
        return DaemonImage.from_json(document, where=self.where)

    @contextmanager
    def save(self, name: str) -> Iterator[Body]:
        """The docker archive that the daemon makes of the image *name*, as it comes in."""
        path = f"/images/{_quoted(name)}/get"
        with answered(self._daemon, path, patience=self._daemon.work_timeout) as body:
            yield body

    def load(self, archive: BinaryIO) -> None:
        """Have the daemon load the images of the docker archive in the file *archive*.

        Raises :class:`TransportError` where it says, in the middle of an answer that began well,
        that it did not.
        """
        with answered(
            self._daemon,
            "/images/load?quiet=1",
            upload=archive,
            patience=self._daemon.work_timeout,
        ) as body:
            said = read_bounded(body, METADATA_LIMIT, where=self.where)
        for line in said.splitlines():
            if reason := failure_in(line):
                raise TransportError(
                    f"the Docker daemon did not load it: {reason}", where=self.where
                )

    def _json(self, path: str, limit: int) -> Any:
        with answered(self._daemon, path) as body:
            return parse_json(
                read_bounded(body, limit, where=self.where), where=self.where, limit=limit
            )


def failure_in(line: bytes) -> str:
    """The reason in *line*, where that is one of the daemon's messages and tells of a failure."""
    if not line.strip():
        return ""
    try:
        message = parse_object(line)
        detail = get_object(message, "errorDetail", where=None)
        reason = get_string(detail, "message", where=None)
        reason = reason or get_string(message, "error", where=None)
    except VerificationError:
        return ""
    return " ".join(reason.split())[:_SHOWN] or (
        "unknown error" if "errorDetail" in message else ""
    )


def _quoted(name: str) -> str:
    return quote(name, safe="/:@")
