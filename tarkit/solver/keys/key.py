"""A cache key: an output of an operation, with the known keys of each input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tarkit.solver.keys.digests import RANDOM
from tarkit.values import dataclass

if TYPE_CHECKING:
    from tarkit.solver.keys.stores import KeyStore


@dataclass(frozen=True, slots=True)
class Alternative:
    """One way to know an input: a key with a selector, or a content key without."""

    key: Key
    selector: str = ""


class Key:
    """A key, as far as a build knows it: a record digest, and alternatives for each input.

    Two keys are equal if they have the same ID in a store, see
    :func:`~tarkit.solver.keys.stores.unite`; ``==`` compares identity. ``ids`` has the IDs of equal
    keys in each store.
    """

    __slots__ = ("ids", "inputs", "record")

    def __init__(self, record: str, inputs: Sequence[Sequence[Alternative]] = ()) -> None:
        self.record = record
        self.inputs = tuple(map(tuple, inputs))
        self.ids: dict[KeyStore, frozenset[str]] = {}

    @property
    def is_random(self) -> bool:
        """Whether the key is meaningless outside this session; then no store has it."""
        return self.record.startswith(RANDOM)

    @property
    def is_known(self) -> bool:
        """Whether a store has an equal key, with or without a result."""
        return any(self.ids.values())

    def __repr__(self) -> str:
        return f"Key({self.record!r}, {len(self.inputs)} inputs)"
