"""The options of a copy and its result."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import BinaryIO

from tarkit.errors import UsageError
from tarkit.image.descriptor import Descriptor
from tarkit.image.media_types import Compression
from tarkit.image.platform import Platform
from tarkit.progress import Progress
from tarkit.streams.codecs import require_level
from tarkit.values import dataclass


class LayerCompression(Enum):
    """The compression for copied layers."""

    AUTO = "auto"  # the default_compression of the destination's Profile
    PRESERVE = "preserve"
    GZIP = "gzip"
    ZSTD = "zstd"
    NONE = "none"

    @property
    def codec(self) -> Compression | None:
        """The requested compression, or None for ``AUTO`` and ``PRESERVE``."""
        return (
            None
            if self in (LayerCompression.AUTO, LayerCompression.PRESERVE)
            else Compression(self.value)
        )


class Sparse(Enum):
    """How to handle an index that is not copied completely."""

    REFUSE = "refuse"
    KEEP = "keep"  # keep all entries; the index changes only if a copied manifest changes
    STRIP = "strip"  # write a new index of the copied manifests


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyOptions:
    """Options for :func:`~tarkit.copying.engine.copy_image`.

    - ``all``: copy the whole index.
    - ``platforms``: the platforms to copy from an index; by default the platform of this machine.
      A single platform is copied as an image without an index, unless ``sparse`` is
      :attr:`Sparse.KEEP`.
    - ``sparse``: how to handle an index that is not copied completely. None strips it to the
      requested platforms, and refuses if ``all`` is set but manifests are missing.
    - ``compression``: the compression for layers.
    - ``level``: the compression level; the range depends on the codec.
    - ``preserve_digests``: refuse to change any manifest or layer.
    - ``jobs``: the maximum number of blobs to transfer at a time.
    - ``on_progress``: a listener for progress events. Several threads call it, one at a time. It
      may raise :class:`~tarkit.errors.CancelledError` to stop the copy.
    - ``verify_diff_ids``: decompress every layer and compare it with its diff ID, even if the
      layer is reused or copied unchanged.
    - ``fetch_foreign``: a function that opens a non-distributable layer at its URLs, such as
      :func:`~tarkit.transports.registry.foreign.fetch_layer`. If it is None, the copy omits
      such layers.

    Raises :class:`UsageError` if the level is out of range or has no effect, if
    ``sparse`` has none because a single platform is copied, or if ``jobs`` is
    less than 1.

    >>> options = tarkit.CopyOptions(all=True, compression=tarkit.LayerCompression.ZSTD, level=19)
    >>> options.compression.value
    'zstd'
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
            raise UsageError(f"{self.jobs} jobs given, but at least one is required")
        several = self.all or len(self.platforms) > 1
        if self.sparse in (Sparse.STRIP, Sparse.REFUSE) and not several:
            raise UsageError(
                f"sparse mode {self.sparse.value!r}, but only one platform is copied, without an index",
                hint="copy all or several platforms",
            )
        if self.level is not None:
            if self.preserve_digests or self.compression is LayerCompression.NONE:
                raise UsageError("compression level given, but nothing is compressed")
            # AUTO and PRESERVE do not name a codec, so plan_copy() checks the level for the actual
            # codec.
            widest = Compression.ZSTD
            require_level(self.compression.codec or widest, self.level)


@dataclass(frozen=True, slots=True)
class CopyResult:
    """The result of a copy.

    - ``descriptor``: the top manifest or index as stored at the destination.
    - ``copied``: the number of blobs copied unchanged.
    - ``recompressed``: the number of blobs stored with another compression.
    - ``reused``: the number of blobs that already were at the destination.
    - ``bytes_read``: blob bytes read from the source.
    - ``bytes_written``: blob bytes written to the destination.
    - ``notes``: messages about omitted content and unrequested changes.
    """

    descriptor: Descriptor
    copied: int
    recompressed: int
    reused: int
    bytes_read: int
    bytes_written: int
    notes: tuple[str, ...] = ()
