"""The tables of ``tarkit.db``, and the steps from every older version to this one.

Everything in the database can be rebuilt from files, except labels, leases and holds. The last use
of a blob or layer is the modification time of its file, so that reading needs no transaction.

::

    blobs        a blob of content/ or blobs/, and its size plain        the diff ID of the
    uncompressed form of a blob labels       a text under a key for each blob layers       a plain
    tar in layers/: its diff ID, its size, and a flag if a blob can recreate it leases       the
    ends of leases, which keep content that nothing refers to leased       the items of each lease
    records JSON values under an ID: the data of a cache about its refs indexes      texts that find
    records parents      the records that a record depends on, in order contents     the blobs and
    layers that a record needs externals    bytes under a key for each record holds        an open
    reference of a process to a record
"""

from __future__ import annotations

VERSION = 1
"""``PRAGMA user_version`` of a database with these tables."""

_FIRST = """
CREATE TABLE blobs (digest TEXT PRIMARY KEY, size INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE plain (digest TEXT PRIMARY KEY, diff_id TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX plain_by_diff_id ON plain (diff_id);
CREATE TABLE labels (digest TEXT, key TEXT, value TEXT NOT NULL, PRIMARY KEY (digest, key)) WITHOUT ROWID;
CREATE TABLE layers (key TEXT PRIMARY KEY, diff_id TEXT NOT NULL, size INTEGER NOT NULL,
    derived INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX layers_by_diff_id ON layers (diff_id);
CREATE TABLE leases (id TEXT PRIMARY KEY, holder TEXT, expires REAL, boot TEXT, expires_in_boot REAL) WITHOUT ROWID;
CREATE TABLE leased (lease TEXT, item TEXT, PRIMARY KEY (lease, item)) WITHOUT ROWID;
CREATE INDEX leased_by_item ON leased (item);
CREATE TABLE records (id TEXT PRIMARY KEY, data TEXT NOT NULL, deleted INTEGER NOT NULL);
CREATE INDEX deleted_records ON records (id) WHERE deleted;
CREATE TABLE indexes (record TEXT, key TEXT, text TEXT NOT NULL, PRIMARY KEY (record, key)) WITHOUT ROWID;
CREATE INDEX indexes_by_text ON indexes (text);
CREATE TABLE parents (record TEXT, position INTEGER, parent TEXT NOT NULL, PRIMARY KEY (record, position)) WITHOUT ROWID;
CREATE INDEX parents_by_parent ON parents (parent);
CREATE TABLE contents (record TEXT, item TEXT, PRIMARY KEY (record, item)) WITHOUT ROWID;
CREATE INDEX contents_by_item ON contents (item);
CREATE TABLE externals (record TEXT, key TEXT, value BLOB NOT NULL, PRIMARY KEY (record, key)) WITHOUT ROWID;
CREATE TABLE holds (id TEXT PRIMARY KEY, record TEXT NOT NULL, holder TEXT NOT NULL, note TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX holds_by_record ON holds (record);
"""

STEPS = (_FIRST,)
"""The statements that lead from version N to version N + 1."""

assert len(STEPS) == VERSION
