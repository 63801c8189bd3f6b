"""The layers of refs: the records that contribute them, their order, and the IDs of the chain."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from tarkit.cache import facts
from tarkit.cache.facts import RefKind, kind_of, text_of
from tarkit.store.record import Record

Find = Callable[[str], Record]
"""Returns the record with an ID, or raises :class:`~tarkit.errors.NotFoundError`."""


class Link(NamedTuple):
    """The layer of *record* in a chain; *moved* if the layers below are not those of its parent."""

    record: Record
    moved: bool


def layer_chain(record: Record, find: Find) -> list[Link]:
    """Return the layers of a ref, lowest first.

    A merge has the layers of its parents in order. A diff has the layer of its upper parent if that
    is the only one above the lower parent, otherwise one of its own.
    """
    match kind_of(record):
        case RefKind.MERGE:
            first, *others = [layer_chain(find(parent), find) for parent in record.parents]
            return [*first, *(Link(link.record, True) for chain in others for link in chain)]
        case RefKind.DIFF:
            upper = single_upper(record, find)
            return [Link(record, False)] if upper is None else [upper]
    chain: list[Link] = []
    current: Record | None = record
    while current is not None:  # a loop, since chains may be long
        if kind_of(current) in (RefKind.MERGE, RefKind.DIFF):
            return [*layer_chain(current, find), *reversed(chain)]
        chain.append(Link(current, False))
        current = find(current.parents[0]) if current.parents else None
    return chain[::-1]


def adds_layer(record: Record) -> bool:
    """Return True if the layers of a ref are those of its parent and one of its own."""
    return bool(record.parents) and kind_of(record) not in (RefKind.MERGE, RefKind.DIFF)


def single_upper(record: Record, find: Find) -> Link | None:
    """Return the upper layer of a diff if that layer is the difference, or None."""
    lower, upper = text_of(record, facts.LOWER), text_of(record, facts.UPPER)
    if not upper:
        return None
    top = find(upper)
    if not lower and kind_of(top) is RefKind.BASE_LAYER:
        return Link(top, False)
    if kind_of(top) is RefKind.LAYER and tuple(top.parents) == (lower,):
        return Link(top, True)
    return None


def ancestors(record: Record, find: Find) -> Iterator[Record]:
    """Yield the record, then every record that it depends on, each once."""
    seen = {record.id}
    pending = [record]
    while pending:
        current = pending.pop()
        yield current
        for parent in current.parents:
            if parent not in seen:
                seen.add(parent)
                pending.append(find(parent))


def chain_values(links: Sequence[Link], below: tuple[str, str] = ("", "")) -> dict[str, str]:
    """Return the chain IDs of *links*, by diff IDs and by blobs, unless one of these is unknown.

    *below* are the chain IDs of the layers under them.
    """
    diff_ids = [text_of(link.record, facts.DIFF_ID) for link in links]
    blobs = [text_of(link.record, facts.BLOB) for link in links]
    values = {}
    if diff_ids and all(diff_ids):
        values[facts.CHAIN] = facts.chained(below[0], diff_ids)
        if all(blobs):
            pairs = [facts.chained(blob, [d]) for blob, d in zip(blobs, diff_ids, strict=True)]
            values[facts.BLOB_CHAIN] = facts.chained(below[1], pairs)
    return values


def indexes_of(values: dict[str, str], diff_id: str) -> dict[str, str]:
    """Return the indexes that find a record by its chain IDs and its diff ID."""
    indexes = {}
    if facts.CHAIN in values:
        indexes[facts.CHAIN] = facts.chain_index(values[facts.CHAIN])
    if facts.BLOB_CHAIN in values:
        indexes[facts.BLOB_CHAIN] = facts.blob_chain_index(values[facts.BLOB_CHAIN])
    if diff_id:
        indexes[facts.DIFF_ID] = facts.diff_index(diff_id)
    return indexes
