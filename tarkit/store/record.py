"""A record: the JSON values, indexes, parents and contents that a cache keeps under an ID."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any, Self, TypeAlias

from tarkit.errors import MalformedError, TarkitError, UsageError
from tarkit.values import dataclass

Value: TypeAlias = str | int | float | bool | list[str] | None
"""A value of a record. Setting a key to None removes it."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:+-]{0,199}")


@dataclass(frozen=True, slots=True)
class Record:
    """One record, as it was read.

    - ``id``: up to 200 letters, digits and ``_.:+-``.
    - ``values``: the metadata, by key.
    - ``indexes``: texts that :meth:`~tarkit.store.records.Records.find` looks up, by key. They are
      independent of the value under the same key.
    - ``parents``: the IDs of the records that this record depends on, in order.
    - ``contents``: the items that garbage collection keeps for this record: digests of blobs and,
      after ``layer:``, keys of layers.
    - ``committed``: true if a JSON file describes the record too, so that ``repair`` recovers it.
    - ``deleted``: true if its removal has begun. Such a record keeps nothing alive.
    """

    id: str
    values: Mapping[str, Value] = field(default_factory=dict)
    indexes: Mapping[str, str] = field(default_factory=dict)
    parents: Sequence[str] = ()
    contents: frozenset[str] = frozenset()
    committed: bool = False
    deleted: bool = False

    def __post_init__(self) -> None:
        check_id(self.id)

    @property
    def has_file(self) -> bool:
        """True if a JSON file describes the record: it is committed, and its removal has not begun."""
        return self.committed and not self.deleted

    def to_json(self) -> str:
        """Return the record as a JSON object on one line."""
        document = {
            "id": self.id,
            "values": dict(self.values),
            "indexes": dict(self.indexes),
            "parents": list(self.parents),
            "contents": sorted(self.contents),
            "committed": self.committed,
        }
        return json.dumps(document, separators=(",", ":"), sort_keys=True)

    @classmethod
    def from_json(
        cls, text: str | bytes, *, deleted: bool = False, where: str | None = None
    ) -> Self:
        """Parse the result of :meth:`to_json`; raises :class:`MalformedError`."""
        try:
            document: dict[str, Any] = json.loads(text)
            values = {_text(key): _value(value) for key, value in document["values"].items()}
            indexes = {_text(key): _text(value) for key, value in document["indexes"].items()}
            parents = tuple(map(check_id, document["parents"]))
            contents = frozenset(map(_text, document["contents"]))
            committed = bool(document["committed"])
            return cls(
                _text(document["id"]), values, indexes, parents, contents, committed, deleted
            )
        except (TarkitError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise MalformedError("not the file of a record", where=where) from None


def check_id(text: str) -> str:
    """Return *text*; raises :class:`UsageError` if no record, lease or layer can have this ID."""
    if not _ID.fullmatch(text):
        raise UsageError(f"invalid ID {text[:80]!r}")
    return text


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("text")
    return value


def _value(value: Any) -> Value:
    if isinstance(value, list):
        return [_text(each) for each in value]
    if isinstance(value, str | int | float):
        return value
    raise TypeError("value")
