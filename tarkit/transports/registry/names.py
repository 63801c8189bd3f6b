"""Names of images within a repository: a tag, a digest, or both."""

from __future__ import annotations

from tarkit.errors import UsageError
from tarkit.image.reference import Reference


def named(repository: Reference, name: str | None) -> Reference:
    """Return the reference of *name*, a tag, a digest, ``tag@digest`` or a full name.

    The default is ``latest``. Raises :class:`UsageError` if *name* is not in *repository*.
    """
    if not name:
        return repository.tagged()
    if "/" in name:
        reference = Reference.parse(name).tagged()
    else:
        is_digest = ":" in name.partition("@")[0]
        reference = Reference.parse(f"{repository.repository}{'@' if is_digest else ':'}{name}")
    if reference.repository != repository.repository:
        raise UsageError(f"{name!r} is not an image of {repository.repository}")
    return reference
