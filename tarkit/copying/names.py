"""Choose and compare the names of copied images."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from tarkit.errors import UsageError
from tarkit.image.digest import Digest
from tarkit.layout.names import is_name, normalized, require_names


class NameRules(Enum):
    """The rules for names at a kind of destination."""

    ANY = "any"  # those of OCI layouts, see tarkit.layout.names.is_name
    DOCKER = "docker"  # references with a tag, as in docker archives and the Docker daemon
    EXPLICIT = "explicit"  # only requested names, as in registries, where a tag may be in use

    def normalize(self, name: str) -> str | None:
        """Return *name* in its normal form for comparison, or None if it is invalid."""
        return normalized(name) if self is NameRules.DOCKER else name

    def choose(self, requested: Sequence[str], inherited: Sequence[str]) -> list[str]:
        """Return the names for a copy.

        These are the *requested* names if there are any, and otherwise the *inherited* names of the
        source image that the destination supports. Raises :class:`~tarkit.errors.UsageError` if a
        requested name is empty or invalid.
        """
        if "" in requested:
            raise UsageError("an image name cannot be empty")
        if self is NameRules.ANY:
            require_names(requested)
        if requested or self is NameRules.EXPLICIT:
            return list(requested)
        if self is NameRules.DOCKER:
            return [docker for name in inherited if (docker := _docker_name(name))]
        return [name for name in inherited if is_name(name)]


def _docker_name(name: str) -> str | None:
    """Return *name* without its digest, or None if Docker cannot store the rest."""
    bare, at, _ = name.partition("@")
    algorithm, _, value = bare.partition(":")
    # "sha256:..." parses as a name with a tag.
    if normalized(name) is None or Digest.from_parts(algorithm, value):
        return None
    has_tag = ":" in bare.rpartition("/")[2]
    is_bare_tag = ":" not in bare and "/" not in bare
    # Docker adds ":latest" to untagged names, which is wrong for "name@digest" and for a tag "v1".
    return bare if has_tag or not (at or is_bare_tag) else None
