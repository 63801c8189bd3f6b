"""The SQLite database of a store, shared by threads and processes.

It has a rollback journal. A write-ahead log needs shared memory, which network filesystems lack and
a read-only store cannot create, and SQLite before 3.51.3 could corrupt one
(docs/adr/0020-the-database-is-rebuildable.md). Every change is one ``BEGIN IMMEDIATE`` transaction,
so two processes never deadlock: the second one waits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tarkit.errors import (
    LockedError,
    MalformedError,
    NoSpaceError,
    PathNotFoundError,
    RefusedError,
    TarkitError,
    TransportError,
    UnsupportedError,
)
from tarkit.store.schema import STEPS, VERSION
from tarkit.streams.closeable import Closeable

if TYPE_CHECKING:
    import sqlite3

PATIENCE = 60.0  # seconds to wait for a transaction of another process
_APPLICATION = 0x74_61_72_6B  # "tark": PRAGMA application_id
_REPAIR = "run: tarkit store repair"


class Database(Closeable):
    """The database at *path*, opened on first use; *on_open* is called first.

    If *writable*, it is migrated if necessary. Only :meth:`create` creates it, since an empty
    database would make everything garbage. Threads may share it; transactions of one thread nest,
    and the outermost commits. Do not use it in a forked child.

    Every method raises :class:`MalformedError` if the file is damaged, :class:`UnsupportedError` if
    a newer version of tarkit wrote it, :class:`PathNotFoundError` if it is missing and not
    *writable*, :class:`LockedError` if another process does not finish, and :class:`NoSpaceError`.
    """

    def __init__(
        self, path: Path, *, writable: bool = True, on_open: Callable[[], object] = lambda: None
    ) -> None:
        self.path = path
        self._on_open = on_open
        self.writable = writable
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.RLock()
        self._depth = 0
        self._writing = False
        self.changes = 0  # grows if the data changed otherwise than by commits of this object
        self._seen = -1

    def create(self) -> None:
        """Create the database unless it exists."""
        with self._lock, self.errors():
            if self._connection is None:
                self._connection = self._open("rwc")

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Begin a transaction that commits at the end of the block, or is undone if it raises."""
        if not self.writable:
            raise RefusedError("the store is read-only", where=str(self.path.parent))
        with self._transaction("IMMEDIATE") as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Begin a transaction that sees one state of the database throughout the block."""
        with self._transaction("DEFERRED") as connection:
            yield connection

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Return the rows that *query* finds."""
        with self.read() as connection:
            return connection.execute(query, values).fetchall()

    @property
    def version(self) -> int:
        """The version of the schema."""
        return int(self.rows("PRAGMA user_version")[0][0])

    def check(self, *, quick: bool = False) -> list[str]:
        """Return the problems that SQLite finds in the whole file; not in indexes if *quick*."""
        pragma = "quick_check" if quick else "integrity_check"
        return [str(text) for (text,) in self.rows(f"PRAGMA {pragma}(20)") if text != "ok"]

    def require_sound(self) -> None:
        """Raise :class:`MalformedError` if SQLite finds a problem."""
        for problem in self.check(quick=True):
            raise self._damaged(problem)

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @contextmanager
    def _transaction(self, kind: str) -> Iterator[sqlite3.Connection]:
        with self._lock, self.errors():
            connection = self._connection or self._open("rw" if self.writable else "ro")
            if self._depth:
                if kind == "IMMEDIATE" and not self._writing:
                    raise RuntimeError("a write transaction inside a read transaction")
                yield connection
                return
            connection.execute(f"BEGIN {kind}")
            self._depth, self._writing = 1, kind == "IMMEDIATE"
            try:
                self._notice(connection)
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                self._seen = -1  # changes of this block may be undone
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            finally:
                self._depth = 0

    def _notice(self, connection: sqlite3.Connection) -> None:
        """Count a change if another connection has committed, or a transaction was undone."""
        version = _number(connection, "data_version")
        if version != self._seen:
            self._seen = version
            self.changes += 1

    def _open(self, mode: str) -> sqlite3.Connection:
        import sqlite3

        if mode != "rwc" and not self.path.is_file():
            raise PathNotFoundError("the store has no database", where=str(self.path), hint=_REPAIR)
        self._on_open()
        connection = sqlite3.connect(
            _uri(self.path, mode),
            uri=True, timeout=PATIENCE, isolation_level=None, check_same_thread=False,
        )  # fmt: skip
        try:
            self._prepare(connection, create=mode == "rwc")
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _prepare(self, connection: sqlite3.Connection, *, create: bool) -> None:
        found = _number(connection, "user_version")
        self._require_ours(connection, found, create=create)
        if not self.writable:
            if found < VERSION:
                raise UnsupportedError(
                    f"the database has schema {found}, this tarkit needs {VERSION}",
                    where=str(self.path), hint="run: tarkit store migrate, as its owner",
                )  # fmt: skip
            return
        # no syncs: a killed process loses nothing, and repair rebuilds it after a power failure
        connection.execute("PRAGMA synchronous = OFF")
        # the journal stays, so that a full disk can still be pruned
        connection.execute("PRAGMA journal_mode = PERSIST")
        if found < VERSION:
            self._migrate(connection)

    def _require_ours(self, connection: sqlite3.Connection, found: int, *, create: bool) -> None:
        if found > VERSION:
            raise UnsupportedError(
                f"the database has schema {found}, this tarkit knows {VERSION}",
                where=str(self.path), hint="use a newer tarkit",
            )  # fmt: skip
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if (tables or not create) and _number(connection, "application_id") != _APPLICATION:
            raise MalformedError("not the database of a store", where=str(self.path), hint=_REPAIR)

    def _migrate(self, connection: sqlite3.Connection) -> None:
        """Take each step in a transaction, since another process may be doing the same."""
        while True:
            connection.execute("BEGIN IMMEDIATE")
            try:
                found = _number(connection, "user_version")
                if found >= VERSION:
                    return
                for statement in STEPS[found].split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {_APPLICATION}")
                connection.execute(f"PRAGMA user_version = {found + 1}")
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            finally:
                if connection.in_transaction:
                    connection.execute("COMMIT")

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Convert errors of SQLite in the block to those of this class."""
        import sqlite3

        try:
            yield
        except sqlite3.Error as error:
            raise self._error(error) from error
        except UnicodeDecodeError as error:  # text in a damaged row
            raise self._damaged("text that is not UTF-8") from error

    def _error(self, error: sqlite3.Error) -> TarkitError:
        where = str(self.path)
        code = getattr(error, "sqlite_errorname", "")
        if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return LockedError("another process keeps the database locked", where=where)
        if code == "SQLITE_FULL":
            return NoSpaceError("no space left", where=where)
        if code.startswith("SQLITE_READONLY"):
            return RefusedError("the database is read-only", where=where)
        if code.startswith(("SQLITE_CANTOPEN", "SQLITE_IOERR", "SQLITE_PERM", "SQLITE_AUTH")):
            return TransportError(f"cannot read or write the database ({error})", where=where)
        return self._damaged(str(error))

    def _damaged(self, reason: str) -> MalformedError:
        return MalformedError(
            f"the database is damaged ({reason})", where=str(self.path), hint=_REPAIR
        )


def copy_database(source: Path, target: Path) -> None:
    """Copy the database *source*, of any version and possibly in use, to the new file *target*.

    Raises the errors of :class:`Database` if it is damaged.
    """
    import sqlite3

    database = Database(source, writable=False)
    with (
        database.errors(),
        closing(sqlite3.connect(_uri(source, "ro"), uri=True, timeout=PATIENCE)) as old,
        closing(sqlite3.connect(_uri(target, "rwc"), uri=True)) as new,
    ):
        old.backup(new)


def _uri(path: Path, mode: str) -> str:
    return f"{path.absolute().as_uri()}?mode={mode}"


def _number(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
