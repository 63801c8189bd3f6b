"""The users and groups of a root filesystem: ``/etc/passwd`` and ``/etc/group``."""

from __future__ import annotations

from collections.abc import Iterator

from tarkit.errors import NotFoundError, TarkitError
from tarkit.rootfs.filesystem import FileSystem


def account_rows(files: FileSystem | None, path: str, fields: int) -> Iterator[list[str]]:
    """Yield the rows of an account database with numbers at their places; none if it is missing."""
    if files is None:
        return
    try:
        text = files.read_text(path)
    except (NotFoundError, TarkitError):
        return
    for line in text.splitlines():
        row = line.split(":")
        if len(row) >= fields and all(_is_id(number) for number in row[2:fields]):
            yield row


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 10
