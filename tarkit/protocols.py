"""Protocols that every backend implements: the boundary between copy engine and transports.

A :class:`Source` is one image or index to read; a :class:`Destination` receives one. A
:class:`Reader` opens a container of images (an archive, a layout, a registry) and returns Sources.
A :class:`Writer` returns Destinations and publishes the committed images when it closes.

Optional abilities are separate Protocols. The engine tests for them with :func:`isinstance`.

Life of a copy:

1. ``Reader.source()`` and ``Writer.destination()``
2. ``Source.manifest()``, then for each blob ``Destination.try_reuse()`` or, if that returns None,
   ``Source.open_blob()`` and ``Destination.put_blob()``
3. ``Destination.put_manifest()`` for each manifest, then for the indexes above it
4. ``Destination.commit()``
5. ``Writer.__exit__()``, then ``Reader.__exit__()``

The engine transfers several blobs at a time, each in its own thread, unless they are small, the
source is a :class:`SequentialSource` with a fixed order or the profile is ``ordered``. All other
calls come from the thread that started the copy.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Protocol, Self, runtime_checkable

from tarkit.errors import TarkitError
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import Index, RawManifest
from tarkit.image.media_types import Compression, Family
from tarkit.image.platform import Platform
from tarkit.streams.verify import VerifyingReader
from tarkit.values import dataclass

if TYPE_CHECKING:
    from tarkit.tar.listing import Listing


class Closing(Protocol):
    """A context manager that closes its files and discards uncommitted data on exit."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


class Source(Protocol):
    """One image, or one index of images, in an open Reader. Valid until the Reader closes."""

    @property
    def where(self) -> str:
        """The location of the source, which error messages name."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the image in its container; empty if it has none."""
        ...

    def manifest(self, digest: Digest | None = None) -> RawManifest:
        """Return the top manifest or index, or the one with *digest* below it, verified.

        Raises :class:`~tarkit.errors.BlobNotFoundError` if it is missing.
        """
        ...

    def open_blob(self, descriptor: Descriptor) -> BinaryIO:
        """Open the stored bytes of a config or layer. The caller verifies and closes the stream.

        Raises :class:`~tarkit.errors.BlobNotFoundError` if the blob is missing. Otherwise blobs may
        be opened several times and from several threads.
        """
        ...


@runtime_checkable
class SparseSource(Protocol):
    """A source whose index may refer to missing manifests."""

    def holds(self, descriptor: Descriptor) -> bool:
        """Return True if the manifest or blob is present."""
        ...


@runtime_checkable
class StatedSource(Protocol):
    """A source whose container may state the platform of the image."""

    @property
    def platform(self) -> Platform | None:
        """The platform in the container's entry for the top manifest, or None."""
        ...


@runtime_checkable
class SequentialSource(Protocol):
    """A source that may require front-to-back reading, such as a compressed archive or a pipe."""

    def reading_order(self, blobs: Sequence[Descriptor]) -> Sequence[Descriptor] | None:
        """Return *blobs* in an order that reads the source once, or None if any order works.

        If the result is not None, the engine reads one blob at a time.
        """
        ...


@runtime_checkable
class DerivedSource(Protocol):
    """A source that takes some of its blobs unchanged from another one."""

    @property
    def base(self) -> Source | None:
        """The other source, or None if there is none."""
        ...


@runtime_checkable
class RemoteSource(Protocol):
    """A source on a server that limits concurrent downloads."""

    @property
    def most_open(self) -> int:
        """The maximum number of blobs to open at a time."""
        ...


@runtime_checkable
class ReferringSource(Protocol):
    """A source that knows the referrers of its manifests, such as signatures."""

    def referrers(self, digest: Digest | None = None) -> Index:
        """Return an index of the referrers of the manifest *digest*, by default the top one."""
        ...

    def referrer(self, entry: Descriptor) -> Source:
        """Return the artifact of an *entry* of :meth:`referrers`."""
        ...


class PlainLayer(Protocol):
    """The uncompressed tar of a layer in a store, and its entries."""

    @property
    def size(self) -> int:
        """The size of the tar in bytes."""
        ...

    def listing(self) -> Listing:
        """Return the entries, without reading the tar if possible."""
        ...

    def open(self) -> BinaryIO:
        """Open the tar for random access, unverified."""
        ...

    def stream(self) -> BinaryIO:
        """Open the tar for reading from its start; the read that reaches the end verifies it."""
        ...

    def file_digest(self, position: int) -> bytes | None:
        """Return the SHA-256 digest of the stored data of the entry at *position*, if known."""
        ...


@runtime_checkable
class IndexedSource(Protocol):
    """A source backed by a store that keeps layers uncompressed and parsed."""

    def plain_layer(self, layer: Descriptor, diff_id: Digest) -> PlainLayer | None:
        """Return the uncompressed form of *layer*, or None: then open its blob."""
        ...


@runtime_checkable
class ResumingSource(Protocol):
    """A source that can open a blob in its middle, such as a registry."""

    def open_blob_at(self, descriptor: Descriptor, offset: int) -> BinaryIO:
        """Open the stored bytes of a blob from *offset* on; see :meth:`Source.open_blob`."""
        ...


@dataclass(frozen=True, slots=True)
class Profile:
    """The capabilities and defaults of a destination.

    ``media_types``: accepted media types of manifests and indexes.
    ``family``: the family that images are converted to, or None to leave them unchanged.
    ``default_compression``: maps a layer's compression to its new one if the user requests none;
    compressions not in the map stay unchanged.
    ``holds``: compressions that the destination can store.
    ``ordered``: blobs must arrive one at a time in manifest order, so that the output does not
    depend on thread timing.
    ``keeps_manifest``: manifests are stored as given. If false, readers reconstruct them.
    ``absent_layers``: foreign layers missing from the source may be omitted. If false, an image
    with missing layers is refused.
    ``artifacts``: artifacts are accepted as well as container images.
    """

    media_types: frozenset[str]
    family: Family | None = None
    default_compression: Mapping[Compression, Compression] | None = None
    holds: frozenset[Compression] = frozenset(Compression)
    ordered: bool = False
    keeps_manifest: bool = True
    absent_layers: bool = True
    artifacts: bool = True


class Destination(Protocol):
    """Receives one image of an open Writer; keeps nothing unless :meth:`commit` is called."""

    @property
    def where(self) -> str:
        """The location of the destination, which error messages name."""
        ...

    @property
    def profile(self) -> Profile:
        """The capabilities and defaults of the destination."""
        ...

    def try_reuse(
        self,
        descriptor: Descriptor,
        *,
        diff_id: Digest | None,
        compressions: frozenset[Compression],
    ) -> Descriptor | None:
        """Return an existing blob that can replace *descriptor*, or None.

        A blob qualifies if it has the same digest, or the same *diff_id* in one of *compressions*.
        """
        ...

    def put_blob(self, blob: VerifyingReader, media_type: str) -> Descriptor:
        """Read *blob* completely, store it, and return its descriptor.

        The last read verifies the blob, so it must not become visible before that read succeeds.
        """
        ...

    def put_manifest(self, manifest: RawManifest) -> None:
        """Store a manifest or index after the content it refers to; the top one comes last."""
        ...

    def commit(self) -> Descriptor:
        """Add the image to the destination under its names; return the top manifest's descriptor.

        Readers see the image when the Writer closes, at the latest.
        """
        ...


@runtime_checkable
class MountingDestination(Protocol):
    """A destination that can link blobs from another repository on the same server."""

    def mount_from(self, source: Source) -> None:
        """Let :meth:`Destination.try_reuse` also look in *source* if it is on the same server."""
        ...


@runtime_checkable
class NotingDestination(Protocol):
    """A destination that may report incomplete work after a commit."""

    @property
    def notes(self) -> Sequence[str]:
        """Messages about tasks that :meth:`Destination.commit` skipped, one line each."""
        ...


@dataclass(frozen=True, slots=True)
class ImageEntry:
    """An image listed by a Reader: its position, counted from 0, and its names."""

    index: int
    names: tuple[str, ...]

    @property
    def label(self) -> str:
        """The names of the image, or ``@position`` if it has none, as shown in messages."""
        return ", ".join(self.names) or f"@{self.index}"


@dataclass(frozen=True, slots=True)
class UnreadableImage(ImageEntry):
    """A listed image that cannot be read, with the ``error`` and the ``digest`` of its entry."""

    error: TarkitError
    digest: str = ""


class Reader(Closing, Protocol):
    """A container of images, open for reading."""

    @property
    def where(self) -> str:
        """The location of the container, which error messages name."""
        ...

    def images(self) -> Sequence[ImageEntry]:
        """Return the images in the order of the container."""
        ...

    def source(self, name: str | None = None, *, index: int | None = None) -> Source:
        """Return the image with *name* or at position *index*, or the only image.

        Raises :class:`~tarkit.errors.ImageNotFoundError` if no image matches, and
        :class:`~tarkit.errors.AmbiguousImageError` if several do.
        """
        ...


@runtime_checkable
class SelectingReader(Protocol):
    """A Reader of a server, which lists the images with a name without reading them."""

    def matching(self, name: str) -> Sequence[ImageEntry]:
        """Return the entries of :meth:`Reader.images` that *name* selects.

        Raises :class:`~tarkit.errors.ImageNotFoundError` if there are none.
        """
        ...


class Writer(Closing, Protocol):
    """A container of images, open for writing.

    Committed images are visible once the block ends. If the block raises an error, writers of files
    discard all images, but a registry keeps the images that were committed.
    """

    @property
    def where(self) -> str:
        """The location of the container, which error messages name."""
        ...

    def destination(self, *names: str) -> Destination:
        """Return a Destination for one image with *names*, or without a name."""
        ...


@runtime_checkable
class KeepingWriter(Protocol):
    """A Writer that can preserve the metadata of an image list when it rewrites a container."""

    def keep_list(self, reader: Reader) -> None:
        """Copy the metadata of *reader*'s image list, if both have the same format.

        This is metadata of the list itself, such as annotations, but not of its entries.
        """
        ...

    def keeping(self, image: ImageEntry, names: Sequence[str]) -> Destination:
        """Return a Destination for *image* under *names* that keeps the metadata of its entry."""
        ...


@runtime_checkable
class ReferrerWriter(Protocol):
    """A Writer that lists artifacts under their subjects."""

    def referrer(self) -> Destination:
        """Return a Destination for one artifact, which becomes a referrer of its subject."""
        ...


@runtime_checkable
class UndoingWriter(Protocol):
    """A Writer that can discard a failed image and publish the others."""

    def undoing(self) -> AbstractContextManager[None]:
        """Return a block for storing one image; if it raises, the stored data is removed again."""
        ...


@dataclass(frozen=True, slots=True)
class AdoptedBytes:
    """The bytes of an archive that went into another one without being verified.

    The filesystem moved ``bytes_moved``; ``bytes_copied`` passed through this process.
    """

    bytes_moved: int = 0
    bytes_copied: int = 0


@runtime_checkable
class AdoptingWriter(Protocol):
    """A Writer that can take blobs from the archive that it replaces without reading them."""

    def adopt(self, reader: Reader, digests: Collection[Digest]) -> AdoptedBytes:
        """Store those blobs of *reader* with *digests* that can be moved; the others are left out.

        Their content is not verified.
        """
        ...
