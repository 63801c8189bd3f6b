"""Answers to requests for files of a result, by the rules of BuildKit's gateway."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import BinaryIO

from tarkit.errors import LimitExceededError, RefusedError
from tarkit.gateway.requests import FileRange, ReadDirRequest, ReadRequest, StatRequest
from tarkit.gateway.stat import Stat, stat_of
from tarkit.rootfs.filesystem import Entry, FileSystem, entry_of
from tarkit.rootfs.node import Node
from tarkit.rootfs.path_patterns import PathPatterns
from tarkit.streams import CHUNK_SIZE
from tarkit.tar.member import MemberType

LARGEST = 16 << 20
"""Bytes of a file that one request reads at most."""


def read_file(files: FileSystem, request: ReadRequest) -> bytes:
    """Return a file or a part of it; see :meth:`tarkit.gateway.reference.Reference.read_file`."""
    node = files.file(request.filename)
    size = entry_of(b"", node).size
    wanted = request.range or FileRange(0, size)
    length = max(0, min(wanted.length, size - wanted.offset))
    if length > LARGEST:
        raise LimitExceededError(
            f"{length} bytes exceed {LARGEST}", limit=LARGEST, where=request.filename[:200],
            hint="read it in parts",
        )  # fmt: skip
    with files.contents.open(node) as stream:
        if not stream.seekable():
            for _ in _chunks(stream, wanted.offset):
                pass
        else:
            stream.seek(wanted.offset)
        return b"".join(_chunks(stream, length))


def _chunks(stream: BinaryIO, length: int) -> Iterator[bytes]:
    while length and (chunk := stream.read(min(length, CHUNK_SIZE))):
        length -= len(chunk)
        yield chunk


def stat_file(files: FileSystem, request: StatRequest) -> Stat:
    """Return the facts about a file; its path is the last name after all links are followed."""
    entry = files.stat(request.path)
    return stat_of(entry, posixpath.basename(files.resolve(request.path)))


def read_dir(files: FileSystem, request: ReadDirRequest) -> list[Stat]:
    """Return the entries of a directory that the pattern selects, sorted by the bytes of their names."""
    pattern = PathPatterns([request.include_pattern]) if request.include_pattern else None
    parts = files.tree.parts(request.path)
    node = files.tree.find(parts, follow=False)
    if node.type is MemberType.SYMLINK:
        return []  # as BuildKit's walk, which does not enter it
    if node.children is None:
        raise RefusedError("is not a directory", where=request.path[:200])
    entries = (_entry(name, child) for name, child in sorted(node.children.items()))
    return [
        stat_of(entry, name) for name, entry in entries if pattern is None or pattern.match(name)
    ]


def _entry(name: bytes, node: Node) -> tuple[str, Entry]:
    return name.decode("utf-8", "surrogateescape"), entry_of(name, node)
