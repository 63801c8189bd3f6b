"""Descriptors: the media type, digest and size of content (image-spec descriptor.md)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import field
from typing import Any, Self

from tarkit.errors import MalformedError
from tarkit.image import media_types
from tarkit.image.annotations import without_stale
from tarkit.image.digest import Digest
from tarkit.image.document import (
    JSON,
    get_object,
    get_size,
    get_string,
    get_string_map,
    get_strings,
    unknown_fields,
)
from tarkit.image.platform import Platform
from tarkit.values import dataclass, replace

_KNOWN = frozenset(
    {"mediaType", "digest", "size", "urls", "annotations", "data", "artifactType", "platform"}
)


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A reference to content by ``media_type``, ``digest`` and ``size`` in bytes.

    ``data`` is the decoded embedded content, if any. ``extra`` keeps unknown fields.

    >>> tarkit.Descriptor("text/plain", tarkit.Digest.of(b"hi"), 2).to_json()["size"]
    2
    """

    media_type: str
    digest: Digest
    size: int
    urls: tuple[str, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    data: bytes | None = None
    artifact_type: str = ""
    platform: Platform | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @classmethod
    def of(cls, data: bytes, media_type: str) -> Self:
        """Return the descriptor of *data*."""
        return cls(media_type, Digest.of(data), len(data))

    @classmethod
    def from_json(cls, document: Mapping[str, Any], *, where: str | None = None) -> Self:
        """Parse a descriptor.

        Raises :class:`MalformedError` if it is invalid, and :class:`UnsupportedError` if the digest
        algorithm is unknown.
        """
        platform = document.get("platform")
        return cls(
            media_type=get_string(document, "mediaType", where=where),
            digest=Digest.parse(get_string(document, "digest", where=where), where=where),
            size=get_size(document, "size", where=where),
            urls=get_strings(document, "urls", where=where),
            annotations=get_string_map(document, "annotations", where=where),
            data=_embedded(get_string(document, "data", where=where), where),
            artifact_type=get_string(document, "artifactType", where=where),
            platform=(
                Platform.from_json(get_object(document, "platform", where=where), where=where)
                if platform is not None
                else None
            ),
            extra=unknown_fields(document, _KNOWN),
        )

    def to_json(self) -> JSON:
        """Return the descriptor as a JSON object without empty optional fields."""
        document: JSON = {
            "mediaType": self.media_type,
            "digest": str(self.digest),
            "size": self.size,
        }
        optional: JSON = {
            "urls": list(self.urls),
            "annotations": dict(self.annotations),
            "data": base64.b64encode(self.data).decode() if self.data is not None else None,
            "artifactType": self.artifact_type,
            "platform": self.platform.to_json() if self.platform else None,
        }
        document.update({key: value for key, value in optional.items() if value})
        # Unknown fields come last, so they cannot replace known ones: both sets are disjoint.
        return document | dict(self.extra)

    @property
    def is_foreign(self) -> bool:
        """True if this is a non-distributable layer with URLs, which copies may omit."""
        return bool(self.urls) and media_types.is_foreign(self.media_type)

    def with_content(self, media_type: str, digest: Digest, size: int) -> Self:
        """Return a descriptor of equivalent content, such as the same layer recompressed.

        If the digest changes, this drops embedded data, URLs and annotations that describe the old
        bytes. All other fields stay.
        """
        if digest == self.digest:
            return replace(self, media_type=media_type, size=size)
        return replace(
            self,
            media_type=media_type,
            digest=digest,
            size=size,
            urls=(),
            annotations=without_stale(self.annotations),
            data=None,
        )


def _embedded(text: str, where: str | None) -> bytes | None:
    if not text:
        return None
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedError("descriptor field 'data' is not base64", where=where) from None
