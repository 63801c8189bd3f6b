"""Find the images of the sources, before the first of them is copied."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from fnmatch import fnmatchcase

from tarkit.copying.many import FATAL, FailedImage, naming
from tarkit.errors import AmbiguousImageError, ImageNotFoundError, TarkitError, UsageError
from tarkit.protocols import ImageEntry, UnreadableImage
from tarkit.syncing.items import Item, in_registry, is_registry, require_container
from tarkit.syncing.options import SyncOptions
from tarkit.syncing.readers import Readers
from tarkit.transports.location import Location

Found = Item | FailedImage


def collect(items: Iterable[Item], readers: Readers, options: SyncOptions) -> list[Found]:
    """Return the images at the locations of *items*, in order.

    With ``all_images``, an item without a name stands for all images at its location. Images in
    registries are not requested yet. If ``keep_going`` is set, what cannot be read is returned as a
    :class:`FailedImage`; otherwise the error is raised.
    """
    found: list[Found] = []
    for item in items:
        look_up = _all_of if options.all_images and _is_whole(item) else _one_of
        found += _guarded(str(item.location), lambda i=item, f=look_up: f(i, readers, options), options)  # type: ignore[misc]
    shard = options.shard
    return [image for image in found if not shard or shard.holds(_key(image))]


def _is_whole(item: Item) -> bool:
    return item.location.name is None and item.location.index is None


def _key(image: Found) -> str:
    return image.label if isinstance(image, Item) else image.source


def _guarded(label: str, find: Callable[[], Iterable[Found]], options: SyncOptions) -> list[Found]:
    try:
        with naming(label):
            return list(find())
    except FATAL:
        raise
    except TarkitError as error:
        if not options.keep_going or isinstance(error, UsageError):
            raise
        return [FailedImage(label, error)]


def _one_of(item: Item, readers: Readers, options: SyncOptions) -> Iterable[Found]:
    if is_registry(item.location):
        one = in_registry(item.location, item.registry)
        return [replace(one, renamed=item.renamed)]
    try:
        with readers.source(item) as source:
            return [replace(item, names=source.names)]
    except AmbiguousImageError as error:
        error.hint = f"{error.hint}; --all-images takes all" if error.hint else "use --all-images"
        raise


def _all_of(item: Item, readers: Readers, options: SyncOptions) -> Iterator[Found]:
    require_container(item.location)
    reader = readers.reader(item.location, item.registry)
    count = 0
    for entry in reader.images():
        if not _is_wanted(entry, item.location, options.tags):
            continue
        count += 1
        yield from _guarded(
            f"{item.location}:@{entry.index}", lambda e=entry: [_entry(item, e, readers)], options  # type: ignore[misc]
        )
    if not count:
        problem = f"no tag matches {options.tags!r}" if options.tags else "contains no images"
        raise ImageNotFoundError(problem)


def _entry(item: Item, entry: ImageEntry, readers: Readers) -> Item:
    if isinstance(entry, UnreadableImage):
        raise entry.error
    if is_registry(item.location):
        tag = entry.names[0].rpartition(":")[2]
        return in_registry(replace(item.location, name=tag), item.registry)
    one = replace(item, location=replace(item.location, index=entry.index))
    with readers.source(one) as source:
        return replace(one, names=source.names)


def _is_wanted(entry: ImageEntry, location: Location, tags: str | None) -> bool:
    if tags is None:
        return True
    if not is_registry(location):
        raise UsageError("--tags needs a repository as the source", where=str(location))
    return fnmatchcase(entry.names[0].rpartition(":")[2], tags)
