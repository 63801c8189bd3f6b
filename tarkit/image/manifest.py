"""Image manifests and indexes of OCI (manifest.md, image-index.md) and Docker schema 2.

The two families differ only in media types, so they share one class. Parsed documents keep unknown
fields. :class:`RawManifest` keeps the original bytes, which are written again if unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Self

from tarkit.errors import MalformedError, NotAnImageError, TarkitError, UnsupportedError
from tarkit.image import media_types
from tarkit.image.config import is_image_config
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.document import (
    JSON,
    METADATA_LIMIT,
    as_object,
    dump_json,
    get_list,
    get_string,
    get_string_map,
    parse_object,
    unknown_fields,
)
from tarkit.values import dataclass

_COMMON = {"schemaVersion", "mediaType", "artifactType", "subject", "annotations"}
_MANIFEST_FIELDS = frozenset(_COMMON | {"config", "layers"})
_INDEX_FIELDS = frozenset(_COMMON | {"manifests"})
_MOST_UNREADABLE = 1000  # an index with a million entries "{}" must not create a million errors


@dataclass(frozen=True, slots=True)
class RawManifest:
    """The bytes of a manifest or index, with its media type and digest.

    >>> with tarkit.open_source("fixtures/hello.tar") as source:
    ...     raw = source.manifest()
    >>> raw.digest.matches(raw.data)
    True
    """

    data: bytes
    media_type: str
    digest: Digest

    @classmethod
    def of(cls, data: bytes, media_type: str = "", *, where: str | None = None) -> Self:
        """Wrap *data*; if *media_type* is empty, :func:`guess_media_type` determines it."""
        return cls(data, media_type or guess_media_type(data, where=where), Digest.of(data))

    @property
    def is_index(self) -> bool:
        """True if this is an index (or Docker manifest list) rather than one image."""
        return self.media_type in media_types.INDEXES

    @property
    def descriptor(self) -> Descriptor:
        """The descriptor of these bytes."""
        return Descriptor(self.media_type, self.digest, len(self.data))


@dataclass(frozen=True, slots=True)
class Manifest:
    """One image: its ``config`` and its ``layers``, bottom first.

    >>> with tarkit.open_source("fixtures/hello.tar") as source:
    ...     len(tarkit.Manifest.parse(source.manifest()).layers)
    2
    """

    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    artifact_type: str = ""
    subject: Descriptor | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @classmethod
    def parse(cls, raw: RawManifest) -> Self:
        """Parse *raw*.

        Raises :class:`MalformedError` if it is invalid, and :class:`UnsupportedError` if its media
        type is not that of an image manifest.
        """
        where = str(raw.digest)
        if raw.media_type not in media_types.MANIFESTS:
            raise UnsupportedError(f"{raw.media_type!r} is not an image manifest", where=where)
        document = _versioned(raw, where)
        # Ambiguous documents are refused: clients disagree on their type (CVE-2021-41190).
        if document.get("manifests") is not None:
            raise MalformedError("manifest has both 'manifests' and 'layers'", where=where)
        for key in ("config", "layers"):
            if key not in document:
                raise MalformedError(f"manifest has no {key!r}", where=where)
        return cls(
            media_type=raw.media_type,
            config=Descriptor.from_json(as_object(document["config"], where=where), where=where),
            layers=tuple(
                Descriptor.from_json(as_object(layer, where=where), where=where)
                for layer in get_list(document, "layers", where=where)
            ),
            annotations=get_string_map(document, "annotations", where=where),
            artifact_type=get_string(document, "artifactType", where=where),
            subject=_subject(document, where),
            extra=unknown_fields(document, _MANIFEST_FIELDS),
        )

    def serialize(self) -> RawManifest:
        """Return the manifest as bytes. Equal manifests have equal bytes."""
        document: JSON = {"schemaVersion": 2, "mediaType": self.media_type}
        if self.artifact_type:
            document["artifactType"] = self.artifact_type
        document["config"] = self.config.to_json()
        document["layers"] = [layer.to_json() for layer in self.layers]
        return _serialize(document, self)

    @property
    def may_be_image(self) -> bool:
        """True if this can be a container image; if false, it is an artifact.

        If true, its config decides: see :func:`~tarkit.image.config.is_image_config`.
        """
        # With an unknown type, a config too large to read belongs to an artifact.
        readable = self.config.size <= METADATA_LIMIT
        return (readable or self.config.media_type in media_types.CONFIGS) and all(
            media_types.is_layer(layer.media_type) for layer in self.layers
        )

    def require_image(self, config: bytes, *, where: str | None = None) -> None:
        """Raise an error unless this is a container image with the bytes *config* as its config.

        Raises :class:`NotAnImageError` for an artifact, and :class:`UnsupportedError` for an
        unknown layer type.
        """
        if not is_image_config(config, self.config.media_type):
            kind = self.artifact_type or self.config.media_type or "no media type"
            raise NotAnImageError(f"an artifact ({kind}), not a container image", where=where)
        for layer in self.layers:
            if not media_types.is_layer(layer.media_type):
                raise UnsupportedError(
                    f"layer {layer.digest} has the unsupported media type {layer.media_type!r}",
                    where=where,
                )


@dataclass(frozen=True, slots=True)
class UnreadableEntry:
    """An invalid or unsupported index entry: its ``position``, JSON ``document`` and ``error``."""

    position: int
    document: Any = field(hash=False)
    error: TarkitError = field(compare=False)


@dataclass(frozen=True, slots=True)
class Index:
    """Several images under one name, usually one per platform.

    ``manifests`` are the readable entries. ``unreadable`` keeps the others for a rewrite; it is
    empty unless the index was parsed with ``strict=False``.

    >>> with tarkit.open_source("oci:alpha/crane-oci-multiarch") as source:
    ...     index = tarkit.Index.parse(source.manifest())
    >>> str(index.manifests[0].platform)
    'linux/amd64'
    """

    media_type: str
    manifests: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    artifact_type: str = ""
    subject: Descriptor | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)
    unreadable: tuple[UnreadableEntry, ...] = ()

    @classmethod
    def parse(cls, raw: RawManifest, *, strict: bool = True, where: str | None = None) -> Self:
        """Parse *raw*; messages name *where*, by default the digest.

        If not *strict*, unreadable entries are collected in ``unreadable``. Raises
        :class:`MalformedError` if the index is invalid, if all its entries are malformed, or if
        more than 1,000 entries are unreadable. Raises :class:`UnsupportedError` if the media
        type is not that of an index.
        """
        where = where or str(raw.digest)
        if raw.media_type not in media_types.INDEXES:
            raise UnsupportedError(f"{raw.media_type!r} is not an image index", where=where)
        document = _versioned(raw, where)
        for key in ("layers", "config"):
            if document.get(key) is not None:
                raise MalformedError(f"index has both {key!r} and 'manifests'", where=where)
        children = get_list(document, "manifests", where=where)
        manifests, unreadable = _entries(children, where, strict=strict)
        return cls(
            media_type=raw.media_type,
            manifests=manifests,
            annotations=get_string_map(document, "annotations", where=where),
            artifact_type=get_string(document, "artifactType", where=where),
            subject=_subject(document, where),
            extra=unknown_fields(document, _INDEX_FIELDS),
            unreadable=unreadable,
        )

    def serialize(self) -> RawManifest:
        """Return the index as bytes. Equal indexes have equal bytes."""
        document: JSON = {"schemaVersion": 2, "mediaType": self.media_type}
        if self.artifact_type:
            document["artifactType"] = self.artifact_type
        document["manifests"] = children = [child.to_json() for child in self.manifests]
        # Ascending positions, so each insertion restores an entry's original position.
        for entry in self.unreadable:
            children.insert(entry.position, entry.document)
        return _serialize(document, self)


def _entries(
    children: list[Any], where: str, *, strict: bool
) -> tuple[tuple[Descriptor, ...], tuple[UnreadableEntry, ...]]:
    """Split *children* into readable and unreadable entries."""
    readable: list[Descriptor] = []
    unreadable: list[UnreadableEntry] = []
    for position, child in enumerate(children):
        try:
            place = f"{where}: manifests[{position}]"
            readable.append(Descriptor.from_json(as_object(child, where=place), where=place))
        except (MalformedError, UnsupportedError) as error:
            if strict or len(unreadable) == _MOST_UNREADABLE:
                raise
            unreadable.append(UnreadableEntry(position, child, error))
    errors = [entry.error for entry in unreadable]
    # Something else than an index, rather than an index with a few bad entries.
    if errors and not readable and all(isinstance(error, MalformedError) for error in errors):
        raise errors[0]
    return tuple(readable), tuple(unreadable)


def guess_media_type(data: bytes, *, where: str | None = None) -> str:
    """Return the media type of a manifest or index, judging by its fields.

    Raises :class:`MalformedError` if *data* is neither a manifest nor an index.
    """
    document = parse_object(data, where=where)
    declared = get_string(document, "mediaType", where=where)
    if declared:
        return declared
    # Older tools omit mediaType, and schema 1 has none.
    if document.get("schemaVersion") == 1:
        signed = "signatures" in document
        return media_types.DOCKER_SCHEMA1_SIGNED if signed else media_types.DOCKER_SCHEMA1
    if document.get("manifests") is not None:
        return media_types.OCI_INDEX
    config = document.get("config")
    if isinstance(config, dict) and config.get("mediaType") == media_types.DOCKER_CONFIG:
        return media_types.DOCKER_MANIFEST
    if config is not None and document.get("layers") is not None:
        return media_types.OCI_MANIFEST
    raise MalformedError("neither an image manifest nor an index", where=where)


def _versioned(raw: RawManifest, where: str) -> JSON:
    document = parse_object(raw.data, where=where)
    if document.get("schemaVersion") != 2:
        raise MalformedError(
            f"schemaVersion is {str(document.get('schemaVersion'))[:40]}, not 2", where=where
        )
    declared = get_string(document, "mediaType", where=where)
    if declared and declared != raw.media_type:
        raise MalformedError(f"mediaType is {declared!r}, expected {raw.media_type!r}", where=where)
    return document


def _subject(document: JSON, where: str) -> Descriptor | None:
    subject = document.get("subject")
    return (
        None
        if subject is None
        else Descriptor.from_json(as_object(subject, where=where), where=where)
    )


def _serialize(document: JSON, content: Manifest | Index) -> RawManifest:
    if content.subject:
        document["subject"] = content.subject.to_json()
    if content.annotations:
        document["annotations"] = dict(content.annotations)
    return RawManifest.of(dump_json(document | dict(content.extra)), content.media_type)
