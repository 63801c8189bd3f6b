"""Traverse nested indexes within limits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from tarkit.errors import LimitExceededError, MalformedError
from tarkit.image import media_types
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import Index, RawManifest

DEPTH_LIMIT = 8
"""Maximum nesting of indexes, counting the top index; the specification sets no limit."""

Way = tuple[Descriptor, ...]
"""A path from the top index to an entry: the entries to follow. The last entry is not an index."""


def leaves(
    entries: Iterable[Descriptor],
    read: Callable[[Descriptor], RawManifest | None],
    *,
    above: tuple[Digest, ...] = (),
    seen: set[Digest] | None = None,
    where: str,
) -> Iterator[Way]:
    """Yield the path to every entry below *entries* that is not an index, depth first.

    *read* returns a nested index, or None to skip it. Unreadable entries of nested indexes are
    skipped. *above* are the digests of the indexes that contain *entries*, outermost first. Each
    nested index is visited once; *seen* collects their digests and may be shared between calls.
    *where* is the location for error messages.

    Raises the errors of *read*, :func:`descends` and :meth:`Index.parse`.
    """
    entered = set() if seen is None else seen

    def below(entries: Iterable[Descriptor], way: Way, chain: tuple[Digest, ...]) -> Iterator[Way]:
        for entry in entries:
            if entry.media_type not in media_types.INDEXES:
                yield (*way, entry)
                continue
            longer = descends(chain, entry, where)  # before the check below, to detect cycles
            if entry.digest not in entered:
                entered.add(entry.digest)
                if (raw := read(entry)) is not None:
                    children = Index.parse(raw, strict=False).manifests
                    yield from below(children, (*way, entry), longer)

    yield from below(entries, (), above)


def descends(chain: tuple[Digest, ...], child: Descriptor, where: str) -> tuple[Digest, ...]:
    """Return *chain*, the digests of the indexes above, extended by the index *child*.

    Raises :class:`MalformedError` if *child* is in *chain*, and :class:`LimitExceededError` if
    *chain* already has `DEPTH_LIMIT` indexes.
    """
    if child.digest in chain:
        raise MalformedError("index contains itself", where=where)
    if len(chain) >= DEPTH_LIMIT:
        raise LimitExceededError(
            f"indexes nested more than {DEPTH_LIMIT} deep", limit=DEPTH_LIMIT, where=where
        )
    return (*chain, child.digest)
