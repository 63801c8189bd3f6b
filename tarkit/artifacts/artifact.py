"""An artifact of a store: a directory with an image and its record."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Self

from tarkit.artifacts.build import BuildResult
from tarkit.errors import DigestMismatchError, SizeMismatchError, UnsafePathError
from tarkit.image.digest import Digest
from tarkit.image.document import dump_json, get_size, get_string, parse_object
from tarkit.streams.files import open_regular, read_file, require_inside
from tarkit.streams.hashing import file_digest
from tarkit.values import dataclass

IMAGE = "image.ext4"
RECORD = "artifact.json"

_RECORD_LIMIT = 64 << 10
# The limit keeps lock names and paths short; a leading dot would hide the directory.
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Artifact:
    """An image in the store's directory ``id``, with its ``path``, digest and ``size`` in bytes.

    ``inputs`` is the digest of the build's inputs, ``manifest`` the digest of the container image
    it was first built from.
    """

    id: str
    path: Path
    sha256: Digest
    size: int
    uuid: str
    inputs: Digest
    manifest: Digest

    @classmethod
    def of(cls, directory: Path, result: BuildResult) -> Self:
        """Return the artifact of *result*, which will be published in *directory*."""
        return cls(
            id=directory.name,
            path=directory / IMAGE,
            sha256=result.sha256,
            size=result.size,
            uuid=str(result.uuid),
            inputs=result.inputs,
            manifest=result.manifest,
        )

    @classmethod
    def read(cls, directory: Path) -> Self:
        """Read the record of the artifact in *directory*, without verifying the image.

        Raises :class:`PathNotFoundError` if a file is missing, :class:`MalformedError` if the
        record is invalid, and :class:`UnsafePathError` if links lead out of the store.
        """
        for name in (RECORD, IMAGE):
            # The store's directories may have been copied from elsewhere, links included.
            require_inside(directory / name, directory.parent)
        where = str(directory / RECORD)
        document = parse_object(read_file(directory / RECORD, _RECORD_LIMIT), where=where)

        def digest(key: str) -> Digest:
            return Digest.parse(get_string(document, key, where=where), where=where)

        return cls(
            id=directory.name,
            path=directory / IMAGE,
            sha256=digest("sha256"),
            size=get_size(document, "size", where=where),
            uuid=get_string(document, "uuid", where=where),
            inputs=digest("inputs"),
            manifest=digest("manifest"),
        )

    def record(self) -> bytes:
        """Return the record as JSON, for :meth:`read`."""
        return dump_json(
            {
                "sha256": str(self.sha256),
                "size": self.size,
                "uuid": self.uuid,
                "inputs": str(self.inputs),
                "manifest": str(self.manifest),
            }
        )

    def verify(self) -> None:
        """Raise :class:`VerificationError` if the image does not match its size or digest.

        Raises :class:`PathNotFoundError` if the image is missing.
        """
        with open_regular(self.path) as file:
            size = os.fstat(file.fileno()).st_size
            if size != self.size:
                raise SizeMismatchError(self.size, size, where=str(self.path))
            actual = file_digest(file, self.path)
        if actual != self.sha256:
            raise DigestMismatchError(self.sha256, actual, where=str(self.path))


def is_id(text: str) -> bool:
    """Return True if :func:`check_id` accepts *text* as the id of an artifact."""
    # The id becomes a file name, so it must not lead out of the store.
    return bool(_ID.fullmatch(text)) and ".." not in text


def check_id(text: str) -> str:
    """Return *text* if it can be the id of an artifact, and so the name of a directory.

    Raises :class:`UnsafePathError` unless it matches ``[A-Za-z0-9][A-Za-z0-9._-]{0,127}`` and does
    not contain ``..``.
    """
    if not is_id(text):
        raise UnsafePathError(
            f"{text[:160]!r} cannot be the id of an artifact",
            hint="use up to 128 letters, digits, '.', '-' and '_', starting with a letter or digit",
        )
    return text
