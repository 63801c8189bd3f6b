"""Archives from before Docker 1.10: a file ``repositories`` and a directory for each layer.

``<id>/json`` describes a layer and names its ``parent``, ``<id>/layer.tar`` holds it.
"""

from __future__ import annotations

from collections.abc import Mapping

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
from tarkit.transports.docker_archive.classic import ClassicSource
from tarkit.transports.docker_archive.items import ManifestItem

REPOSITORIES_FILE = "repositories"
_MOST_LAYERS = 1000


def legacy_items(archive: Archive) -> tuple[ManifestItem, ...]:
    """The images that ``repositories`` names. Their ``config`` is the ID of their top layer."""
    where = f"{archive.where}: {REPOSITORIES_FILE}"
    document = parse_object(archive.read(REPOSITORIES_FILE, METADATA_LIMIT), where=where)
    tags: dict[str, list[str]] = {}
    for repository in document:
        for tag, image_id in get_string_map(document, repository, where=where).items():
            tags.setdefault(image_id, []).append(f"{repository}:{tag}")
    return tuple(
        ManifestItem(image_id, tuple(names), _layer_paths(archive, image_id))
        for image_id, names in tags.items()
    )


class LegacySource(ClassicSource):
    """An image of such an archive; its config is made from the layers' own, which are all read for it."""

    def __init__(self, archive: Archive, item: ManifestItem, names: tuple[str, ...]) -> None:
        super().__init__(archive, item, names)
        self.config = _make_config(archive, item)


def _layer_paths(archive: Archive, image_id: str) -> tuple[str, ...]:
    """The paths of the image's layers, bottom first."""
    chain: list[str] = []
    while image_id:
        if image_id in chain:
            raise MalformedError(f"layer {image_id} is its own ancestor", where=archive.where)
        if len(chain) == _MOST_LAYERS:
            raise LimitExceededError(
                f"more than {_MOST_LAYERS} layers", limit=_MOST_LAYERS, where=archive.where
            )
        chain.append(image_id)
        image_id = get_string(_describe(archive, image_id), "parent", where=archive.where)
    return tuple(f"{layer}/layer.tar" for layer in reversed(chain))


def _describe(archive: Archive, layer_id: str) -> JSON:
    name = f"{layer_id}/json"
    return parse_object(archive.read(name, METADATA_LIMIT), where=f"{archive.where}: {name}")


def _make_config(archive: Archive, item: ManifestItem) -> bytes:
    layers: list[Mapping[str, object]] = [
        _describe(archive, path.removesuffix("/layer.tar")) for path in item.layers
    ]
    diff_ids = [_diff_id(archive, path) for path in item.layers]
    return config_from_v1(layers, diff_ids, where=archive.where)


def _diff_id(archive: Archive, path: str) -> Digest:
    member = archive.find(path)
    if member is None:
        raise MemberNotFoundError(f"layer {path!r} is not in it", where=archive.where)
    where = f"{archive.where}: layer {path}"
    compression = archive.compression_of(member)
    with VerifyingReader(
        decompress(archive.open_member(member), compression, where=where)
    ) as plain:
        plain.verify()
        return plain.digest
