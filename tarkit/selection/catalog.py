"""The images of a container by position and by name: how every reader chooses among them."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, TypeVar

from tarkit.errors import AmbiguousImageError, ImageNotFoundError
from tarkit.protocols import ImageEntry, UnreadableImage

EntryT = TypeVar("EntryT", bound=ImageEntry)

_TYPED = re.compile(r"(?!(?:.*:)?@[0-9]{1,9}$)[\w@%+=:./-]{1,200}", re.ASCII)
"""A name that a location can hold, and that a shell needs no quotes for."""


@dataclass(frozen=True, slots=True)
class Spelling:
    """A way to write names: the keys of an image, each with the name it comes from, and of a text."""

    of_image: Callable[[ImageEntry], Iterable[tuple[Hashable, str]]]
    of_text: Callable[[str], Hashable | None]


EXACT = Spelling(lambda image: ((name, name) for name in image.names), str)
"""Names as they are."""


class Catalog(Generic[EntryT]):
    """The images of the container *where*, each at its position.

    The first of *spellings* in which some image has a name decides. Images of the same *identity*
    are one image under several names. Every error offers only what selects a readable image.
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
        """Return the image of that *name* or *position*, or the only one, and the name it was found by.

        Raises :class:`ImageNotFoundError`, :class:`AmbiguousImageError`, and what is wrong with an
        image that cannot be read.
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
        """Return the positions of all images that *name* means, and the name that each has there."""
        for spelling, table in zip(self._spellings, self._tables, strict=True):
            if (key := spelling.of_text(name)) is not None and key in table:
                return table[key]
        return {}

    def offers(
        self, images: Iterable[EntryT | UnreadableImage], *, one_each: bool = False
    ) -> tuple[str, ...]:
        """Return the names that select *images*, and ``@N`` for an image that no name selects.

        If *one_each*, an image with several names is offered by the first of them.
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
        count = f"{len(self.images)} image{'' if len(self.images) == 1 else 's'}"
        raise ImageNotFoundError(
            f"no image @{position}: it holds {count}",
            where=self._where,
            available=self.offers(self.images),
        )

    def _only(self) -> EntryT | UnreadableImage:
        if not self.images:
            raise ImageNotFoundError("it holds no image", where=self._where)
        problem = f"it holds {len(self.images)} images and none was named"
        return self._one_of(self.images, problem, one_each=True)

    def _named(self, name: str) -> tuple[EntryT | UnreadableImage, str]:
        found = self.matches(name)
        if not found:
            raise ImageNotFoundError(
                f"no image {name!r}", where=self._where, available=self.offers(self.images)
            )
        problem = f"{name!r} is the name of several images"
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
        if not _TYPED.fullmatch(name):
            return False
        meant = {self._same(self.images[at]) for at in self.matches(name)}
        return meant == {self._same(image)}

    def _same(self, image: EntryT | UnreadableImage) -> Hashable:
        return image.index if isinstance(image, UnreadableImage) else self._identity(image)

    @cached_property
    def _tables(self) -> list[dict[Hashable, dict[int, str]]]:
        """By spelling and key: the positions of the images, with their names."""
        tables: list[dict[Hashable, dict[int, str]]] = [{} for _ in self._spellings]
        for spelling, table in zip(self._spellings, tables, strict=True):
            for position, image in enumerate(self.images):
                for key, name in spelling.of_image(image):
                    table.setdefault(key, {}).setdefault(position, name)
        return tables
