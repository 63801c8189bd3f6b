"""The files of committed records, from which ``repair`` rebuilds a lost database.

``records/XX/ID.json`` holds one record with its external values; XX are the first two digits of a
hash of the ID, so that no directory becomes large. A file is written before the database commits
and removed after, so a crash leaves at most files that the database does not need.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from pathlib import Path

from tarkit.errors import MalformedError, TarkitError
from tarkit.store.record import Record
from tarkit.streams.atomic import write_file
from tarkit.streams.directory import Directory
from tarkit.streams.files import read_file
from tarkit.streams.os_errors import os_errors

DIRECTORY = "records"
_LIMIT = 64 << 20  # bytes of a file


class RecordFiles:
    """The files of records below *root*."""

    def __init__(self, root: Path) -> None:
        self._root = root / DIRECTORY

    def write(self, record: Record, externals: Mapping[str, bytes]) -> None:
        """Write *record* with its *externals*."""
        document = {
            "record": json.loads(record.to_json()),
            "externals": {
                key: b64encode(value).decode("ascii") for key, value in externals.items()
            },
        }
        path = self._path(record.id)
        with os_errors(path):
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            with Directory.open(path.parent) as directory:
                write_file(directory, path.name, json.dumps(document).encode("ascii"))

    def remove(self, record_id: str) -> None:
        """Remove the file of a record; do nothing if it is missing."""
        with os_errors(self._path(record_id)):
            self._path(record_id).unlink(missing_ok=True)

    def exists(self, record_id: str) -> bool:
        """Return True if the record has a file."""
        return self._path(record_id).exists()

    def read_all(self) -> Iterator[tuple[Path, Record | TarkitError, dict[str, bytes]]]:
        """Yield each file with its record and external values, or with the error of reading it."""
        for path in sorted(self._root.glob("??/*.json")):
            try:
                yield path, *_parse(read_file(path, _LIMIT), str(path))
            except TarkitError as error:
                yield path, error, {}

    def _path(self, record_id: str) -> Path:
        return self._root / hashlib.sha256(record_id.encode()).hexdigest()[:2] / f"{record_id}.json"


def _parse(data: bytes, where: str) -> tuple[Record, dict[str, bytes]]:
    try:
        document = json.loads(data)
        externals = {key: b64decode(value) for key, value in document["externals"].items()}
        record = Record.from_json(json.dumps(document["record"]), where=where)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise MalformedError("not the file of a record", where=where) from None
    return record, externals
