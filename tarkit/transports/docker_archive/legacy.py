"""Read archives from before Docker 1.10: a ``repositories`` file and a directory per layer.

``<id>/json`` describes a layer and names its ``parent``; ``<id>/layer.tar`` is its content.
"""

from __future__ import annotations

from tarkit.errors import LimitExceededError, MalformedError, MemberNotFoundError
from tarkit.image.digest import Digest
from tarkit.image.document import (
    JSON,
    METADATA_LIMIT,
    get_string,
    get_string_map,
    parse_object,
)
from tarkit.image.v1 import config_from_v1
from tarkit.streams.codecs import decompress
from tarkit.streams.verify import VerifyingReader
from tarkit.tar.archive import Archive
from tarkit.transports.docker_archive.classic import ClassicImage
from tarkit.transports.docker_archive.format import REPOSITORIES_FILE
from tarkit.transports.docker_archive.items import ManifestItem
from tarkit.values import replace

_MOST_LAYERS = _MOST_IMAGES = 1000


def legacy_items(archive: Archive) -> tuple[ManifestItem, ...]:
    """Return the images in ``repositories``; the ``config`` of each is the ID of its top layer."""
    where = f"{archive.where}: {REPOSITORIES_FILE}"
    document = parse_object(archive.read(REPOSITORIES_FILE, METADATA_LIMIT), where=where)
    tags: dict[str, list[str]] = {}
    for repository in document:
        for tag, image_id in get_string_map(document, repository, where=where).items():
            tags.setdefault(image_id, []).append(f"{repository}:{tag}")
    if len(tags) > _MOST_IMAGES:
        raise LimitExceededError(
            f"more than {_MOST_IMAGES} images", limit=_MOST_IMAGES, where=where
        )
    if "" in tags:
        raise MalformedError(f"{tags[''][0]!r} has an empty image ID", where=where)
    return tuple(ManifestItem(image_id, tuple(names), ()) for image_id, names in tags.items())


class LegacyLayers:
    """The layers of such an archive; each is read once and cached, because images share layers."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._documents: dict[str, JSON] = {}
        self._diff_ids: dict[str, Digest] = {}

    def image(self, item: ManifestItem) -> ClassicImage:
        """Return the image of *item* after reading all its layers."""
        chain = self._chain(item.config)
        config = config_from_v1(
            # Every entry in these archives has a layer; "throwaway" applies only to registries.
            [{**self._describe(layer), "throwaway": False} for layer in chain],
            [self._diff_id(layer) for layer in chain],
            where=self._archive.where,
        )
        layers = tuple(f"{layer}/layer.tar" for layer in chain)
        return ClassicImage(self._archive, replace(item, layers=layers), config)

    def _chain(self, layer_id: str) -> list[str]:
        """Return the IDs of the layer and all its ancestors, bottom first."""
        chain: dict[str, None] = {}
        while layer_id:
            if layer_id in chain:
                raise MalformedError(
                    f"layer {layer_id} is its own ancestor", where=self._archive.where
                )
            if len(chain) == _MOST_LAYERS:
                raise LimitExceededError(
                    f"more than {_MOST_LAYERS} layers",
                    limit=_MOST_LAYERS,
                    where=self._archive.where,
                )
            chain[layer_id] = None
            layer_id = get_string(self._describe(layer_id), "parent", where=self._archive.where)
        return list(reversed(chain))

    def _describe(self, layer_id: str) -> JSON:
        if layer_id not in self._documents:
            name = f"{layer_id}/json"
            where = f"{self._archive.where}: {name}"
            data = self._archive.read(name, METADATA_LIMIT)
            self._documents[layer_id] = parse_object(data, where=where)
        return self._documents[layer_id]

    def _diff_id(self, layer_id: str) -> Digest:
        if layer_id not in self._diff_ids:
            self._diff_ids[layer_id] = self._read(f"{layer_id}/layer.tar")
        return self._diff_ids[layer_id]

    def _read(self, path: str) -> Digest:
        member = self._archive.find(path)
        if member is None:
            raise MemberNotFoundError(f"layer {path!r} is missing", where=self._archive.where)
        where = f"{self._archive.where}: layer {path}"
        compression = self._archive.compression_of(member)
        stream = decompress(self._archive.open_member(member), compression, where=where)
        with VerifyingReader(stream) as plain:
            plain.verify()
            return plain.digest
