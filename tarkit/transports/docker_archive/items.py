"""Parse ``manifest.json``, a docker archive's table of contents, and select images from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any, Self

from tarkit.errors import MalformedError, TarkitError, UnsupportedError, UsageError
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.document import (
    JSON,
    as_object,
    get_object,
    get_string,
    get_strings,
    parse_json,
)
from tarkit.image.reference import Reference
from tarkit.protocols import ImageEntry, UnreadableImage
from tarkit.selection.catalog import EXACT, Catalog, Spelling
from tarkit.values import dataclass

_KEYS = {key.lower(): key for key in ("Config", "RepoTags", "Layers", "Parent", "LayerSources")}
_MOST_UNREADABLE = 1000  # a list of a million items "{}" must not create a million errors


@dataclass(frozen=True, slots=True)
class ManifestItem:
    """An image of ``manifest.json``: the paths of its config and layers, and its names.

    ``layer_sources`` maps diff IDs to the descriptors that the layers had before they were saved.
    """

    config: str
    repo_tags: tuple[str, ...]
    layers: tuple[str, ...]
    parent: str = ""
    layer_sources: Mapping[Digest, Descriptor] = field(default_factory=dict, hash=False)

    @classmethod
    def from_json(cls, document: Mapping[str, Any], *, where: str) -> Self:
        """Parse an item; match keys regardless of case like Go, but prefer exact matches."""
        # Exact keys are applied last, so that they replace other spellings.
        folded = {_KEYS.get(key.lower(), key): value for key, value in document.items()}
        folded.update({key: document[key] for key in _KEYS.values() if key in document})
        config = get_string(folded, "Config", where=where)
        if not config:
            raise MalformedError("an image has no 'Config'", where=where)
        return cls(
            config=config,
            repo_tags=get_strings(folded, "RepoTags", where=where),
            layers=get_strings(folded, "Layers", where=where),
            parent=get_string(folded, "Parent", where=where),
            layer_sources={
                Digest.parse(diff_id, where=where): Descriptor.from_json(
                    as_object(descriptor, where=where), where=where
                )
                for diff_id, descriptor in get_object(folded, "LayerSources", where=where).items()
            },
        )

    def to_json(self) -> JSON:
        """Return the item like ``docker save``, with an empty list if there are no names."""
        document: JSON = {
            "Config": self.config,
            "RepoTags": list(self.repo_tags),
            "Layers": list(self.layers),
        }
        if self.parent:
            document["Parent"] = self.parent
        if self.layer_sources:
            document["LayerSources"] = {
                str(diff_id): descriptor.to_json()
                for diff_id, descriptor in self.layer_sources.items()
            }
        return document

    @property
    def label(self) -> str:
        """The name of the image, as shown in messages."""
        return ", ".join(self.repo_tags) or self.config


@dataclass(frozen=True, slots=True)
class UnreadableItem:
    """A malformed item of ``manifest.json``: its ``position``, and the ``error``."""

    position: int
    error: TarkitError


def parse_items(data: bytes, *, where: str) -> tuple[ManifestItem | UnreadableItem, ...]:
    """Return the items of a ``manifest.json``; a malformed item becomes an ``UnreadableItem``.

    Raises :class:`MalformedError` if *data* is not a list or no item is readable.
    """
    document = parse_json(data, where=where)
    if not isinstance(document, list):
        raise MalformedError("not a list of images", where=where)
    items: list[ManifestItem | UnreadableItem] = []
    bad = 0
    for position, item in enumerate(document):
        try:
            items.append(ManifestItem.from_json(as_object(item, where=where), where=where))
        except (MalformedError, UnsupportedError) as error:
            bad += 1  # counting in the list each time would take quadratic time
            if bad > _MOST_UNREADABLE:
                raise
            items.append(UnreadableItem(position, error))
    if items and bad == len(items) and isinstance(items[0], UnreadableItem):
        raise items[0].error
    return tuple(items)


@dataclass(frozen=True, slots=True)
class DockerImage(ImageEntry):
    """An image: its ``item`` in ``manifest.json`` and its ``top`` in ``index.json``.

    Either may be None. ``config`` is the digest of the item's config, if it was read. ``error`` is
    set if the image is listed but cannot be read.
    """

    item: ManifestItem | None
    top: Descriptor | None = None
    config: Digest | None = None
    error: TarkitError | None = None


def catalog_of(
    images: Sequence[DockerImage | UnreadableImage], *, where: str
) -> Catalog[DockerImage]:
    """Return the catalog of *images*.

    Names are compared as full references first. A tag alone also selects an image if it is unique.
    Names that are not valid references must match exactly.
    """
    return Catalog(
        images, (Spelling(_in_full, _full_key), Spelling(_tags, str), EXACT), where=where
    )


def choose_item(
    items: Sequence[ManifestItem], name: str | None, index: int | None, *, where: str
) -> tuple[int, tuple[str, ...]]:
    """Return the position and names of the item with *name* or *index*, or of the only item.

    If it is selected by name, only that name is returned. Raises :class:`ImageNotFoundError`,
    :class:`AmbiguousImageError`, and :class:`UsageError` if the name is invalid.
    """
    images = [DockerImage(at, item.repo_tags, item) for at, item in enumerate(items)]
    image, by_name = choose_image(catalog_of(images, where=where), name, index, where=where)
    return image.index, image.names if by_name is None else (by_name,)


def choose_image(
    catalog: Catalog[DockerImage], name: str | None, index: int | None, *, where: str
) -> tuple[DockerImage, str | None]:
    """Return the image with *name* or *index*, or the only image, and the name that matched.

    Raises the errors of :func:`choose_item`.
    """
    # A better error for a name that cannot exist in any archive.
    if name is not None and not catalog.matches(name):
        _require_name(name, where)
    return catalog.choose(name, index)


def _require_name(name: str, where: str) -> None:
    try:
        reference = Reference.parse(name)
    except UsageError:
        message = f"{name[:300]!r} is neither an image name nor a tag"
        raise UsageError(message, where=where) from None
    if reference.digest:
        message = f"{name!r} has a digest, but docker archives name images by tag only"
        raise UsageError(message, where=where)


def _in_full(image: ImageEntry) -> Iterator[tuple[Reference, str]]:
    for name in image.names:
        if (reference := _full_key(name)) is not None:
            yield reference, name


def _tags(image: ImageEntry) -> Iterator[tuple[str, str]]:
    return ((reference.tag, name) for reference, name in _in_full(image))


def _full_key(text: str) -> Reference | None:
    try:
        reference = Reference.parse(text).tagged()
    except UsageError:
        return None
    return None if reference.digest else reference
