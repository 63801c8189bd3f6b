"""``manifest.json``: what a docker archive says it holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from tarkit.errors import AmbiguousImageError, ImageNotFoundError, MalformedError, UsageError
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

_KEYS = {key.lower(): key for key in ("Config", "RepoTags", "Layers", "Parent", "LayerSources")}


@dataclass(frozen=True, slots=True)
class ManifestItem:
    """One image of ``manifest.json``: the paths of its config and layers in the archive, and its names.

    ``layer_sources`` tells, by diff ID, what a layer was before it was put into the archive.
    """

    config: str
    repo_tags: tuple[str, ...]
    layers: tuple[str, ...]
    parent: str = ""
    layer_sources: Mapping[Digest, Descriptor] = field(default_factory=dict, hash=False)

    @classmethod
    def from_json(cls, document: Mapping[str, Any], *, where: str) -> Self:
        """Read an item; keys are matched as Go's readers match them, whatever their case."""
        folded = {_KEYS.get(key.lower(), key): value for key, value in document.items()}
        folded.update({key: document[key] for key in _KEYS.values() if key in document})
        config = get_string(folded, "Config", where=where)
        if not config:
            raise MalformedError("an image without 'Config'", where=where)
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
        """The item as ``docker save`` writes it; an image without names has an empty list of them."""
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
        """What to call the image in a message."""
        return ", ".join(self.repo_tags) or self.config


def parse_items(data: bytes, *, where: str) -> tuple[ManifestItem, ...]:
    """The items of a ``manifest.json``; raises :class:`MalformedError`."""
    document = parse_json(data, where=where)
    if not isinstance(document, list):
        raise MalformedError("not a list of images", where=where)
    return tuple(
        ManifestItem.from_json(as_object(item, where=where), where=where) for item in document
    )


def choose_item(
    items: Sequence[ManifestItem], name: str | None, index: int | None, *, where: str
) -> tuple[int, tuple[str, ...]]:
    """The position of the item of that *name* or *index*, or of the only one; and its names.

    Names compare in full, as Docker writes them out; a tag alone will do where only one image has
    it. A malformed name in the archive stands in nobody's way. An item found by a name goes by
    that name only. Raises :class:`ImageNotFoundError` and :class:`AmbiguousImageError`.
    """
    labels = [item.label for item in items]
    if index is not None:
        if not 0 <= index < len(items):
            count = f"{len(items)} image{'' if len(items) == 1 else 's'}"
            raise ImageNotFoundError(
                f"no image @{index}: it holds {count}", where=where, available=labels
            )
        return index, items[index].repo_tags
    if name is None:
        if len(items) == 1:
            return 0, items[0].repo_tags
        if not items:
            raise ImageNotFoundError("it holds no image", where=where)
        raise AmbiguousImageError(
            f"it holds {len(items)} images and none was named", where=where, available=labels
        )
    return _named(items, name, where)


def _named(items: Sequence[ManifestItem], name: str, where: str) -> tuple[int, tuple[str, ...]]:
    wanted = _reference(name)
    if wanted and wanted.digest:
        raise UsageError(
            f"{name!r} names a digest, and a docker archive knows images by tag only", where=where
        )
    tags = [
        (position, reference, tag)
        for position, item in enumerate(items)
        for tag in item.repo_tags
        if (reference := _reference(tag)) is not None
    ]
    found = [(at, tag) for at, reference, tag in tags if reference == wanted] or [
        (at, tag) for at, reference, tag in tags if reference.tag == name
    ]
    if not found and wanted is None:
        raise UsageError(f"{name[:300]!r} is neither an image name nor a tag", where=where)
    if not found:
        available = [item.label for item in items]
        raise ImageNotFoundError(f"no image {name!r}", where=where, available=available)
    if len({position for position, _ in found}) > 1:
        raise AmbiguousImageError(
            f"{name!r} is the name of several images",
            where=where,
            available=[tag for _, tag in found],
        )
    return found[0][0], (found[0][1],)


def _reference(text: str) -> Reference | None:
    try:
        return Reference.parse(text).tagged()
    except UsageError:
        return None
