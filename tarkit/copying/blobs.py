"""Transfer the blobs of an image concurrently; read each once, verify it and convert it."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from enum import Enum
from threading import Semaphore
from typing import TYPE_CHECKING, BinaryIO

from tarkit.copying.diffids import DiffIdReader, uncompressed
from tarkit.copying.known import KnownLayers
from tarkit.copying.options import CopyOptions
from tarkit.copying.plan import LayerPlan
from tarkit.errors import CancelledError, ForeignLayerError, LostBlobError
from tarkit.image import media_types
from tarkit.image.convert import convert_layer
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.media_types import Compression, Family
from tarkit.progress import Event, ProgressTracker
from tarkit.protocols import (
    Destination,
    IndexedSource,
    MountingDestination,
    RemoteSource,
    SequentialSource,
    Source,
)
from tarkit.selection.foreign import open_layer
from tarkit.streams.cancellation import SLICE, check
from tarkit.streams.chunks import ChunkReader
from tarkit.streams.codecs import SNIFF_SIZE, compress, decompress, detect
from tarkit.streams.readahead import ReadAhead
from tarkit.streams.verify import VerifyingReader
from tarkit.tracing import trace
from tarkit.values import dataclass, replace

if TYPE_CHECKING:
    from concurrent.futures import Future

    from tarkit.streams.workers import Workers

_JOBS = 4  # even on fewer cores, since one blob can be hashed while another waits for the disk
_RESTARTS = 2  # of the upload of a layer
_SMALL = 1 << 20  # bytes of all blobs; moving fewer takes less time than loading threads


class Outcome(Enum):
    """How a blob reached the destination."""

    COPIED = "copied"
    RECOMPRESSED = "recompressed"
    REUSED = "reused"
    ABSENT = "absent"  # a foreign layer with URLs that is missing from the source, too


@dataclass(frozen=True, slots=True)
class BlobResult:
    """A blob as the destination stores it."""

    stored: Descriptor
    outcome: Outcome


class BlobMover:
    """Transfers blobs from *source* to *destination* according to *options*.

    Layers that it recompresses are added to *known*, and those in *known* are reused.
    """

    def __init__(
        self,
        source: Source,
        destination: Destination,
        options: CopyOptions,
        tracker: ProgressTracker,
        known: KnownLayers,
    ) -> None:
        self._known = known
        self._source = source
        self._destination = destination
        self._options = options
        self._tracker = tracker
        # Limits compressors only; transfers that wait for a network may exceed the number of cores.
        self._processors = Semaphore(options.jobs or os.cpu_count() or 1)

    def move_layers(
        self, layers: Sequence[LayerPlan], family: Family | None
    ) -> dict[Digest, BlobResult]:
        """Move *layers*, each digest once, and return the results by source digest.

        The first failure cancels the other transfers, and is raised when they have stopped.
        """
        # An image may list a layer several times.
        plans = {plan.descriptor.digest: plan for plan in layers}
        for plan in plans.values():
            self._tracker.expect(plan.descriptor)
        order = self._sequence([plan.descriptor for plan in plans.values()])
        # A single thread takes blobs in the order of submission, so it keeps the required order.
        jobs = 1 if order is not None else self._options.jobs or _JOBS
        digests = [blob.digest for blob in order] if order is not None else list(plans)
        if self._is_short([plan.descriptor for plan in plans.values()]):
            return {digest: self._move(plans[digest], family) for digest in digests}
        return self._move_on_threads(jobs, [plans[digest] for digest in digests], family)

    def _is_short(self, blobs: Sequence[Descriptor]) -> bool:
        """Return True if moving *blobs* takes less time than importing and starting a pool."""
        remote = isinstance(self._source, RemoteSource) or isinstance(
            self._destination, MountingDestination
        )
        unlimited = self._options.jobs is None
        return unlimited and not remote and sum(blob.size for blob in blobs) <= _SMALL

    def _move_on_threads(
        self, jobs: int, plans: Sequence[LayerPlan], family: Family | None
    ) -> dict[Digest, BlobResult]:
        from tarkit.streams.workers import Workers

        futures: dict[Digest, Future[BlobResult]] = {}
        with Workers(jobs, "blob") as pool, self._stopping(pool, futures.values()):
            for plan in plans:
                futures[plan.descriptor.digest] = pool.submit(self._move, plan, family)
            pool.begin()
            _wait_for_all(futures.values())
            return {digest: future.result() for digest, future in futures.items()}

    def _sequence(self, blobs: list[Descriptor]) -> Sequence[Descriptor] | None:
        """Return the order for moving *blobs* one by one, or None to move them concurrently."""
        if isinstance(self._source, SequentialSource):
            order = self._source.reading_order(blobs)
            if order is not None:
                return order
        return blobs if self._destination.profile.ordered else None

    @contextmanager
    def _stopping(self, pool: Workers, futures: Collection[Future[BlobResult]]) -> Iterator[None]:
        """If the block fails, cancel *futures* and wait for the threads before raising."""
        try:
            yield
        except BaseException:
            self._tracker.cancel()
            pool.shutdown(cancel_futures=True)
            _raise_cause(futures)  # the block may have seen only a cancellation, not its cause
            raise

    def _move(self, plan: LayerPlan, family: Family | None) -> BlobResult:
        self._tracker.check()
        blob = plan.descriptor
        try:
            moved = self._reuse(plan) or self._transfer_with_retries(plan, family)
            # A reused layer need not be read unless its diff ID must be verified.
            was_read = moved.outcome in (Outcome.COPIED, Outcome.RECOMPRESSED)
            if moved.outcome is Outcome.REUSED and self._options.verify_diff_ids:
                was_read = self._verify_reused(plan)
        except BaseException:
            # Stop the other transfers at once, before this failure has reached the main thread.
            self._tracker.cancel()
            self._tracker.tell(Event.FAILED, blob)
            raise
        trace("layer %s: %s%s", blob.digest, moved.outcome.value, _as_other(moved.stored, blob))
        self._tracker.done(Event.FINISHED if was_read else Event.REUSED, blob)
        return moved

    def _reuse(self, plan: LayerPlan) -> BlobResult | None:
        # The plan leaves the layer as it is, if the media type is right about the compression.
        unchanged = plan.becomes[plan.declared] is plan.declared
        diff_id = None if self._options.preserve_digests else plan.diff_id
        found = self._destination.try_reuse(
            plan.descriptor, diff_id=diff_id, compressions=plan.acceptable
        )
        # If the plan changes the compression, the original blob is no substitute.
        if found is None or (found.digest == plan.descriptor.digest and not unchanged):
            # a layer that need not change keeps its digest, whichever thread comes first
            if unchanged or not diff_id:
                return None
            found = self._find_known(diff_id, plan.acceptable)
        return None if found is None else BlobResult(found, Outcome.REUSED)

    def _find_known(
        self, diff_id: Digest, compressions: frozenset[Compression]
    ) -> Descriptor | None:
        for layer in self._known.replacing(diff_id, compressions):
            found = self._destination.try_reuse(layer, diff_id=None, compressions=compressions)
            if found is not None:
                return found
        return None

    def _transfer_with_retries(self, plan: LayerPlan, family: Family | None) -> BlobResult:
        """Transfer a layer; start again if the destination loses it midway."""
        for _ in range(_RESTARTS):
            try:
                return self._transfer(plan, family)
            except LostBlobError:
                continue
        return self._transfer(plan, family)

    def _transfer(self, plan: LayerPlan, family: Family | None) -> BlobResult:
        blob = plan.descriptor
        self._tracker.tell(Event.STARTED, blob)
        from_plain = self._transfer_plain(plan, family)
        if from_plain is not None:
            return from_plain
        opened = self._open(blob)
        if opened is None:
            return BlobResult(blob, Outcome.ABSENT)
        with self._tracker.watch(opened, blob) as raw:
            actual = detect(raw.peek(SNIFF_SIZE))  # not by the media type, which may be wrong
            target = plan.becomes[actual]
            with self._verifying(raw, plan, actual, target) as stream:
                if target is actual:
                    stored = self._destination.put_blob(stream, blob.media_type)
                    # Destinations may stop reading early; the checks run only at the end.
                    stream.verify()
                    return BlobResult(stored, Outcome.COPIED)
                layer = convert_layer(blob, family or _family(blob), target)
                with self._processors:  # more compressors than cores only slow each other down
                    stored = self._recompress(stream, plan, actual, target, layer.media_type)
                stream.verify()
        if plan.diff_id:  # recompression verified it
            self._known.add(plan.diff_id, stored)
        return BlobResult(stored, Outcome.RECOMPRESSED)

    def _transfer_plain(self, plan: LayerPlan, family: Family | None) -> BlobResult | None:
        """Transfer a layer that changes its compression from its plain form in a store.

        Return None if the layer does not change, or no store has it.
        """
        blob, diff_id = plan.descriptor, plan.diff_id
        if not isinstance(self._source, IndexedSource) or not diff_id:
            return None
        has = media_types.layer_compression(blob.media_type)
        gets = plan.becomes[has]
        plain = self._source.plain_layer(blob, diff_id) if gets is not has else None
        if plain is None:
            return None
        layer = convert_layer(blob, family or _family(blob), gets)
        as_plain = replace(plan, descriptor=replace(blob, digest=diff_id, size=plain.size))
        where = uncompressed(self._where(blob))
        watched = self._tracker.watch(plain.stream(), blob)
        with VerifyingReader(watched, digest=diff_id, where=where) as stream, self._processors:
            stored = self._recompress(stream, as_plain, Compression.NONE, gets, layer.media_type)
            stream.verify()
        self._known.add(diff_id, stored)
        return BlobResult(stored, Outcome.RECOMPRESSED)

    def _open(self, blob: Descriptor) -> BinaryIO | None:
        """Open *blob*, or fetch a foreign layer if requested; return None if it may be omitted."""
        try:
            return open_layer(self._source, blob)
        except ForeignLayerError:
            if self._options.fetch_foreign is not None:
                return self._options.fetch_foreign(blob)
            if self._destination.profile.absent_layers:
                return None
            raise

    def _verifying(
        self, raw: ChunkReader, plan: LayerPlan, actual: Compression, target: Compression
    ) -> VerifyingReader:
        """Return *raw*, verified by its descriptor and, unless verified elsewhere, its diff ID."""
        blob, where = plan.descriptor, self._where(plan.descriptor)
        if actual is Compression.NONE:
            wanted = not _is_plain(plan, actual)  # cheap, because nothing is decompressed
        else:
            wanted = self._options.verify_diff_ids
        stream = raw
        # A layer that gets recompressed is checked by _recompress().
        if plan.diff_id and wanted and target is actual:
            stream = DiffIdReader(raw, plan.diff_id, where)
        return VerifyingReader(stream, digest=blob.digest, size=blob.size, where=where)

    def _verify_reused(self, plan: LayerPlan) -> bool:
        """Verify the diff ID of a reused layer; return True if the layer had to be read."""
        blob = plan.descriptor
        opened = self._open(blob) if plan.diff_id else None
        if opened is None:
            return False
        with self._tracker.watch(opened, blob) as raw:
            actual = detect(raw.peek(SNIFF_SIZE))
            if _is_plain(plan, actual):
                # The destination has verified this digest, and it is also the diff ID.
                return False
            with self._verifying(raw, plan, actual, actual) as stream:
                stream.verify()
        return True

    def _where(self, blob: Descriptor) -> str:
        return f"{self._source.where}: layer {blob.digest}"

    def _recompress(
        self,
        stream: VerifyingReader,
        plan: LayerPlan,
        actual: Compression,
        target: Compression,
        media_type: str,
    ) -> Descriptor:
        """Store *stream*, compressed as *gets*, and verify its content against the diff ID.

        Reading, decompression and compression each run on a thread of their own.
        """
        where = self._where(plan.descriptor)
        plain = stream
        with ExitStack() as stack:
            # Each ReadAhead moves the work before it to another thread.
            if not _is_plain(plan, actual):
                read = stack.enter_context(ReadAhead(stream))
                inflated = stack.enter_context(ReadAhead(decompress(read, actual, where=where)))
                plain = stack.enter_context(
                    VerifyingReader(inflated, digest=plan.diff_id, where=uncompressed(where))
                )
            if target is Compression.NONE:
                return self._destination.put_blob(plain, media_type)
            ahead = stack.enter_context(ReadAhead(plain))
            compressed = compress(ahead, target, level=self._options.level)
            packed = stack.enter_context(VerifyingReader(compressed))
            stored = self._destination.put_blob(packed, media_type)
            # The destination may have stopped before the end of the compressed stream.
            packed.verify()
            return stored


def _is_plain(plan: LayerPlan, actual: Compression) -> bool:
    """Return True if the layer is stored uncompressed, so that its digest is its diff ID."""
    return actual is Compression.NONE and plan.descriptor.digest == plan.diff_id


def _as_other(stored: Descriptor, blob: Descriptor) -> str:
    """Return a digest for a message if *stored* is not *blob*."""
    return "" if stored.digest == blob.digest else f" as {stored.digest}"


def _wait_for_all(futures: Collection[Future[BlobResult]]) -> None:
    """Wait for *futures* to finish, or raise the first failure at once.

    Every wait is short, because a signal that arrives just before a wait does not interrupt it.
    """
    from concurrent.futures import FIRST_EXCEPTION, wait

    pending = set(futures)
    while pending:
        check()
        done, pending = wait(pending, SLICE, FIRST_EXCEPTION)
        for future in done:
            future.result()


def stored_layer(layer: Descriptor, stored: Descriptor, family: Family | None) -> Descriptor:
    """Return the descriptor of *layer* in *family*, as *stored*, or *layer* itself if unchanged."""
    if family is None and stored.digest == layer.digest:
        return layer
    if media_types.is_layer(layer.media_type):
        # A destination may return a stored blob without a media type, found by digest.
        compression = media_types.layer_compression(
            stored.media_type if media_types.is_layer(stored.media_type) else layer.media_type
        )
        layer = convert_layer(layer, family or _family(layer), compression)
    return layer.with_content(layer.media_type, stored.digest, stored.size)


def _family(layer: Descriptor) -> Family:
    family = media_types.family_of(layer.media_type)
    assert family is not None
    return family


def _raise_cause(futures: Collection[Future[BlobResult]]) -> None:
    """Raise the failure that caused the other tasks to be cancelled."""
    for future in futures:
        if not future.cancelled():
            error = future.exception()
            if error is not None and not isinstance(error, CancelledError):
                raise error
