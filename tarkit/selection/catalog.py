"""Select an image by position or name; shared by all readers."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Generic, TypeVar

from tarkit.errors import AmbiguousImageError, ImageNotFoundError
from tarkit.patterns import lazy_pattern
from tarkit.protocols import ImageEntry, UnreadableImage
from tarkit.values import dataclass

EntryT = TypeVar("EntryT", bound=ImageEntry)

# A name such as "app:@1" would be read as a position.
_SELECTABLE = lazy_pattern(r"(?!(?:.*:)?@[0-9]{1,9}$)[\w@%+=:./-]{1,200}", re.ASCII)
"""Names that are unambiguous in a location and need no quotes in a shell."""


@dataclass(frozen=True, slots=True)
class Spelling:
    """A way to compare names by keys.

    ``of_image`` yields the keys of an image, each with its original name. ``of_text`` returns the
    key of a requested name, or None if it cannot be a name of this kind.
    """

    of_image: Callable[[ImageEntry], Iterable[tuple[Hashable, str]]]
    of_text: Callable[[str], Hashable | None]


EXACT = Spelling(lambda image: ((name, name) for name in image.names), str)
"""Compares names literally."""


class Catalog(Generic[EntryT]):
    """The images of the container *where*, by position.

    A name is looked up with each of *spellings* in turn, until one finds an image. Images with the
    same *identity* count as one image with several names. Error messages suggest only names that
    select a readable image.
    """

    def __init__(
        self,
        images: Sequence[EntryT | UnreadableImage],
        spellings: Sequence[Spelling],
        *,
        where: str,
        identity: Callable[[EntryT], Hashable] = lambda image: image.index,
    ) -> None:
        self.images = tuple(images)
        self._spellings = spellings
        self._where = where
        self._identity = identity

    def choose(self, name: str | None, position: int | None) -> tuple[EntryT, str | None]:
        """Return the image with *name* or at *position*, or the only image, and the matching name.

        Raises :class:`ImageNotFoundError` if no image matches, :class:`AmbiguousImageError` if
        several do, and the error of the image if it is unreadable.
        """
        by_name = None
        if position is not None:
            found = self._at(position)
        elif name is None:
            found = self._only()
        else:
            found, by_name = self._named(name)
        if isinstance(found, UnreadableImage):
            raise found.error
        return found, by_name

    def matches(self, name: str) -> Mapping[int, str]:
        """Return the positions of all images that *name* matches, each with its original name."""
        for spelling, table in zip(self._spellings, self._tables, strict=True):
            if (key := spelling.of_text(name)) is not None and key in table:
                return table[key]
        return {}

    def offers(
        self, images: Iterable[EntryT | UnreadableImage], *, one_each: bool = False
    ) -> tuple[str, ...]:
        """Return the names that select *images*, or ``@N`` for an image that no name selects.

        If *one_each* is true, return only the first name of each image.
        """
        offered: dict[str, None] = {}
        for image in images:
            if not isinstance(image, UnreadableImage):
                names = [name for name in image.names if self._selects(name, image)]
                names = names or [f"@{image.index}"]
                offered.update(dict.fromkeys(names[:1] if one_each else names))
        return tuple(offered)

    def _at(self, position: int) -> EntryT | UnreadableImage:
        if 0 <= position < len(self.images):
            return self.images[position]
        if not self.images:
            raise ImageNotFoundError("contains no images", where=self._where)
        last = len(self.images) - 1
        held = f"are {last + 1} images, @0 to @{last}" if last else "is one image, @0"
        raise ImageNotFoundError(
            f"no image @{position}: there {held}",
            where=self._where,
            available=self.offers(self.images),
        )

    def _only(self) -> EntryT | UnreadableImage:
        if not self.images:
            raise ImageNotFoundError("contains no images", where=self._where)
        problem = f"contains {len(self.images)} images and none was selected"
        return self._one_of(self.images, problem, one_each=True)

    def _named(self, name: str) -> tuple[EntryT | UnreadableImage, str]:
        found = self.matches(name)
        if not found:
            raise ImageNotFoundError(
                f"no image {name!r}", where=self._where, available=self.offers(self.images)
            )
        problem = f"several images are named {name!r}"
        chosen = self._one_of([self.images[at] for at in found], problem)
        return chosen, next(iter(found.values()))

    def _one_of(
        self, images: Sequence[EntryT | UnreadableImage], problem: str, *, one_each: bool = False
    ) -> EntryT | UnreadableImage:
        if len(set(map(self._same, images))) > 1:
            available = self.offers(images, one_each=one_each)
            raise AmbiguousImageError(problem, where=self._where, available=available)
        return images[0]

    def _selects(self, name: str, image: EntryT) -> bool:
        if not _SELECTABLE.fullmatch(name):
            return False
        # Another image may have the same name, or match it with an earlier spelling.
        matched = {self._same(self.images[at]) for at in self.matches(name)}
        return matched == {self._same(image)}

    def _same(self, image: EntryT | UnreadableImage) -> Hashable:
        return image.index if isinstance(image, UnreadableImage) else self._identity(image)

    @cached_property
    def _tables(self) -> list[dict[Hashable, dict[int, str]]]:
        """For each spelling, the positions of images by key, with their original names."""
        tables: list[dict[Hashable, dict[int, str]]] = [{} for _ in self._spellings]
        for spelling, table in zip(self._spellings, tables, strict=True):
            for position, image in enumerate(self.images):
                for key, name in spelling.of_image(image):
                    table.setdefault(key, {}).setdefault(position, name)
        return tables
