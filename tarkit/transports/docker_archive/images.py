"""Match the items of ``manifest.json`` with the images of the OCI half."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tarkit.errors import RefusedError, VerificationError
from tarkit.image.digest import Digest
from tarkit.layout.names import CONTAINERD_NAME, normalized
from tarkit.protocols import UnreadableImage
from tarkit.tar.archive import Archive
from tarkit.transports.docker_archive.classic import read_config
from tarkit.transports.docker_archive.dual import IndexedImage, OCIHalf
from tarkit.transports.docker_archive.items import DockerImage, ManifestItem, UnreadableItem
from tarkit.values import replace

Images = Sequence[DockerImage | UnreadableImage]


def images_of(
    items: Sequence[ManifestItem | UnreadableItem], archive: Archive, oci: OCIHalf | None
) -> Images:
    """Return the images of *items* in order, followed by the images that only *oci* lists."""
    matcher = None if oci is None else _Matcher(archive, oci)
    images: list[DockerImage | UnreadableImage] = []
    # These images come after all items, so that the positions of items do not change.
    behind: list[DockerImage] = []
    for position, item in enumerate(items):
        if isinstance(item, UnreadableItem):
            images.append(UnreadableImage(position, (), item.error))
        elif matcher is None:
            images.append(DockerImage(position, item.repo_tags, item))
        else:
            first, *others = matcher.images(position, item)
            images.append(first)
            behind += others
    if matcher is not None:
        behind += matcher.unlisted()
    images += [replace(image, index=at) for at, image in enumerate(behind, len(images))]
    return images


class _Matcher:
    """Both halves of *archive*, with the names and indexes that were matched so far."""

    def __init__(self, archive: Archive, oci: OCIHalf) -> None:
        self._archive = archive
        self._oci = oci
        self._names: set[str | None] = set()
        self._used: set[Digest] = set()

    def images(self, position: int, item: ManifestItem) -> Iterator[DockerImage]:
        """Yield the image that includes the platform *item*.

        Yield several images if the names of the item denote different indexes, because containerd
        writes a single item for images that share a platform.
        """
        self._names.update(map(normalized, item.repo_tags))
        try:
            config = Digest.of(read_config(self._archive, item))
        except (VerificationError, RefusedError) as error:
            yield DockerImage(position, item.repo_tags, item, error=error)
            return
        # A manifest with another number of layers contradicts the item and is not used.
        key = config, len(item.layers)
        named = [(name, self._oci.named(name, config)) for name in item.repo_tags]
        complete = {
            name: indexed for name, indexed in named if indexed and key in indexed.manifests
        }
        # A name without a complete image gets any image with this config.
        rest = next(iter(complete.values()), None) or self._oci.holding(*key)
        if rest is None:
            damage = next(
                (indexed.damage for _, indexed in named if indexed and indexed.damage), None
            )
            yield DockerImage(position, item.repo_tags, item, error=damage)
            return
        groups: dict[Digest, tuple[IndexedImage, list[str]]] = {}
        for name in item.repo_tags:
            indexed = complete.get(name, rest)
            groups.setdefault(indexed.entry.descriptor.digest, (indexed, []))[1].append(name)
        self._used |= groups.keys()
        # An item without names has no groups, but is still one image.
        for indexed, names in groups.values() or [(rest, [])]:
            self._used.add(indexed.entry.descriptor.digest)
            yield DockerImage(
                position, tuple(names), item, indexed.top(indexed.manifests[key]), config
            )

    def unlisted(self) -> Iterator[DockerImage]:
        """Yield the images whose full names are listed only in the OCI half."""
        found: dict[Digest, tuple[IndexedImage, dict[str, None]]] = {}
        for indexed in self._oci.images:
            entry = indexed.entry.descriptor
            full = entry.annotations.get(CONTAINERD_NAME, "")
            if indexed.manifests and entry.digest not in self._used and self._is_new(full):
                found.setdefault(entry.digest, (indexed, {}))[1][full] = None
        for indexed, names in found.values():
            top = indexed.top(next(iter(indexed.manifests.values())))
            yield DockerImage(0, tuple(names), None, top)

    def _is_new(self, full: str) -> bool:
        name = normalized(full)
        return name is not None and name not in self._names
