"""The calls of the Docker Engine API that list, tag, save and load images."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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
from tarkit.transports.docker_daemon.connection import Body, response_to
from tarkit.transports.docker_daemon.daemon import Daemon
from tarkit.values import dataclass

_LIST_LIMIT = 64 << 20
_UNNAMED = "<none>:<none>"
_SHOWN = 500  # characters of a message from the daemon


@dataclass(frozen=True, slots=True)
class DaemonImage:
    """An image of the daemon: its ``id``, and its sorted ``tags`` as the daemon writes them.

    The ID is the digest of the config or, with the containerd image store, of the manifest or
    index.
    """

    id: Digest
    tags: tuple[str, ...]

    @classmethod
    def from_json(cls, document: object, *, where: str) -> DaemonImage:
        """Parse an entry of the daemon's image list, or its description of an image."""
        entry = as_object(document, where=where)
        tags = get_strings(entry, "RepoTags", where=where)
        return cls(
            Digest.parse(get_string(entry, "Id", where=where), where=where),
            tuple(sorted(tag for tag in tags if tag != _UNNAMED)),
        )


class DaemonClient:
    """A client of *daemon*; thread-safe, because every call opens its own connection.

    Every method raises :class:`~tarkit.errors.TransportError` if the daemon cannot be reached,
    fails, does not answer in time or closes the connection early, and
    :class:`~tarkit.errors.AuthenticationError` if the daemon or its socket denies access.
    """

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self.where = daemon.host

    def ping(self) -> None:
        """Check that the daemon is reachable and grants access."""
        with response_to(self._daemon, "/_ping") as body:
            read_bounded(body, METADATA_LIMIT, where=self.where)

    def images(self) -> tuple[DaemonImage, ...]:
        """Return all images, sorted by name, unnamed images last."""
        listed = self._json("/images/json", _LIST_LIMIT)
        if not isinstance(listed, list):
            raise MalformedError("not a list of images", where=self.where)
        images = (DaemonImage.from_json(entry, where=self.where) for entry in listed)
        return tuple(sorted(images, key=lambda image: (not image.tags, image.tags, str(image.id))))

    def find(self, name: str) -> DaemonImage:
        """Return the image with *name* or an ID; raise :class:`ImageNotFoundError` if missing."""
        try:
            document = self._json(f"/images/{_quoted(name)}/json", METADATA_LIMIT)
        except ImageNotFoundError:
            raise ImageNotFoundError(
                f"the Docker daemon has no image {name!r}",
                where=self.where,
                hint="'tarkit list docker-daemon:' lists its images",
            ) from None
        return DaemonImage.from_json(document, where=self.where)

    def tag(self, name: str, repository: str, tag: str) -> None:
        """Name the image *name* also ``repository:tag``; raises :class:`ImageNotFoundError`."""
        query = f"repo={quote(repository, safe='')}&tag={quote(tag, safe='')}"
        with response_to(self._daemon, f"/images/{_quoted(name)}/tag?{query}", post=True) as body:
            read_bounded(body, METADATA_LIMIT, where=self.where)

    @contextmanager
    def save(self, name: str) -> Iterator[Body]:
        """Request the image *name* as a docker archive, and yield the stream."""
        path = f"/images/{_quoted(name)}/get"
        with response_to(self._daemon, path, stall_timeout=self._daemon.work_timeout) as body:
            yield body

    def load(self, archive: BinaryIO) -> None:
        """Load the images of the docker archive in the file *archive*.

        Raises :class:`TransportError` if the daemon reports a failure, which may be in the body of
        a response with status 200.
        """
        with response_to(
            self._daemon,
            "/images/load?quiet=1",
            upload=archive,
            stall_timeout=self._daemon.work_timeout,
        ) as body:
            messages = read_bounded(body, METADATA_LIMIT, where=self.where)
        for line in messages.splitlines():
            if reason := failure_in(line):
                raise TransportError(
                    f"the Docker daemon failed to load the archive: {reason}", where=self.where
                )

    def _json(self, path: str, limit: int) -> Any:
        with response_to(self._daemon, path) as body:
            return parse_json(
                read_bounded(body, limit, where=self.where), where=self.where, limit=limit
            )


def failure_in(line: bytes) -> str:
    """Return the reason if *line* is a JSON message about a failure, or an empty string."""
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
