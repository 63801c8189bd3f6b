"""Image configs: platform, runtime settings and diff IDs (image-spec config.md)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import Any, Self

from tarkit.errors import LayerCountError, MalformedError, MissingRootfsError
from tarkit.image import media_types
from tarkit.image.digest import Digest
from tarkit.image.document import (
    JSON,
    as_object,
    get_list,
    get_object,
    get_string,
    get_string_map,
    get_strings,
    parse_json,
    parse_object,
)
from tarkit.image.platform import Platform
from tarkit.patterns import lazy_pattern
from tarkit.values import dataclass

# Vendor, personal and unregistered trees of media types (RFC 6838, section 3)
# A vendor's own type says that the config is not that of a container image.
_VENDOR = lazy_pattern(r"[^/]+/(?:vnd|prs|x)[.-]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class History:
    """A build step of the image; it created no layer if ``empty_layer`` is true."""

    created: str = ""
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty_layer: bool = False


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """A parsed config.

    ``document`` is the whole JSON object with unknown fields. The original bytes are not kept.

    >>> with tarkit.open_image("fixtures/hello.tar") as image:
    ...     data = tarkit.read_config(image.source, image.manifest)
    >>> tarkit.ImageConfig.parse(data).created
    '2024-01-02T03:04:05Z'
    """

    platform: Platform
    diff_ids: tuple[Digest, ...]
    created: str = ""
    author: str = ""
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    history: tuple[History, ...] = ()
    document: Mapping[str, Any] = field(default_factory=dict, hash=False, repr=False)

    @classmethod
    def parse(cls, data: bytes, *, where: str | None = None) -> Self:
        """Parse a config.

        Raises :class:`MalformedError` if it is invalid, and :class:`MissingRootfsError` if it has
        no diff IDs.
        """
        document = parse_object(data, where=where)
        rootfs = document.get("rootfs")
        # The default () tells a missing field from an empty list, which is valid (FROM scratch).
        if rootfs is None or as_object(rootfs, where=where).get("diff_ids", ()) == ():
            raise MissingRootfsError("config has no rootfs.diff_ids", where=where)
        runtime = get_object(document, "config", where=where)
        return cls(
            platform=Platform(
                os=get_string(document, "os", where=where),
                architecture=get_string(document, "architecture", where=where),
                variant=get_string(document, "variant", where=where),
                os_version=get_string(document, "os.version", where=where),
                os_features=get_strings(document, "os.features", where=where),
            ),
            diff_ids=tuple(
                Digest.parse(diff_id, where=where)
                for diff_id in get_strings(rootfs, "diff_ids", where=where)
            ),
            created=get_string(document, "created", where=where),
            author=get_string(document, "author", where=where),
            labels=get_string_map(runtime, "Labels", where=where),
            history=tuple(
                _history(as_object(entry, where=where), where)
                for entry in get_list(document, "history", where=where)
            ),
            document=document,
        )

    def require_layers(self, count: int, *, where: str | None = None) -> None:
        """Raise :class:`LayerCountError` unless the image has *count* layers."""
        if count != len(self.diff_ids):
            raise LayerCountError(count, len(self.diff_ids), where=where)


def is_image_config(data: bytes, media_type: str) -> bool:
    """Return True if *data*, stored with *media_type*, is the config of a container image.

    If *media_type* is OCI's or Docker's, the result is True unless *data* is an empty object, so a
    broken config is not mistaken for an artifact. If it is another vendor's, the result is False.
    For all other types the content decides: Docker before 1.11 and some registries wrote
    "application/octet-stream", "text/html" or nothing.
    """
    declared = media_type in media_types.CONFIGS
    if not declared and _VENDOR.match(media_type):
        return False
    try:
        document = parse_json(data)
    except MalformedError:
        return declared
    if declared:
        # Artifacts often have the config "{}" (manifest.md, "Guidance for an Empty Descriptor").
        return bool(document != {})
    if not isinstance(document, dict) or not isinstance(document.get("rootfs"), dict):
        return False
    return isinstance(document["rootfs"].get("diff_ids"), list) and all(
        isinstance(document.get(key), str) for key in ("architecture", "os")
    )


def chain_ids(diff_ids: Iterable[Digest]) -> tuple[Digest, ...]:
    """Return the chain ID of every layer, bottom first (config.md, "Layer ChainID").

    A chain ID identifies a layer together with all layers below it.

    >>> base, top = (tarkit.Digest.of(text) for text in (b"base", b"top"))
    >>> tarkit.chain_ids([base, top])[0] == base
    True
    """
    chain: list[Digest] = []
    for diff_id in diff_ids:
        if chain:
            data = f"{chain[-1]} {diff_id}".encode()
            diff_id = Digest("sha256", hashlib.sha256(data).hexdigest())
        chain.append(diff_id)
    return tuple(chain)


def _history(entry: JSON, where: str | None) -> History:
    empty = entry.get("empty_layer")
    if empty is not None and not isinstance(empty, bool):
        raise MalformedError("history: 'empty_layer' is not a boolean", where=where)
    return History(
        created=get_string(entry, "created", where=where),
        created_by=get_string(entry, "created_by", where=where),
        author=get_string(entry, "author", where=where),
        comment=get_string(entry, "comment", where=where),
        empty_layer=bool(empty),
    )
