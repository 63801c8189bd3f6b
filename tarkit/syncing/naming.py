"""The rule for the names of images at the destination of an operation on many.

- An archive, a layout or a daemon keeps the names of the images. With a prefix, the last component
  of a name and its tag follow the prefix: ``registry.example/team/app:1`` becomes ``PREFIX/app:1``.
- ``docker://HOST/PREFIX/``, with a slash at its end, is a prefix in a registry.
- ``docker://HOST/REPOSITORY`` is one repository: the images of one other repository keep their tags.
- If names are scoped, all components follow the prefix: ``PREFIX/registry.example/team/app:1``.
"""

from __future__ import annotations

from collections.abc import Sequence

from tarkit.copying.names import NameRules
from tarkit.errors import UsageError
from tarkit.image.reference import Reference
from tarkit.values import dataclass

_PREFIX_HINT = "end the destination with a slash to keep the images in repositories of their own"


@dataclass(frozen=True, slots=True)
class Naming:
    """Maps names: after ``prefix`` if there is one, or into ``repository``, or unchanged."""

    rules: NameRules
    prefix: str = ""
    repository: str = ""
    scoped: bool = False

    def choose(self, names: Sequence[str], renamed: Sequence[str]) -> list[tuple[str, ...]]:
        """Return the new names of an image called *names*, grouped by repository in a registry.

        *renamed* are names that the user requested for it; they replace *names*.
        Raises :class:`UsageError` if a registry is the destination and no name has a tag or digest
        that can be used.
        """
        chosen = (
            self.rules.choose(renamed, names) if self._keeps else self._mapped(renamed or names)
        )
        if not (self.prefix or self.repository) or not self._in_registry:
            return [tuple(dict.fromkeys(chosen))]
        if not chosen:
            raise UsageError(
                "the image has no name, which a registry needs",
                hint="give it one: copy it alone, or name it in a list for 'tarkit sync'",
            )
        groups: dict[str, dict[str, None]] = {}
        for name in chosen:
            groups.setdefault(Reference.parse(name).repository, {})[name] = None
        return [tuple(group) for group in groups.values()]

    @property
    def _in_registry(self) -> bool:
        return self.rules is NameRules.EXPLICIT

    @property
    def _keeps(self) -> bool:
        return not self.prefix and not self.repository

    def _mapped(self, names: Sequence[str]) -> list[str]:
        if self.repository:
            return [f"{self.repository}{_tail(name)}" for name in names]
        return [f"{self.prefix}/{self._path(name)}" for name in names if _is_full(name)] or (
            _refused(names)
        )

    def _path(self, name: str) -> str:
        reference = Reference.parse(name).tagged()
        tail = str(reference).removeprefix(reference.repository)
        path = reference.path.rpartition("/")[2]
        if self.scoped:  # the colon of a port cannot be part of a path
            path = f"{reference.domain.replace(':', '_')}/{reference.path}"
        return path + tail


def repositories(names: Sequence[str]) -> set[str]:
    """Return the repositories in *names*; names that are only tags have none."""
    return {Reference.parse(name).repository for name in names if _is_full(name)}


def _is_full(name: str) -> bool:
    """Return True if *name* names a repository, not only a tag in one."""
    return "/" in name or ":" in name


def _tail(name: str) -> str:
    """Return ``:tag`` or ``@digest`` of *name*, which may be a tag."""
    if not _is_full(name):
        return f":{name}"
    reference = Reference.parse(name).tagged()
    return str(reference).removeprefix(reference.repository)


def _refused(names: Sequence[str]) -> list[str]:
    if names:
        raise UsageError(
            f"the image is only called {names[0]!r}, which names no repository",
            hint="copy it alone, or name it in a list for 'tarkit sync'",
        )
    return []
