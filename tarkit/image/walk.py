"""The way down from an index: every nested index is entered once, within limits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from tarkit.errors import LimitExceededError, MalformedError
from tarkit.image import media_types
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import Index, RawManifest

DEPTH_LIMIT = 8
"""How many indexes may be nested in each other."""

Way = tuple[Descriptor, ...]
"""The entries to follow from the top; the last is not an index."""


def leaves(
    entries: Iterable[Descriptor],
    read: Callable[[Descriptor], RawManifest | None],
    *,
    above: tuple[Digest, ...] = (),
    seen: set[Digest] | None = None,
    where: str,
) -> Iterator[Way]:
    """Yield the way to everything below *entries* that is not an index.

    *read* returns a nested index, or None if it is absent. An entry that cannot be read hides no
    other. *above* are the digests of the indexes that *entries* come from, outermost first; *seen*
    collects those of nested indexes, none of which is entered again.
    Raises what *read* raises, and what :func:`descends` and :meth:`Index.parse` raise.
    """
    entered = set() if seen is None else seen

    def below(entries: Iterable[Descriptor], way: Way, chain: tuple[Digest, ...]) -> Iterator[Way]:
        for entry in entries:
            if entry.media_type not in media_types.INDEXES:
                yield (*way, entry)
                continue
            longer = descends(chain, entry, where)
            if entry.digest not in entered:
                entered.add(entry.digest)
                if (raw := read(entry)) is not None:
                    children = Index.parse(raw, strict=False).manifests
                    yield from below(children, (*way, entry), longer)

    yield from below(entries, (), above)


def descends(chain: tuple[Digest, ...], child: Descriptor, where: str) -> tuple[Digest, ...]:
    """Return *chain*, the indexes above, with *child* added.

    Raises :class:`MalformedError` if that closes a cycle, and :class:`LimitExceededError` if it
    goes too deep.
    """
    if child.digest in chain:
        raise MalformedError("an index that contains itself", where=where)
    if len(chain) >= DEPTH_LIMIT:
        raise LimitExceededError(
            f"indexes nested more than {DEPTH_LIMIT} deep", limit=DEPTH_LIMIT, where=where
        )
    return (*chain, child.digest)
