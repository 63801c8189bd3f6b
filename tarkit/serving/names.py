"""Map the names of images to repositories and tags, and back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from tarkit.errors import UsageError
from tarkit.image.reference import Reference, is_path, is_tag
from tarkit.values import dataclass

_OFFICIAL = "library/"  # Docker writes and omits this prefix of Docker Hub's own images
_HUB = "docker.io/"
_NOT_IN_PATHS = re.compile(r"[^a-z0-9]+")
_SUFFIXES = re.compile(r"(?:\.(?:tar|tgz|gz|zst|bz2|xz|oci|docker))+$")


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A ``tag`` in a ``repository``."""

    repository: str
    tag: str

    def __str__(self) -> str:
        return f"{self.repository}:{self.tag}"


@dataclass(frozen=True, slots=True)
class RegistryNaming:
    """Maps the names of images to places in a registry.

    The repository is the image's name without the host of a registry. Images that have only a tag,
    as in many OCI layouts, are in the repository ``default``. If ``only`` is given, all images are
    in that repository.
    """

    default: str
    only: str | None = None

    @classmethod
    def of(cls, path: str, only: str | None = None) -> RegistryNaming:
        """Return the naming for images in the file or directory *path*.

        Raises :class:`UsageError` if *only* is not the name of a repository.
        """
        if only is not None and not is_path(only):
            raise UsageError(f"{only!r} is not the name of a repository", hint="write team/app")
        stem = _SUFFIXES.sub("", path.replace("\\", "/").rstrip("/").rpartition("/")[2].lower())
        return cls(_NOT_IN_PATHS.sub("-", stem).strip("-")[:100] or "image", canonical(only))

    def places(self, names: Iterable[str]) -> Iterator[Place]:
        """Yield the places of an image with *names*; a bare tag counts only without a full name."""
        names = tuple(names)
        full = [name for name in names if _is_full(name)]
        for name in full or names:
            if place := self.place(name):
                yield place

    def place(self, name: str) -> Place | None:
        """Return the place of an image called *name*, or None if it has no tag."""
        if not _is_full(name):
            return Place(self.only or self.default, name) if is_tag(name) else None
        try:
            reference = Reference.parse(name).tagged()
        except UsageError:
            return None
        if not reference.tag:
            return None
        return Place(self.only or _unofficial(reference.path), reference.tag)

    def name_of(self, place: Place) -> str:
        """Return a name for a layout that :meth:`place` maps to *place*."""
        if self.only is not None:
            return place.tag
        short = str(place)
        return short if self.place(short) == place else f"{_HUB}{short}"


def canonical(repository: str | None) -> str | None:
    """Return *repository* without Docker's prefix ``library/``, which changes nothing."""
    return _unofficial(repository) if repository else None


def _unofficial(path: str) -> str:
    short = path.removeprefix(_OFFICIAL)
    return short if "/" not in short else path


def _is_full(name: str) -> bool:
    return ":" in name or "/" in name
