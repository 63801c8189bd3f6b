"""The layers of one image as uncompressed streams, verified to their very end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import BinaryIO, Self

from tarkit.errors import UnsupportedError
from tarkit.image import media_types
from tarkit.image.config import ImageConfig
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import Manifest, RawManifest
from tarkit.image.platform import Platform
from tarkit.progress import Event, Progress, ProgressTracker
from tarkit.protocols import RemoteSource, SequentialSource, Source
from tarkit.rootfs.limits import entry_allowance
from tarkit.selection.foreign import open_layer
from tarkit.selection.select import read_config, select_image
from tarkit.streams import CHUNK_SIZE
from tarkit.streams.chunks import ChunkReader, drain
from tarkit.streams.codecs import SNIFF_SIZE, Compression, decompress, detect
from tarkit.streams.readahead import DEPTH, ReadAhead
from tarkit.streams.verify import VerifyingReader


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: how it is stored, and the digest of what it is uncompressed."""

    descriptor: Descriptor
    diff_id: Digest


class ImageLayers:
    """The ``layers`` of one image, bottom first, with its ``manifest`` and ``config``.

    ``verified`` are the numbers of those that somebody has read to their end.
    ``allowance`` bounds the entries that all of them may have together.
    """

    def __init__(
        self,
        source: Source,
        manifest: RawManifest,
        config: ImageConfig,
        layers: Sequence[Layer],
        watcher: ProgressTracker,
    ) -> None:
        self._source = source
        self._watcher = watcher
        self._watched: set[Digest] = set()
        self.verified: set[int] = set()
        self.allowance = entry_allowance()
        self.where = source.where
        self.manifest = manifest
        self.config = config
        self.layers = tuple(layers)

    @classmethod
    def of(
        cls,
        source: Source,
        platform: Platform | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Self:
        """The layers of *source*'s image for *platform*, the system's own by default.

        *on_progress* hears of every layer as it is read for the first time. Raises
        :class:`~tarkit.errors.NotAnImageError`, :class:`~tarkit.errors.LayerCountError`,
        :class:`~tarkit.errors.ForeignLayerError` if a layer is only at its URLs, and
        whatever else speaks against the manifest and the config.
        """
        raw = select_image(source, platform)
        if raw.media_type not in media_types.MANIFESTS:
            raise UnsupportedError(
                f"a manifest of the unsupported type {raw.media_type!r}", where=source.where
            )
        manifest = Manifest.parse(raw)
        data = read_config(source, manifest)
        manifest.require_image(data, where=source.where)
        config = ImageConfig.parse(data, where=source.where)
        config.require_layers(len(manifest.layers), where=source.where)
        for layer in filter(lambda layer: layer.is_foreign, manifest.layers):
            open_layer(source, layer).close()  # now, and not after all others have been read
        pairs = zip(manifest.layers, config.diff_ids, strict=True)
        layers = [Layer(descriptor, diff_id) for descriptor, diff_id in pairs]
        watcher = ProgressTracker(on_progress)
        for blob in {layer.descriptor.digest: layer.descriptor for layer in layers}.values():
            watcher.expect(blob)
        return cls(source, raw, config, layers, watcher)

    def __len__(self) -> int:
        return len(self.layers)

    @property
    def are_plain(self) -> bool:
        """Whether all layers are stored uncompressed, as their digests tell."""
        return all(layer.descriptor.digest == layer.diff_id for layer in self.layers)

    @property
    def sequential(self) -> bool:
        """Whether the source is to be read in its own order, one layer at a time."""
        return self._source_order() is not None

    @property
    def most_open(self) -> int:
        """Most layers that the source should be asked for at a time."""
        return self._source.most_open if isinstance(self._source, RemoteSource) else len(self)

    def reading_order(self) -> list[int]:
        """The numbers of all layers: top first, but where the source has an order of its own."""
        order = self._source_order()
        if order is None:
            return list(reversed(range(len(self))))
        place = {blob.digest: at for at, blob in enumerate(order)}
        return sorted(range(len(self)), key=lambda n: place[self.layers[n].descriptor.digest])

    def _source_order(self) -> Sequence[Descriptor] | None:
        if not isinstance(self._source, SequentialSource):
            return None
        return self._source.reading_order(
            list(dict.fromkeys(layer.descriptor for layer in self.layers))
        )

    def open(self, number: int, ahead: int = DEPTH) -> BinaryIO:
        """Layer *number*, uncompressed, read and inflated by threads, each up to *ahead* chunks ahead.

        The read that reaches the end has checked both of its digests and raises
        :class:`~tarkit.errors.VerificationError` where one is wrong. Of a layer among those
        ``verified`` only what is stored is hashed again: that it holds the right layer is known.
        """
        layer = self.layers[number]
        where = self.label(number)
        stream: ChunkReader = VerifyingReader(
            self._stored(layer.descriptor),
            digest=layer.descriptor.digest,
            size=layer.descriptor.size,
            where=where,
        )
        try:
            compression = detect(stream.peek(SNIFF_SIZE))
            if compression is Compression.NONE and layer.diff_id == layer.descriptor.digest:
                return ReadAhead(stream, ahead)
            # measured: an ext4 image is built in 8 % less time where inflating does not wait for the digest
            # of what it gives, and in another 3 % where it does not wait for that of what it gets
            stream = packed = ReadAhead(stream, ahead)
            stream = decompress(stream, compression, where=where)
            if number not in self.verified:
                stream = VerifyingReader(
                    stream, digest=layer.diff_id, where=f"{where}, uncompressed", aside=True
                )
            return ReadAhead(_Whole(stream, packed), ahead)
        except BaseException:  # the system may have no thread left
            stream.close()
            raise

    def _stored(self, blob: Descriptor) -> BinaryIO:
        """*blob* as the source has it, watched until it was read to its end once."""
        stream = self._source.open_blob(blob)
        if blob.digest in self._watched:
            return stream
        return _Watched(stream, blob, self._watcher, self._watched)

    def open_seekable(self, number: int) -> BinaryIO | None:
        """Layer *number* as it is stored, at any offset and not verified; ``None`` where it is compressed
        or can only be read in order."""
        if self.layers[number].descriptor.digest != self.layers[number].diff_id:
            return None  # a registry need not be asked for what cannot be plain
        with ExitStack() as stack:
            stream = stack.enter_context(self._source.open_blob(self.layers[number].descriptor))
            if stream.seekable() and detect(stream.read(SNIFF_SIZE)) is Compression.NONE:
                stream.seek(0)
                stack.pop_all()
                return stream
        return None

    def label(self, number: int) -> str:
        """What to call layer *number* in a message."""
        return f"{self.where}: layer {self.layers[number].descriptor.digest}"


class _Whole(ChunkReader):
    """*stream*, at whose end *packed*, which it is made from, is read to its own end too."""

    def __init__(self, stream: ChunkReader, packed: ReadAhead) -> None:
        super().__init__(stream)
        self._packed = packed

    def _chunk(self) -> bytes:
        chunk = self._stream.read(CHUNK_SIZE)
        if not chunk:
            drain(self._packed)
        return chunk


class _Watched(ChunkReader):
    """*stream*, whose end is news too; *blob* is among those *watched* unless it was closed before."""

    def __init__(
        self, stream: BinaryIO, blob: Descriptor, watcher: ProgressTracker, watched: set[Digest]
    ) -> None:
        super().__init__(watcher.watch(stream, blob))
        self._blob = blob
        self._watcher = watcher
        self._watched = watched
        self._ended = False
        watched.add(blob.digest)
        watcher.tell(Event.STARTED, blob)

    def _chunk(self) -> bytes:
        chunk = self._stream.read(CHUNK_SIZE)
        if not chunk and not self._ended:
            self._ended = True
            self._watcher.done(Event.FINISHED, self._blob)
        return chunk

    def close(self) -> None:
        """Close the stream, which somebody may begin anew."""
        if not self._ended:
            self._watched.discard(self._blob.digest)
        super().close()
