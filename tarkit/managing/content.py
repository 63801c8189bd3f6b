"""Read and store single blobs and manifests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from tarkit.errors import BlobNotFoundError, NotFoundError, RefusedError, listed
from tarkit.image import media_types
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import Index, Manifest, RawManifest
from tarkit.layout.destination import LayoutDestination
from tarkit.managing.places import place_of, repository_at
from tarkit.protocols import Reader
from tarkit.streams.verify import VerifyingReader
from tarkit.transports.location import (
    AnyLocation,
    Location,
    Transport,
    open_reader,
    open_writer,
    to_location,
)
from tarkit.values import replace

if TYPE_CHECKING:
    from tarkit.transports.registry.options import RegistryOptions

_PLACES = (Transport.OCI, Transport.REGISTRY)


@contextmanager
def open_blob(
    location: AnyLocation, digest: Digest | str, *, registry: RegistryOptions | None = None
) -> Iterator[VerifyingReader]:
    """Open the blob *digest* at *location* for reading; a context manager.

    Parameters:

    - *location*: a container of images or one image.
    - *digest*: the digest of the blob. A registry keeps manifests apart from blobs.
    - *registry*: connection options and credentials.

    Returns a stream that raises :class:`~tarkit.errors.VerificationError` at its end if the content
    does not have the digest.

    Raises :class:`~tarkit.errors.NotFoundError` if there is no such blob,
    :class:`~tarkit.errors.MalformedError` for a malformed digest, and the errors of
    :func:`~tarkit.transports.location.open_reader`.

    >>> import json
    >>> with tarkit.open_image("fixtures/hello.tar") as image:
    ...     config = image.manifest.config
    >>> with tarkit.open_blob("fixtures/hello.tar", config.digest) as blob:
    ...     json.load(blob)["created"]
    '2024-01-02T03:04:05Z'
    """
    location = to_location(location)
    digest = Digest.parse(digest) if isinstance(digest, str) else digest
    with open_reader(location, registry=registry) as reader:
        for stream in _streams(reader, location, digest):
            with VerifyingReader(stream, digest=digest, where=f"{reader.where}: {digest}") as blob:
                yield blob
            return
        raise NotFoundError(f"no blob {digest}", where=reader.where)


def _streams(reader: Reader, location: Location, digest: Digest) -> Iterator[BinaryIO]:
    """Yield the blob, once for each image of *reader* that may have it."""
    from tarkit.transports.oci_archive.reader import OCIArchiveReader
    from tarkit.transports.oci_layout.reader import OCILayoutReader
    from tarkit.transports.registry.source import RegistrySource

    if isinstance(reader, OCILayoutReader | OCIArchiveReader):  # blobs need no image
        if reader.layout.files.blob_size(digest) is not None:
            yield reader.layout.files.open_blob(digest)
        return
    one = location.name is not None or location.index is not None
    is_remote = location.transport in (Transport.REGISTRY, Transport.DOCKER_DAEMON)
    positions = [None] if one or is_remote else [image.index for image in reader.images()]
    for position in positions:
        index = location.index if position is None else position
        source = reader.source(location.name, index=index)
        descriptor = Descriptor("", digest, 0)
        if isinstance(source, RegistrySource):
            size = source.repository.blob_size(digest)
            if size is None:
                return
            descriptor = replace(descriptor, size=size)
        try:
            stream = source.open_blob(descriptor)
        except BlobNotFoundError:
            continue
        yield stream


def put_blob(
    location: AnyLocation, stream: BinaryIO, *, registry: RegistryOptions | None = None
) -> Descriptor:
    """Store all of *stream* as a blob at *location*; return its descriptor.

    Until a manifest refers to the blob, prune and a registry's garbage collection may remove it.

    Parameters:

    - *location*: a layout, which is created if it is missing, or a repository.
    - *stream*: the content, in binary mode.
    - *registry*: connection options and credentials.

    Returns a descriptor with the digest, the size in bytes and the type ``application/octet-stream``.

    Raises :class:`~tarkit.errors.UnsupportedError` for other transports,
    :class:`~tarkit.errors.AuthenticationError`, and :class:`~tarkit.errors.TransportError`.

    >>> import io
    >>> blob = tarkit.put_blob("oci:layout", io.BytesIO(b"{}"))
    >>> str(blob.digest)[:14], blob.size
    ('sha256:44136fa', 2)
    """
    place = place_of(location, "store blobs in", _PLACES)
    with VerifyingReader(stream) as blob:
        if place.transport is Transport.OCI:
            from tarkit.transports.oci_layout.editing import add_blob

            add_blob(Path(place.path), blob)
        else:
            from tarkit.transports.registry.upload import upload_blob

            with repository_at(place, registry, "pull,push") as repository:
                upload_blob(repository, blob)
        return Descriptor("application/octet-stream", blob.digest, blob.size)


def put_manifest(
    location: AnyLocation,
    data: bytes,
    *,
    media_type: str = "",
    registry: RegistryOptions | None = None,
) -> Descriptor:
    """Store the manifest or index *data*, byte for byte, under the name in *location*.

    Parameters:

    - *location*: a name in a layout or registry.
    - *data*: the document. All content that it refers to must be there, except for layers with URLs.
    - *media_type*: its media type; by default the one in the document.
    - *registry*: connection options and credentials.

    Returns the descriptor of the manifest.

    Raises :class:`~tarkit.errors.VerificationError` for an invalid manifest,
    :class:`~tarkit.errors.RefusedError` if content is missing or the registry rejects the manifest,
    and :class:`~tarkit.errors.UnsupportedError` for other transports.

    >>> with tarkit.open_source("oci:alpha/umoci-oci:one") as source:
    ...     raw = source.manifest()
    >>> stored = tarkit.put_manifest("oci:alpha/umoci-oci:restored", raw.data)
    >>> stored.digest == raw.digest
    True
    """
    place = place_of(location, "store manifests in", _PLACES)
    raw = RawManifest.of(data, media_type)
    children: Sequence[Descriptor]
    if raw.is_index:
        children = Index.parse(raw).manifests
    else:
        manifest = Manifest.parse(raw)
        children = (manifest.config, *manifest.layers)
    with open_writer(place, registry=registry) as writer:
        target = writer.destination(*([place.name] if place.name else []))
        if isinstance(target, LayoutDestination):  # a registry checks this itself
            _require(target, children)
        target.put_manifest(raw)
        return target.commit()


def _require(target: LayoutDestination, children: Sequence[Descriptor]) -> None:
    everything = frozenset(media_types.Compression)
    missing = [
        str(child.digest)
        for child in children
        if not child.is_foreign
        and not target.try_reuse(child, diff_id=None, compressions=everything)
    ]
    if missing:
        raise RefusedError(
            f"the manifest refers to missing content: {listed(missing, 3)}",
            where=target.where,
            hint="store it first with 'tarkit blob put'",
        )
