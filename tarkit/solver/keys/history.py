"""The facts of earlier builds in a store, for explanations of later ones."""

from __future__ import annotations

from collections.abc import Mapping

from tarkit.errors import MalformedError
from tarkit.solver.keys.digests import text_digest
from tarkit.solver.keys.explain import KeyFacts
from tarkit.store.record import Record
from tarkit.store.records import Records


class History:
    """The latest facts of each vertex of a build, by role, in *records*.

    *build* names the build: any text that is the same the next time, such as the path of its file.
    Methods raise as :class:`~tarkit.store.records.Records`.
    """

    def __init__(self, records: Records, build: str) -> None:
        self._records = records
        self._id = f"explain:{text_digest(build)}"

    def get(self, role: str) -> KeyFacts | None:
        """Return the facts of a vertex, or None if there are none that can be read."""
        data = self._records.external(self._id, role)
        try:
            return KeyFacts.from_json(data) if data is not None else None
        except MalformedError:
            return None  # another version wrote them

    def update(self, facts: Mapping[str, KeyFacts]) -> None:
        """Store the facts of vertices by role; those of other roles stay."""
        with self._records.transaction() as change:
            if self._records.get(self._id) is None:
                change.put(Record(self._id))
            for role, each in facts.items():
                change.set_external(self._id, role, each.to_json().encode())
