"""Compare images with those that the destination already has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tarkit.copying.options import CopyOptions, LayerCompression
from tarkit.errors import AuthenticationError, NotFoundError, RefusedError, VerificationError
from tarkit.image import media_types
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import Manifest, RawManifest
from tarkit.protocols import Source, SparseSource
from tarkit.selection.select import image_ways, is_present, select_image
from tarkit.streams.closeable import Closeable
from tarkit.syncing.readers import Readers
from tarkit.syncing.targets import Target
from tarkit.transports.location import Transport
from tarkit.transports.registry.options import RegistryOptions

_ABSENT = (NotFoundError, VerificationError, AuthenticationError, RefusedError)
_EXACT = (Transport.OCI, Transport.OCI_ARCHIVE, Transport.REGISTRY, Transport.STORE)


class Present(Closeable):
    """The images and blobs at *target* before the operation."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._readers = Readers()
        location = target.location
        readable = location.transport is not Transport.DOCKER_DAEMON and not location.is_stream
        self._readable = readable and (target.in_registry or _has_content(Path(location.path)))

    def holds_image(self, source: Source, names: tuple[str, ...], *, exact: bool) -> bool:
        """Return True if each of *names* at the destination is the image that a copy would store.

        If *exact* is false, a copy may convert the manifest, so only the configs are compared.
        """
        if not names or not self._readable:
            return False
        options = self._target.options.copy
        wanted = _identity(source, options, exact)
        try:
            return all(
                _identity(found, CopyOptions(all=True), exact) == wanted
                for found in map(self._image, names)
            )
        except _ABSENT:
            return False

    def holds_blob(self, descriptor: Descriptor, names: tuple[str, ...]) -> bool:
        """Return True if the destination has the blob, in a registry in the repository of *names*."""
        if not self._readable or (self._target.in_registry and not names):
            return False
        try:
            found = self._image(names[0]) if self._target.in_registry else self._any_image()
        except _ABSENT:
            return False
        return isinstance(found, SparseSource) and found.holds(descriptor)

    def _image(self, name: str) -> Source:
        location = self._target.located(name)
        reader = self._readers.reader(location, self._registry)
        return reader.source(location.name)

    def _any_image(self) -> Source:
        return self._readers.reader(self._target.location, None).source(index=0)

    @property
    def _registry(self) -> RegistryOptions | None:
        return self._target.options.destination_registry if self._target.in_registry else None

    def close(self) -> None:
        """Close the destination."""
        self._readers.close()


def is_exact(source: Source, target: Target) -> bool:
    """Return True if a copy of *source* should keep its digests.

    It should if both ends store manifests as they are and no compression was requested.
    """
    from tarkit.transports.docker_archive.classic import ClassicSource

    plain = target.options.copy.compression in (LayerCompression.AUTO, LayerCompression.PRESERVE)
    has_digests = not isinstance(source, ClassicSource)
    is_schema1 = source.manifest().media_type in media_types.SCHEMA1
    return plain and has_digests and not is_schema1 and target.location.transport in _EXACT


def manifests_to_copy(source: Source, options: CopyOptions) -> list[RawManifest]:
    """Return the manifests of the images that a copy of *source* with *options* includes."""
    top = source.manifest()
    if not top.is_index or not options.all:
        platforms = options.platforms or (None,)
        return [select_image(source, platform) for platform in platforms]
    return list(_leaves(source, top))


def _leaves(source: Source, top: RawManifest) -> Iterator[RawManifest]:
    seen: set[Digest] = set()
    for way in image_ways(source, top):
        if way[-1].digest not in seen and is_present(source, way[-1]):
            seen.add(way[-1].digest)
            yield source.manifest(way[-1].digest)


def _identity(source: Source, options: CopyOptions, exact: bool) -> object:
    """Return a value that is equal for equal images."""
    if exact and (options.all or not source.manifest().is_index):
        return source.manifest().digest
    chosen = manifests_to_copy(source, options)
    if exact and len(chosen) == 1:
        return chosen[0].digest
    return frozenset(Manifest.parse(raw).config.digest for raw in chosen)


def _has_content(path: Path) -> bool:
    return path.is_dir() or (path.is_file() and path.stat().st_size > 0)
