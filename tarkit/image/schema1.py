"""Docker schema 1 manifests, for reading only (distribution, manifest-v2-1).

The document lists layers top first, each with a v1 JSON document as a string.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from tarkit.errors import MalformedError, UnsupportedError
from tarkit.image.digest import Digest
from tarkit.image.document import as_object, get_list, get_string, parse_object
from tarkit.image.manifest import RawManifest
from tarkit.image.media_types import SCHEMA1
from tarkit.values import dataclass


@dataclass(frozen=True, slots=True)
class Schema1Layer:
    """A build step: its v1 document and its blob, which is None if the step is ``throwaway``."""

    document: Mapping[str, Any]
    blob: Digest | None


@dataclass(frozen=True, slots=True)
class Schema1Manifest:
    """A schema 1 manifest. ``layers`` are in tarkit's usual order, bottom first."""

    layers: tuple[Schema1Layer, ...]

    @classmethod
    def parse(cls, raw: RawManifest) -> Self:
        """Parse *raw*; do not check signatures, because the document itself contains the key.

        Raises :class:`MalformedError` if it is invalid, and :class:`UnsupportedError` if its media
        type is not that of schema 1.
        """
        where = str(raw.digest)
        if raw.media_type not in SCHEMA1:
            raise UnsupportedError(f"{raw.media_type!r} is not a schema 1 manifest", where=where)
        document = parse_object(raw.data, where=where)
        blobs = get_list(document, "fsLayers", where=where)
        history = get_list(document, "history", where=where)
        if not blobs or len(blobs) != len(history):
            raise MalformedError(
                f"{len(blobs)} layers but {len(history)} history entries", where=where
            )
        pairs = zip(reversed(history), reversed(blobs), strict=True)
        return cls(tuple(_layer(entry, blob, where) for entry, blob in pairs))


def _layer(entry: object, blob: object, where: str) -> Schema1Layer:
    text = get_string(as_object(entry, where=where), "v1Compatibility", where=where)
    # The text was decoded from JSON and may contain lone surrogates.
    document = parse_object(text.encode(errors="backslashreplace"), where=where)
    if document.get("throwaway") is True:
        return Schema1Layer(document, None)
    digest = get_string(as_object(blob, where=where), "blobSum", where=where)
    return Schema1Layer(document, Digest.parse(digest, where=where))
