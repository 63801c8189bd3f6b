"""Copy one image, or a whole index, from a Source to a Destination."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence

from tarkit.copying.blobs import BlobMover, BlobResult, Outcome, stored_layer
from tarkit.copying.known import KnownLayers
from tarkit.copying.options import CopyOptions, CopyResult, Sparse
from tarkit.copying.plan import ImagePlan, family_at, plan_copy
from tarkit.errors import (
    BlobNotFoundError,
    CannotModifyError,
    ManifestRejectedError,
    RefusedError,
    UnsupportedError,
    listed,
)
from tarkit.image import media_types
from tarkit.image.attestation import with_reference
from tarkit.image.config import ImageConfig, is_image_config
from tarkit.image.convert import convert_index, convert_manifest
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import Index, Manifest, RawManifest
from tarkit.image.walk import descends
from tarkit.progress import ProgressTracker
from tarkit.protocols import Destination, MountingDestination, NotingDestination, Source
from tarkit.selection.foreign import hosts
from tarkit.selection.select import (
    find_route,
    is_present,
    platforms_of,
    read_config,
    select_image,
)
from tarkit.streams.verify import VerifyingReader
from tarkit.values import replace


def copy_image(
    source: Source,
    destination: Destination,
    options: CopyOptions | None = None,
    *,
    known: KnownLayers | None = None,
) -> CopyResult:
    """Copy *source* to *destination* and commit it.

    Copies of several images to one Writer may share *known*, so that their common layers are
    recompressed once.

    All data is verified as it is read. The image becomes visible only if the whole copy succeeds
    and the destination's Writer closes without an error. All errors are subclasses of
    :class:`~tarkit.errors.TarkitError`; see :mod:`tarkit.errors`.

    Parameters:

    - *source*: an image or index of an open reader.
    - *destination*: the place for one image in an open writer.
    - *options*: platforms, compression and more; see
      :class:`~tarkit.copying.options.CopyOptions`.

    Returns the :class:`~tarkit.copying.options.CopyResult`.

    >>> with (
    ...     tarkit.open_source("fixtures/hello.tar") as source,
    ...     tarkit.open_writer("oci:copied") as writer,
    ... ):
    ...     result = tarkit.copy_image(source, writer.destination("hello"))
    >>> result.recompressed
    2
    """
    options = options or CopyOptions()
    if source.manifest().media_type in media_types.SCHEMA1:
        if options.preserve_digests:
            raise CannotModifyError(
                "a schema 1 manifest must be converted, which changes its digest",
                where=source.where,
                hint="omit --preserve-digests",
            )
        from tarkit.copying.schema1 import Schema1Source

        source = Schema1Source(source)
    return _Copy(source, destination, options, known or KnownLayers()).run()


class _Copy:
    """The state of one copy: the stored blobs and manifests, counters and notes."""

    def __init__(
        self,
        source: Source,
        destination: Destination,
        options: CopyOptions,
        known: KnownLayers,
    ) -> None:
        self._source = source
        self._destination = destination
        self._options = options
        self._tracker = ProgressTracker(options.on_progress)
        self._mover = BlobMover(source, destination, options, self._tracker, known)
        self._moved: dict[Digest, BlobResult] = {}
        self._put: dict[Digest, Descriptor] = {}
        self._wanted: set[Digest] = set()  # the manifests to copy, unless all are copied
        self._planned: set[Digest] = set()
        self._outcomes: Counter[Outcome] = Counter()
        self._read = self._written = 0  # bytes of configs read, of blobs written
        self._notes: list[str] = []

    def run(self) -> CopyResult:
        raw = self._source.manifest()
        # Blobs may then be linked on the registry instead of downloaded and uploaded.
        if isinstance(self._destination, MountingDestination):
            self._destination.mount_from(self._source)
        platforms = self._options.platforms
        keeps_index = self._options.all or self._options.sparse is Sparse.KEEP
        if raw.is_index and (keeps_index or len(platforms) > 1):
            # The routes also contain the nested indexes on the way to each image.
            if not self._options.all:
                routes = [find_route(self._source, platform) for platform in platforms or (None,)]
                self._wanted = {child.digest for route in routes for child in route.children}
            # Converting one image would change the index, so check all of them first.
            if self._options.preserve_digests:
                self._plan_all(raw, (raw.digest,))
            self._put_index(raw, (raw.digest,))
        elif len(platforms) > 1:
            # Not an index: the only image must match every requested platform.
            for platform in platforms:
                select_image(self._source, platform)
            self._put_image(raw)
        else:
            self._put_image(select_image(self._source, platforms[0] if platforms else None))
        descriptor = self._destination.commit()
        if isinstance(self._destination, NotingDestination):
            self._notes += self._destination.notes
        return CopyResult(
            descriptor=descriptor,
            copied=self._outcomes[Outcome.COPIED],
            recompressed=self._outcomes[Outcome.RECOMPRESSED],
            reused=self._outcomes[Outcome.REUSED],
            bytes_read=self._read + self._tracker.read,
            bytes_written=self._written,
            notes=tuple(dict.fromkeys(self._notes)),
        )

    def _plan_all(self, raw: RawManifest, chain: tuple[Digest, ...]) -> None:
        """Plan every image below *raw*, so that the copy is refused before the first write."""
        if not raw.is_index:
            self._plan(raw)
            return
        for child in self._choose(Index.parse(raw)):
            if child.digest not in self._planned:
                self._planned.add(child.digest)
                below = self._source.manifest(child.digest)
                where = self._source.where
                self._plan_all(below, descends(chain, child, where) if below.is_index else chain)

    def _put_index(self, raw: RawManifest, chain: tuple[Digest, ...]) -> Descriptor:
        """Store the manifests in the index *raw*, then the index; return its stored descriptor."""
        index = Index.parse(raw)
        profile = self._destination.profile
        if not media_types.INDEXES & profile.media_types:
            raise ManifestRejectedError(
                "the destination holds single images, not indexes",
                where=self._destination.where,
                hint="choose an image with --platform, or copy to an OCI layout or archive",
            )
        chosen = self._choose(index)
        children = {child.digest: self._put_child(child, chain) for child in chosen}
        all_stay = self._options.sparse is Sparse.KEEP
        # Children may have changed; an entry that was not copied stays only if all entries do.
        kept = tuple(
            child.with_content(now.media_type, now.digest, now.size) if now else child
            for child in index.manifests
            if (now := children.get(child.digest)) or all_stay
        )
        kept = tuple(with_reference(child, self._put) for child in kept)
        rewritten = replace(index, manifests=kept)  # equal to *index* if no child has changed
        family = family_at(profile, self._options)
        if family:
            rewritten = convert_index(rewritten, family, kept)
        # Original bytes survive if the content is the same.
        result = raw if rewritten == index else self._serialize(rewritten)
        self._destination.put_manifest(result)
        return result.descriptor

    def _choose(self, index: Index) -> tuple[Descriptor, ...]:
        """Return the entries of *index* to copy, each digest once."""
        if self._options.all:
            chosen = [child for child in index.manifests if is_present(self._source, child)]
        else:
            chosen = [child for child in index.manifests if child.digest in self._wanted]
        unique = {child.digest: child for child in chosen}
        left_out = [child for child in index.manifests if child.digest not in unique]
        if left_out:
            self._leave_out(index, left_out)
        return tuple(unique.values())

    def _leave_out(self, index: Index, left_out: Sequence[Descriptor]) -> None:
        """Add a note that *left_out* of *index* are not copied, or raise if that is refused."""
        count, sparse = len(left_out), self._options.sparse
        if sparse is Sparse.KEEP:
            self._notes.append(
                f"{count} of {len(index.manifests)} manifests of the index were not copied"
            )
            return
        if self._options.all and sparse is not Sparse.STRIP:
            names = platforms_of(left_out) or [str(child.digest) for child in left_out]
            raise BlobNotFoundError(
                f"{count} of {len(index.manifests)} manifests of the index are missing "
                f"({listed(names)})",
                where=self._source.where,
                hint="--sparse keep copies the index unchanged, --sparse strip removes them from it",
            )
        if self._options.preserve_digests or sparse is Sparse.REFUSE:
            raise CannotModifyError(
                f"the copy would remove {count} of the manifests from the index",
                where=self._source.where,
                hint="--sparse keep leaves them in the index without copying them",
            )
        self._notes.append(f"the index was rewritten without {count} of its manifests")

    def _put_child(self, child: Descriptor, chain: tuple[Digest, ...]) -> Descriptor:
        """Store the manifest or index *child* once, and return its descriptor as stored."""
        if child.digest not in self._put:
            raw = self._source.manifest(child.digest)
            self._put[child.digest] = (
                self._put_index(raw, descends(chain, child, self._source.where))
                if raw.is_index
                else self._put_image(raw)
            )
        return self._put[child.digest]

    def _put_image(self, raw: RawManifest) -> Descriptor:
        """Store the layers, config and manifest of an image; return the descriptor as stored."""
        manifest, config, plan = self._plan(raw)
        self._read += len(config)
        self._notes += plan.notes
        self._move_layers(plan)
        self._put_config(manifest.config, config, plan.config_type)
        result = self._finished(raw, manifest, plan)
        self._destination.put_manifest(result)
        return result.descriptor

    def _plan(self, raw: RawManifest) -> tuple[Manifest, bytes, ImagePlan]:
        """Return the parsed manifest, the bytes of its config, and the plan for copying them."""
        if raw.media_type not in media_types.MANIFESTS:
            raise UnsupportedError(
                f"unsupported manifest type {raw.media_type!r}", where=self._source.where
            )
        manifest = Manifest.parse(raw)
        config, diff_ids = self._read_config(manifest)
        try:
            plan = plan_copy(manifest, diff_ids, self._destination.profile, self._options)
        except RefusedError as error:
            # The planner does not know the source.
            error.where = self._source.where
            raise
        return manifest, config, plan

    def _read_config(self, manifest: Manifest) -> tuple[bytes, tuple[Digest, ...] | None]:
        """Return the bytes of the config and, if it belongs to an image, its diff IDs."""
        data = read_config(self._source, manifest)
        if not manifest.may_be_image or not is_image_config(data, manifest.config.media_type):
            return data, None
        where = f"{self._source.where}: config {manifest.config.digest}"
        config = ImageConfig.parse(data, where=where)
        config.require_layers(len(manifest.layers), where=where)
        return data, config.diff_ids

    def _move_layers(self, plan: ImagePlan) -> None:
        # Images of an index often share layers.
        wanted = [layer for layer in plan.layers if layer.descriptor.digest not in self._moved]
        moved = self._mover.move_layers(wanted, plan.family)
        self._moved |= moved
        for blob in moved.values():
            self._count(blob)
            if blob.outcome is Outcome.ABSENT:
                self._notes.append(
                    f"omitted layer {blob.stored.digest}, which is only at {hosts(blob.stored)}; "
                    "--fetch-foreign downloads it"
                )

    def _put_config(self, descriptor: Descriptor, data: bytes, media_type: str) -> None:
        # A config is never recompressed, so any stored blob with its digest will do.
        everything = frozenset(media_types.Compression)
        if self._destination.try_reuse(descriptor, diff_id=None, compressions=everything):
            self._count(BlobResult(descriptor, Outcome.REUSED))
            return
        blob = VerifyingReader(io.BytesIO(data), digest=descriptor.digest, size=descriptor.size)
        self._destination.put_blob(blob, media_type or descriptor.media_type)
        self._count(BlobResult(descriptor, Outcome.COPIED))

    def _count(self, blob: BlobResult) -> None:
        self._outcomes[blob.outcome] += 1
        if blob.outcome in (Outcome.COPIED, Outcome.RECOMPRESSED):
            self._written += blob.stored.size

    def _finished(self, raw: RawManifest, manifest: Manifest, plan: ImagePlan) -> RawManifest:
        """Return the manifest for the stored layers, or the original bytes if it is the same."""
        layers = tuple(
            stored_layer(layer, self._moved[layer.digest].stored, plan.family)
            for layer in manifest.layers
        )
        result = replace(manifest, layers=layers)
        if plan.family:  # neither family may know the media type of the config itself
            config = replace(manifest.config, media_type=plan.config_type)
            result = convert_manifest(replace(result, config=config), plan.family)
        return raw if result == manifest else self._serialize(result)

    def _serialize(self, document: Manifest | Index) -> RawManifest:
        if self._options.preserve_digests:
            raise CannotModifyError(
                "the copy would change a manifest, but --preserve-digests was given",
                where=self._source.where,
            )
        return document.serialize()
