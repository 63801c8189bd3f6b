"""Match the items of ``manifest.json`` with the images of the OCI half."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from tarkit.errors import RefusedError, VerificationError
from tarkit.image.digest import Digest
from tarkit.layout.names import CONTAINERD_NAME, normalized
from tarkit.protocols import UnreadableImage
from tarkit.tar.archive import Archive
from tarkit.transports.docker_archive.classic import read_config
from tarkit.transports.docker_archive.dual import Half, OCIHalf
from tarkit.transports.docker_archive.items import DockerImage, ManifestItem, UnreadableItem

Images = Sequence[DockerImage | UnreadableImage]


def images_of(
    items: Sequence[ManifestItem | UnreadableItem], archive: Archive, half: OCIHalf | None
) -> Images:
    """Return the images of *items* in order, followed by those that only *half* lists."""
    joined = None if half is None else _Joined(archive, half)
    images: list[DockerImage | UnreadableImage] = []
    behind: list[DockerImage] = []
    for position, item in enumerate(items):
        if isinstance(item, UnreadableItem):
            images.append(UnreadableImage(position, (), item.error))
        elif joined is None:
            images.append(DockerImage(position, item.repo_tags, item))
        else:
            first, *others = joined.images(position, item)
            images.append(first)
            behind += others
    if joined is not None:
        behind += joined.unlisted()
    images += [replace(image, index=at) for at, image in enumerate(behind, len(images))]
    return images


class _Joined:
    """Both halves of *archive*, with the names and indexes matched so far."""

    def __init__(self, archive: Archive, half: OCIHalf) -> None:
        self._archive = archive
        self._half = half
        self._names: set[str | None] = set()
        self._used: set[Digest] = set()

    def images(self, position: int, item: ManifestItem) -> Iterator[DockerImage]:
        """Yield the image of which *item* is one platform.

        Yield several if the item's names denote different indexes, since containerd writes one item
        for images that share a platform.
        """
        self._names.update(map(normalized, item.repo_tags))
        try:
            config = Digest.of(read_config(self._archive, item))
        except (VerificationError, RefusedError) as error:
            yield DockerImage(position, item.repo_tags, item, error=error)
            return
        key = config, len(item.layers)
        named = [(name, self._half.named(name, config)) for name in item.repo_tags]
        whole = {name: half for name, half in named if half and key in half.manifests}
        # Names without a complete image of their own get any image with this config.
        rest = next(iter(whole.values()), None) or self._half.holding(*key)
        if rest is None:
            damage = next((half.damage for _, half in named if half and half.damage), None)
            yield DockerImage(position, item.repo_tags, item, error=damage)
            return
        groups: dict[Digest, tuple[Half, list[str]]] = {}
        for name in item.repo_tags:
            half = whole.get(name, rest)
            groups.setdefault(half.image.descriptor.digest, (half, []))[1].append(name)
        self._used |= groups.keys()
        for half, names in groups.values() or [(rest, [])]:
            self._used.add(half.image.descriptor.digest)
            yield DockerImage(position, tuple(names), item, half.top(half.manifests[key]), config)

    def unlisted(self) -> Iterator[DockerImage]:
        """Yield the images whose full names only the OCI half lists."""
        found: dict[Digest, tuple[Half, dict[str, None]]] = {}
        for half in self._half.halves:
            entry = half.image.descriptor
            full = entry.annotations.get(CONTAINERD_NAME, "")
            if half.manifests and entry.digest not in self._used and self._is_new(full):
                found.setdefault(entry.digest, (half, {}))[1][full] = None
        for half, names in found.values():
            top = half.top(next(iter(half.manifests.values())))
            yield DockerImage(0, tuple(names), None, top)

    def _is_new(self, full: str) -> bool:
        name = normalized(full)
        return name is not None and name not in self._names
