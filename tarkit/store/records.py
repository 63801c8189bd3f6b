"""The records of a store: read at any time, changed in transactions over several records.

The meaning of records is defined by ``tarkit.cache``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tarkit.errors import NotFoundError, TarkitError
from tarkit.store.database import Database
from tarkit.store.holders import is_alive
from tarkit.store.record import Record, Value
from tarkit.store.record_files import RecordFiles
from tarkit.values import dataclass, replace

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

T = TypeVar("T")

_SELECT = "SELECT data, deleted FROM records"
_KEPT = 20_000  # records in memory, of about 2 KiB


@dataclass(frozen=True, slots=True)
class Hold:
    """An open reference to the record ``record``, which keeps it while the process of ``holder`` lives.

    ``note`` is a text of the holder, such as the kind of the reference.
    """

    id: str
    record: str
    holder: str
    note: str


class Records:
    """The records in *database* and their files below *root*.

    *holder* returns the ID of this process's holder. Reading never loads all records: opening a
    store of any size takes constant time. Methods raise the errors of
    :class:`~tarkit.store.database.Database`.
    """

    def __init__(self, database: Database, root: Path, holder: Callable[[], str]) -> None:
        self._database = database
        self._root = root
        self._files = RecordFiles(root)
        self._holder = holder
        self._change: Transaction | None = None
        self._kept: dict[str, Record] = {}  # as in the database after its change number _current
        self._current = -1

    def get(self, record_id: str) -> Record | None:
        """Return the record, or None if it is missing or deleted."""
        with self._database.read():
            record = self._records().get(record_id)
            if record is None:
                found = self._query(f"{_SELECT} WHERE id = ? AND NOT deleted", record_id)
                record = found[0] if found else None
            return record

    def _records(self) -> dict[str, Record]:
        """Return the records in memory, without those that others may have changed."""
        if self._current != self._database.changes or len(self._kept) > _KEPT:
            self._kept.clear()
            self._current = self._database.changes
        return self._kept

    @contextmanager
    def reading(self) -> Iterator[None]:
        """See one state of all records throughout the block."""
        with self._database.read():
            yield

    def find(self, text: str, *, prefix: bool = False) -> list[Record]:
        """Return the records that have *text* as an index, or one that starts with it if *prefix*.

        They are in the order in which they were created.
        """
        where, values = "text = ?", [text]
        if prefix:
            where, values = "text >= ? AND text < ?", [text, text + "\U0010ffff"]
        matching = f"SELECT record FROM indexes WHERE {where}"
        return self._query(
            f"{_SELECT} WHERE id IN ({matching}) AND NOT deleted ORDER BY rowid", *values
        )

    def all(self) -> list[Record]:
        """Return all records in the order in which they were created."""
        return self._query(f"{_SELECT} WHERE NOT deleted ORDER BY rowid")

    def deleted(self) -> list[Record]:
        """Return the records whose removal has begun, but not ended: a process may have died."""
        return self._query(f"{_SELECT} WHERE deleted ORDER BY rowid")

    def children(self, record_id: str) -> list[Record]:
        """Return the records that have this one as a parent."""
        return self._query(
            f"{_SELECT} WHERE id IN (SELECT record FROM parents WHERE parent = ?) AND NOT deleted"
            " ORDER BY rowid",
            record_id,
        )

    def contents(self) -> set[str]:
        """Return the contents of all records together."""
        rows = self._database.rows(
            "SELECT DISTINCT item FROM contents JOIN records ON id = record WHERE NOT deleted"
        )
        return {item for (item,) in rows}

    def external(self, record_id: str, key: str) -> bytes | None:
        """Return the bytes under *key*, or None if there are none."""
        found = self._database.rows(
            "SELECT value FROM externals WHERE record = ? AND key = ?", record_id, key
        )
        return found[0][0] if found else None

    def holds(self, record_id: str | None = None) -> list[Hold]:
        """Return the holds of living processes on the record, or on all records."""
        holds = self._holds(record_id)
        dead = self._dead(holds)
        return [hold for hold in holds if hold.holder not in dead]

    def every_hold(self, record_id: str) -> list[Hold]:
        """Return the holds on the record, including those of processes that have ended."""
        return self._holds(record_id)

    def needs(self, item: str) -> bool:
        """Return True if a record has *item* in its contents."""
        query = "SELECT 1 FROM contents JOIN records ON id = record WHERE item = ? AND NOT deleted"
        return bool(self._database.rows(f"{query} LIMIT 1", item))

    def dead_holds(self) -> list[Hold]:
        """Return the holds of processes that ended without releasing them.

        Release them in the transaction that also makes the resulting changes to the records.
        """
        holds = self._holds(None)
        dead = self._dead(holds)
        return [hold for hold in holds if hold.holder in dead]

    def keep(self, record_id: str, record: Record | None) -> None:
        """Keep a record in memory as the open transaction has changed it, or forget a removed one."""
        if record is None:
            self._records().pop(record_id, None)
        else:
            self._records()[record_id] = record

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Change records: all changes of the block take effect at its end, or none if it raises.

        Transactions of all processes exclude each other, so data that the block reads stays current
        until its end. Blocks of one thread nest, and the outermost commits. Keep blocks short.
        """
        change = None
        try:
            with self._database.write() as connection:
                if self._change is not None:
                    yield self._change
                    return
                change = self._change = Transaction(connection, self, self._holder)
                try:
                    yield change
                    self._write_files(change)
                finally:
                    self._change = None
        except BaseException:
            if change is not None:
                with suppress(TarkitError):  # the first error is the one to report
                    self._restore_files(change)
            raise
        self._remove_files(change)

    def _write_files(self, change: Transaction) -> None:
        """Write the files of changed records, before the database commits."""
        for record_id, record in change.touched.items():
            if record is not None and record.has_file:
                query = "SELECT key, value FROM externals WHERE record = ? ORDER BY key"
                self._files.write(record, dict(self._database.rows(query, record_id)))

    def _remove_files(self, change: Transaction) -> None:
        """Remove the files of records that are gone, after the database has committed."""
        gone = [
            record_id
            for record_id, record in change.touched.items()
            if (record is None or not record.has_file) and self._files.exists(record_id)
        ]
        if gone:
            with self._database.write():  # so that no process writes these files meanwhile
                for record_id in gone:
                    record = self.get(record_id)
                    if record is None or not record.has_file:
                        self._files.remove(record_id)

    def _restore_files(self, change: Transaction) -> None:
        """Make the files agree with the database after a transaction was undone."""
        if change.touched:
            with self._database.write():
                change.touched = {record_id: self.get(record_id) for record_id in change.touched}
                self._write_files(change)
            self._remove_files(change)

    def _query(self, query: str, *values: object) -> list[Record]:
        with self._database.read():
            kept = self._records()
            rows = self._database.rows(query, *values)
            records = [Record.from_json(data, deleted=bool(deleted)) for data, deleted in rows]
            if len(records) < _KEPT:
                kept.update((record.id, record) for record in records if not record.deleted)
            return records

    def _holds(self, record_id: str | None) -> list[Hold]:
        query = "SELECT id, record, holder, note FROM holds"
        if record_id is None:
            return [Hold(*row) for row in self._database.rows(query)]
        return [Hold(*row) for row in self._database.rows(f"{query} WHERE record = ?", record_id)]

    def _dead(self, holds: list[Hold]) -> set[str]:
        """Return the holders of *holds* that have ended."""
        return {h for h in {hold.holder for hold in holds} if not is_alive(self._root, h)}


class Transaction:
    """An open transaction; its methods for reading include its own changes."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        records: Records,
        holder: Callable[[], str],
    ) -> None:
        self._connection = connection
        self._holder = holder
        self.records = records
        self.touched: dict[str, Record | None] = {}  # whose files may change; None if removed

    def get(self, record_id: str) -> Record:
        """Return the record; raises :class:`NotFoundError` if it is missing or deleted."""
        record = self.records.get(record_id)
        if record is None:
            raise NotFoundError(f"no record {record_id}")
        return record

    def put(self, record: Record) -> None:
        """Store *record*, replacing the one with its ID; external values and holds stay."""
        execute, row = self._connection.execute, (record.to_json(), record.deleted, record.id)
        if execute("UPDATE records SET data = ?, deleted = ? WHERE id = ?", row).rowcount:
            for table in ("indexes", "parents", "contents"):
                execute(f"DELETE FROM {table} WHERE record = ?", (record.id,))
        else:
            execute("INSERT INTO records (data, deleted, id) VALUES (?, ?, ?)", row)
        self._insert("indexes", ((record.id, *pair) for pair in record.indexes.items()))
        self._insert("parents", ((record.id, *pair) for pair in enumerate(record.parents)))
        self._insert("contents", ((record.id, item) for item in record.contents))
        self.touched[record.id] = record
        self.records.keep(record.id, None if record.deleted else record)

    def update(
        self,
        record_id: str,
        values: Mapping[str, Value],
        indexes: Mapping[str, str | None] | None = None,
        *,
        lasting: bool = True,
    ) -> Record:
        """Set some values and indexes of a record, remove those that are None; return the result.

        Unless *lasting*, the file of the record is not written, so ``repair`` may not recover them.
        Raises the errors of :meth:`get`.
        """
        record = self.get(record_id)
        result = replace(
            record,
            values=_merged(record.values, values),
            indexes=_merged(record.indexes, indexes or {}),
        )
        if result != record:
            touched = record_id in self.touched
            self.put(result)
            if not lasting and not touched:
                del self.touched[record_id]
        return result

    def mark_deleted(self, record_id: str) -> None:
        """Begin the removal of a record: nothing finds it any more, and its contents are garbage.

        :meth:`Records.deleted` lists it until :meth:`remove`. Raises the errors of :meth:`get`.
        """
        self.put(replace(self.get(record_id), deleted=True))

    def remove(self, record_id: str) -> None:
        """Remove a record with its indexes, external values and holds; do nothing if it is missing."""
        self._connection.execute("DELETE FROM records WHERE id = ?", (record_id,))
        for table in ("indexes", "parents", "contents", "externals", "holds"):
            self._connection.execute(f"DELETE FROM {table} WHERE record = ?", (record_id,))
        self.touched[record_id] = None
        self.records.keep(record_id, None)

    def set_external(self, record_id: str, key: str, value: bytes | None) -> None:
        """Store bytes under *key* for a record, or remove them if *value* is None."""
        self._connection.execute(
            "DELETE FROM externals WHERE record = ? AND key = ?", (record_id, key)
        )
        record = self.get(record_id)
        if value is not None:
            self._insert("externals", [(record_id, key, value)])
        self.touched[record_id] = record

    def hold(self, record_id: str, note: str = "") -> Hold:
        """Open a reference to a record for this process; raises the errors of :meth:`get`."""
        hold = Hold(os.urandom(8).hex(), self.get(record_id).id, self._holder(), note)
        self._connection.execute(
            "INSERT INTO holds VALUES (?, ?, ?, ?)", (hold.id, hold.record, hold.holder, hold.note)
        )
        return hold

    def release(self, *holds: Hold) -> None:
        """Close references; do nothing for those that are closed."""
        for hold in holds:
            self._connection.execute("DELETE FROM holds WHERE id = ?", (hold.id,))

    def _insert(self, table: str, rows: Iterable[tuple[object, ...]]) -> None:
        for row in rows:
            marks = ", ".join("?" * len(row))
            self._connection.execute(f"INSERT INTO {table} VALUES ({marks})", row)


def _merged(old: Mapping[str, T], new: Mapping[str, T | None]) -> dict[str, T]:
    return {key: value for key, value in {**old, **new}.items() if value is not None}
