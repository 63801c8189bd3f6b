"""What a caller may ask of a copy, and what it gets back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import BinaryIO

from tarkit.errors import UsageError
from tarkit.image.descriptor import Descriptor
from tarkit.image.media_types import Compression
from tarkit.image.platform import Platform
from tarkit.progress import Progress
from tarkit.streams.codecs import require_level


class LayerCompression(Enum):
    """What becomes of the layers' compression."""

    AUTO = "auto"  # the destination's default_compression
    PRESERVE = "preserve"
    GZIP = "gzip"
    ZSTD = "zstd"
    NONE = "none"

    @property
    def codec(self) -> Compression | None:
        """The one compression asked for, or ``None`` for auto and preserve."""
        return (
            None
            if self in (LayerCompression.AUTO, LayerCompression.PRESERVE)
            else Compression(self.value)
        )


class Sparse(Enum):
    """What becomes of an index some of whose manifests are not copied."""

    REFUSE = "refuse"
    KEEP = "keep"  # it names all that it named, and is unchanged where what was copied is
    STRIP = "strip"  # a new index of what was copied


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyOptions:
    """How to copy.

    ``platforms`` picks images from an index: the system's own where it is empty. ``all`` copies
    the whole index. ``sparse`` says what becomes of an index that is not copied whole; ``None``
    strips it to the platforms asked for, and refuses where ``all`` finds manifests missing. One
    platform is one image without an index, unless that is to be kept.
    ``level`` is the codec's own. ``jobs`` bounds the blobs in flight. ``on_progress`` is called
    from several threads, one call at a time; :class:`~tarkit.errors.CancelledError` raised by it
    stops the copy.
    ``verify_diff_ids`` uncompresses every layer to compare it with the config, also those that are
    copied as they are or reused. ``fetch_foreign`` opens a layer that may not be distributed and is
    only at its URLs, as `fetch_layer` does; without it such a layer is left out of the copy.
    Raises :class:`UsageError` for a level that no codec in question has, or that would be of no
    use, and for less than one job.
    """

    all: bool = False
    platforms: tuple[Platform, ...] = ()
    sparse: Sparse | None = None
    compression: LayerCompression = LayerCompression.AUTO
    level: int | None = None
    preserve_digests: bool = False
    jobs: int | None = None
    on_progress: Callable[[Progress], None] | None = None
    verify_diff_ids: bool = False
    fetch_foreign: Callable[[Descriptor], BinaryIO] | None = None

    def __post_init__(self) -> None:
        if self.jobs is not None and self.jobs < 1:
            raise UsageError(f"{self.jobs} jobs: it takes one at least")
        if self.level is not None:
            if self.preserve_digests or self.compression is LayerCompression.NONE:
                raise UsageError("a compression level, where nothing is to be compressed")
            widest = Compression.ZSTD  # what it will be, where that is not asked for, is seen later
            require_level(self.compression.codec or widest, self.level)


@dataclass(frozen=True, slots=True)
class CopyResult:
    """What a copy did. ``descriptor`` is of the top manifest as it is at the destination.

    Blobs are counted once each: ``copied`` as they were, ``recompressed``, or ``reused`` because
    the destination had them. ``bytes_read`` and ``bytes_written`` are those of blobs. ``notes``
    says what the copy could not take along, or changed beyond what was asked.
    """

    descriptor: Descriptor
    copied: int
    recompressed: int
    reused: int
    bytes_read: int
    bytes_written: int
    notes: tuple[str, ...] = ()
