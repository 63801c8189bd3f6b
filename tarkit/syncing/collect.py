"""Find the images of the sources, before the first of them is copied."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tarkit.copying.many import FATAL, FailedImage, naming
from tarkit.errors import AmbiguousImageError, ImageNotFoundError, TarkitError, UsageError
from tarkit.protocols import ImageEntry, UnreadableImage
from tarkit.syncing.items import Item, Repository, in_registry, is_registry, require_container
from tarkit.syncing.options import SyncOptions
from tarkit.syncing.readers import Readers
from tarkit.values import replace

Found = Item | FailedImage


def collect(
    wanted: Iterable[Item | Repository], readers: Readers, options: SyncOptions
) -> list[Found]:
    """Return the *wanted* images, in order.

    With ``all_images``, an item without a name stands for all images at its location. Images in
    registries are not requested yet. If ``keep_going`` is set, each image that cannot be read is
    returned as a :class:`FailedImage`; otherwise the error is raised.
    """
    finder = _Finder(readers, options)
    shard = options.shard
    found = (image for one in wanted for image in finder.find(one))
    return [image for image in found if shard is None or shard.holds(_key(image))]


def _key(image: Found) -> str:
    """Return the name that determines the shard: not the path, which machines may not share."""
    if isinstance(image, FailedImage):
        return image.source
    return image.names[0] if image.names else image.label


class _Finder:
    def __init__(self, readers: Readers, options: SyncOptions) -> None:
        self._readers = readers
        self._options = options

    def find(self, one: Item | Repository) -> Iterator[Found]:
        """Yield the images that *one* stands for, and failures if they are allowed."""
        images = self._images(one)
        try:
            with naming(str(one.location)):
                yield from images
        except FATAL:
            raise
        except TarkitError as error:
            yield self._failure(str(one.location), error)

    def _failure(self, label: str, error: TarkitError) -> FailedImage:
        if not self._options.keep_going or isinstance(error, UsageError):
            raise error
        return FailedImage(label, error)

    def _images(self, one: Item | Repository) -> Iterator[Found]:
        location = one.location
        if isinstance(one, Item) and not (
            self._options.all_images and location.name is None and location.index is None
        ):
            yield self._one(one)
        elif isinstance(one, Repository) or is_registry(location):
            yield from self._tags(one)
        else:
            yield from self._entries(one)

    def _one(self, item: Item) -> Item:
        if is_registry(item.location):
            return replace(in_registry(item.location, item.registry), renamed=item.renamed)
        try:
            with self._readers.source(item) as source:
                return replace(item, names=source.names)
        except AmbiguousImageError as error:
            error.hint = f"{error.hint or 'several match'}; --all-images takes all"
            raise

    def _tags(self, one: Item | Repository) -> Iterator[Found]:
        require_container(one.location)
        entries = self._readers.reader(one.location, one.registry).images()
        tags = [entry.names[0].rpartition(":")[2] for entry in entries]
        if isinstance(one, Repository):
            tags = [tag for tag in tags if one.wanted(tag)]
        if not tags:
            raise ImageNotFoundError("no tag is wanted" if entries else "has no tags")
        for tag in tags:
            yield in_registry(replace(one.location, name=tag), one.registry)

    def _entries(self, item: Item) -> Iterator[Found]:
        entries = self._readers.reader(item.location, item.registry).images()
        if not entries:
            raise ImageNotFoundError("contains no images")
        if item.renamed and len(entries) > 1:
            raise UsageError(f"{len(entries)} images cannot share the name {item.renamed[0]!r}")
        for entry in entries:
            one = replace(item, location=replace(item.location, index=entry.index))
            try:
                with naming(str(one.location)):
                    yield self._entry(one, entry)
            except FATAL:
                raise
            except TarkitError as error:
                yield self._failure(str(one.location), error)

    def _entry(self, one: Item, entry: ImageEntry) -> Item:
        if isinstance(entry, UnreadableImage):
            raise entry.error
        with self._readers.source(one) as source:
            return replace(one, names=source.names)
