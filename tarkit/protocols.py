"""What a backend provides: the Protocols between the engine and every kind of place images live in.

A *Source* is one image, or index, somewhere; a *Destination* is where one goes. A *Reader* opens
a container of images, lists them and hands out Sources, which live as long as it is open; a
*Writer* hands out Destinations and publishes at the end. What only some can do is a small Protocol
of its own, asked for with :func:`isinstance`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import BinaryIO, Protocol, Self, runtime_checkable

from tarkit.errors import TarkitError
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import RawManifest
from tarkit.image.media_types import Compression, Family
from tarkit.image.platform import Platform
from tarkit.streams.verify import VerifyingReader


class Closing(Protocol):
    """A context manager that lets go of its descriptors, and of what was not committed, on the way out."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


class Source(Protocol):
    """One image, or index of images, of an open Reader. ``names`` is what it is called there."""

    @property
    def where(self) -> str:
        """The place, for messages."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """What the image is called there; empty where it has no name."""
        ...

    def manifest(self, digest: Digest | None = None) -> RawManifest:
        """The top manifest or index, or the one of *digest* inside it: bytes, media type, digest; verified.

        Raises :class:`~tarkit.errors.BlobNotFoundError` where it is not there.
        """
        ...

    def open_blob(self, descriptor: Descriptor) -> BinaryIO:
        """The raw bytes of a config or layer. They are not verified: whoever reads them does that."""
        ...


@runtime_checkable
class SparseSource(Protocol):
    """A source that may hold an index without all of its manifests."""

    def holds(self, descriptor: Descriptor) -> bool:
        """Whether the manifest or blob is there."""
        ...


@runtime_checkable
class StatedSource(Protocol):
    """A source whose container states the platform of its image."""

    @property
    def platform(self) -> Platform | None:
        """The platform that the entry of the top manifest states, or None."""
        ...


@runtime_checkable
class SequentialSource(Protocol):
    """A source that may have to be read from front to back: a compressed archive, a pipe."""

    def reading_order(self, blobs: Sequence[Descriptor]) -> Sequence[Descriptor] | None:
        """*blobs* in the order that reads the source once, one at a time; ``None`` where any order will do."""
        ...


@runtime_checkable
class RemoteSource(Protocol):
    """A source at the other end of a network, which may not give everything at a time."""

    @property
    def most_open(self) -> int:
        """Most blobs that it should be asked for at a time."""
        ...


@dataclass(frozen=True, slots=True)
class Profile:
    """What a destination takes, and what it makes of an image when left to its default_compression.

    ``default_compression`` maps the compression a layer has to the one it gets; what is not in it stays.
    ``holds`` are the compressions it can hold at all. ``ordered`` destinations take blobs one at
    a time, in manifest order, so that their bytes do not depend on threads. Where ``keeps_manifest``
    is false the manifest is not stored but made up again by whoever reads. Without ``artifacts``,
    only container images are taken; without ``absent_layers``, layers that are only at their URLs
    are refused.
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
    """Where one image goes, of an open Writer. Without :meth:`commit` nothing of it stays there."""

    @property
    def where(self) -> str:
        """The place, for messages."""
        ...

    @property
    def profile(self) -> Profile:
        """What it takes, and its habits."""
        ...

    def try_reuse(
        self,
        descriptor: Descriptor,
        *,
        diff_id: Digest | None,
        compressions: frozenset[Compression],
    ) -> Descriptor | None:
        """A blob that is there already and can stand for *descriptor*: the same digest, or the same
        *diff_id* in one of *compressions*. ``None`` where there is none."""
        ...

    def put_blob(self, blob: VerifyingReader, media_type: str) -> Descriptor:
        """Store all of *blob*; what it turned out to be. A blob that fails never becomes visible."""
        ...

    def put_manifest(self, manifest: RawManifest) -> None:
        """Store a manifest or index, after what it names; the last one is the image's top."""
        ...

    def commit(self) -> Descriptor:
        """Make the image part of the destination, under its names; the top manifest's descriptor."""
        ...


@runtime_checkable
class MountingDestination(Protocol):
    """A destination that may take blobs from its neighbours without moving their bytes."""

    def mount_from(self, source: Source) -> None:
        """Blobs will come from *source*; where that is a neighbour, :meth:`Destination.try_reuse` finds them there."""
        ...


@runtime_checkable
class NotingDestination(Protocol):
    """A destination that may have something to say about an image it took."""

    @property
    def notes(self) -> Sequence[str]:
        """What :meth:`Destination.commit` had to leave undone."""
        ...


@dataclass(frozen=True, slots=True)
class ImageEntry:
    """One image that a Reader found: its position from 0, and what it is called."""

    index: int
    names: tuple[str, ...]

    @property
    def label(self) -> str:
        """What to call it in a message: its names, or its position."""
        return ", ".join(self.names) or f"@{self.index}"


@dataclass(frozen=True, slots=True)
class UnreadableImage(ImageEntry):
    """An entry of a container that cannot be read: its ``error``, and the ``digest`` stated for it."""

    error: TarkitError
    digest: str = ""


class Reader(Closing, Protocol):
    """A container of images, open for reading."""

    @property
    def where(self) -> str:
        """The place, for messages."""
        ...

    def images(self) -> Sequence[ImageEntry]:
        """The images there are, in their order."""
        ...

    def source(self, name: str | None = None, *, index: int | None = None) -> Source:
        """The image of that name or position, or the only one.

        Raises :class:`~tarkit.errors.ImageNotFoundError` and :class:`~tarkit.errors.AmbiguousImageError`.
        """
        ...


class Writer(Closing, Protocol):
    """A container of images, open for writing; what was committed appears when it is closed without an error."""

    @property
    def where(self) -> str:
        """The place, for messages."""
        ...

    def destination(self, *names: str) -> Destination:
        """Where one image goes, under *names*, or without a name."""
        ...


@runtime_checkable
class KeepingWriter(Protocol):
    """A Writer that can list an image with more than its names, and say something of the list."""

    def keep_list(self, reader: Reader) -> None:
        """Say of all images together what *reader*'s list says, where it has one of the same kind."""
        ...

    def keeping(self, image: ImageEntry, names: Sequence[str]) -> Destination:
        """Return where *image* of a Reader goes under *names*, listed with all that is said of it there."""
        ...
