"""Give each image its names at the destination, and refuse names that two images would share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tarkit.copying.many import FailedImage, naming
from tarkit.errors import RefusedError, TarkitError, UsageError
from tarkit.syncing.collect import Found
from tarkit.syncing.items import Item
from tarkit.syncing.naming import repositories
from tarkit.syncing.readers import Readers
from tarkit.syncing.targets import Target
from tarkit.values import dataclass


@dataclass(frozen=True, slots=True)
class Planned:
    """An image to move, and its ``names`` at the destination: in a registry, in one repository.

    An ``exact`` copy keeps the digests if the destination can store the image unchanged.
    """

    item: Item
    names: tuple[str, ...]
    exact: bool = False


def plan_images(
    found: Iterable[Found], target: Target, readers: Readers, *, keep_going: bool
) -> tuple[list[Planned], list[FailedImage]]:
    """Return the images with their new names, and those that failed.

    Raises :class:`RefusedError` if two different images would get the same name, and
    :class:`UsageError` if the destination is one repository and the images are from several; with
    *keep_going*, an image that cannot be named fails on its own.
    """
    planner = _Planner(target, readers)
    failed: list[FailedImage] = []
    items: list[Item] = []
    for image in found:
        if isinstance(image, FailedImage):
            failed.append(image)
        else:
            items.append(image)
    if target.naming.repository:
        _require_one_repository(items, target)
    for item in items:
        try:
            with naming(item.label):
                planner.add(item)
        except TarkitError as error:
            if not keep_going:
                raise
            failed.append(FailedImage(item.label, error))
    return planner.planned, failed


class _Planner:
    def __init__(self, target: Target, readers: Readers) -> None:
        self._target = target
        self._readers = readers
        self._owners: dict[str, Item] = {}
        self.planned: list[Planned] = []

    def add(self, item: Item) -> None:
        """Plan *item* once for each repository that it goes to."""
        groups = self._target.naming.choose(item.names, item.renamed)
        for name in (name for group in groups for name in group):
            key = self._target.naming.rules.normalize(name) or name
            owner = self._owners.setdefault(key, item)
            if owner is not item and not self._is_same(owner, item):
                raise RefusedError(
                    f"{owner.label} would have the same name {name!r} at the destination",
                    hint=self._remedy(),
                )
        self.planned += [Planned(item, group) for group in groups]

    def _is_same(self, one: Item, other: Item) -> bool:
        if one.location == other.location:
            return True
        with self._readers.source(one) as source:
            digest = source.manifest().digest
        with self._readers.source(other) as source:
            return source.manifest().digest == digest

    def _remedy(self) -> str:
        naming = self._target.naming
        if naming.prefix and not naming.scoped:
            return "--scoped keeps the whole name"
        return "give one of them another name in a list for 'tarkit sync'"


def _require_one_repository(items: Sequence[Item], target: Target) -> None:
    found = {
        repository for item in items for repository in repositories(item.renamed or item.names)
    }
    if len(found) > 1:
        raise UsageError(
            f"the images are from {len(found)} repositories, but the destination is one",
            where=str(target.location),
            hint=f"write {target.location}/ with a slash at its end to use it as a prefix",
        )
