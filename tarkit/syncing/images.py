"""``copy_images`` copies several images to one destination."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from tarkit.copying.known import KnownLayers
from tarkit.copying.many import CopiedImage, CopyJob, FailedImage, copy_each
from tarkit.errors import UsageError
from tarkit.protocols import Writer
from tarkit.syncing.collect import collect
from tarkit.syncing.items import Item, is_registry
from tarkit.syncing.options import SyncOptions, SyncResult
from tarkit.syncing.planning import Planned, plan_images
from tarkit.syncing.readers import Readers
from tarkit.syncing.targets import Target
from tarkit.transports.location import AnyLocation, to_location
from tarkit.transports.registry.images_writer import RegistryImagesWriter
from tarkit.values import replace


def copy_images(
    sources: Iterable[AnyLocation],
    destination: AnyLocation,
    options: SyncOptions | None = None,
) -> SyncResult:
    """Copy the images at *sources* to *destination*: an archive, a layout or a registry.

    Blobs that images share are moved once. Images keep their names; :mod:`tarkit.syncing.naming`
    describes how they map to a registry. Either all images are published or none, unless
    ``options.keep_going`` is set; in a registry, manifests are sent only after all blobs.

    Parameters:

    - *sources*: locations, such as ``docker-archive:a.tar:app:1``; with ``options.all_images``, a
      location without a name stands for all of its images.
    - *destination*: a location without an image name.
    - *options*: how to copy, name and select images; see
      :class:`~tarkit.syncing.options.SyncOptions`.

    Returns the :class:`~tarkit.syncing.options.SyncResult`, with the result for each image.

    Raises the errors of :func:`~tarkit.copying.engine.copy_image`, with the location of the image,
    :class:`~tarkit.errors.UsageError` if there are no *sources* or the names do not fit the
    destination, and :class:`~tarkit.errors.RefusedError` if two images would have the same name
    there.

    >>> result = tarkit.copy_images(["fixtures/hello.tar", "oci:alpha/umoci-oci:one"], "oci:mirror")
    >>> [image.names for image in result.images]
    [('hello:latest',), ('one',)]
    """
    options = options or SyncOptions()
    target = Target.parse(destination, options)
    items = [_item(source, options) for source in sources]
    if not items:
        raise UsageError("no images given")
    with Readers(follow_links=options.follow_links, store=options.store) as readers:
        found = collect(items, readers, options)
        planned, failed = plan_images(found, target, readers, keep_going=options.keep_going)
        result = move(planned, target, readers, options)
        return replace(result, failed=(*failed, *result.failed))


def _item(source: AnyLocation, options: SyncOptions) -> Item:
    location = to_location(source)
    return Item(location, registry=options.source_registry if is_registry(location) else None)


def move(
    planned: Sequence[Planned], target: Target, readers: Readers, options: SyncOptions
) -> SyncResult:
    """Copy the *planned* images to *target*."""
    if not planned:
        return SyncResult(())
    copied: list[CopiedImage] = []
    failed: list[FailedImage] = []
    known = KnownLayers()
    writer: Writer
    with target.writer() as writer:
        names = [name for image in planned for name in image.names]
        kept = target.keep_existing(writer, names, known)
        jobs = (_job(image, readers, options) for image in planned)
        for image in copy_each(
            jobs, writer, options.copy, known=known, keep_going=options.keep_going
        ):
            if isinstance(image, FailedImage):
                failed.append(image)
            else:
                copied.append(image)
    return _published(writer, SyncResult(tuple(copied), tuple(failed), kept))


def _job(image: Planned, readers: Readers, options: SyncOptions) -> CopyJob:
    exact = replace(options.copy, preserve_digests=True, level=None) if image.exact else None
    return CopyJob(image.item.label, image.names, partial(readers.source, image.item), exact)


def _published(writer: Writer, result: SyncResult) -> SyncResult:
    """Return *result* with the images that a registry rejected among those that failed."""
    if not isinstance(writer, RegistryImagesWriter):
        return result
    good = [image for image in result.images if image.names not in writer.rejected]
    bad = [
        FailedImage(image.source, writer.rejected[image.names])
        for image in result.images
        if image.names in writer.rejected
    ]
    return replace(
        result, images=tuple(good), failed=(*result.failed, *bad), notes=tuple(writer.notes)
    )
