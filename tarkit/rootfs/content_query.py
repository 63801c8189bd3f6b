"""Digests of the content of selected paths: wildcards, include and exclude patterns, followed links."""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tarkit.errors import PathNotFoundError
from tarkit.image.digest import Digest
from tarkit.rootfs.content_hash import TreeDigests
from tarkit.rootfs.path_patterns import PathPatterns, wildcard
from tarkit.rootfs.trail import Directory, Value
from tarkit.tar.names import shown
from tarkit.values import dataclass

_WILDCARDS = re.compile(r"[*?\[\\]")


@dataclass(frozen=True, slots=True)
class ContentQuery:
    """The paths to hash: *path*, or all paths that it matches if *wildcard*.

    With any *include* or *exclude* patterns, or *wildcard*, the result covers the selected files and
    the metadata of their parent directories. Patterns are relative to *path*. A link at the end of
    *path* is followed only if *follow*. All *required* paths must be among the selected.
    """

    path: str
    follow: bool = False
    wildcard: bool = False
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    required: Sequence[str] = ()


class _Found(NamedTuple):
    """An entry at *path*; *is_top* is false below another entry that the query names."""

    path: str
    value: Value
    is_top: bool = False


def content_digest(digests: TreeDigests, query: ContentQuery) -> Digest:
    """Return the digest of the content that *query* selects, as BuildKit's ``Checksum`` does.

    Symbolic links in the middle of a path are resolved inside the tree. Raises
    :class:`~tarkit.errors.PathNotFoundError`, :class:`~tarkit.errors.MalformedError` for an invalid
    pattern, and the errors of reading files.
    """
    path = _key_path(query.path)
    if not (query.wildcard or query.include or query.exclude):
        return _digest(digests.digest(_value(digests, path, follow=query.follow)))
    found = list(_selected(digests, path, query))
    _require(found, query.required)
    hashed = [_hashed(digests, entry, follow=query.follow) for entry in found]
    if len(found) == 1 and posixpath.basename(found[0].path) == posixpath.basename(path):
        return _digest(hashed[0])
    top = _plain_prefix(path) if query.wildcard else path
    hasher = hashlib.sha256()
    for entry, digest in zip(found, hashed, strict=True):
        hasher.update(_key(entry.path.removeprefix(top)) + digest)
    return Digest("sha256", hasher.hexdigest())


def _key(path: str) -> bytes:
    """Return *path* as a key of BuildKit's tree; that of the top itself is not empty."""
    return path.replace("/", "\0").encode("utf-8", "surrogateescape") or b"\0"


def _selected(digests: TreeDigests, path: str, query: ContentQuery) -> Iterator[_Found]:
    """Yield the selected entries in the order of a walk; the value of a directory means its metadata."""
    include = PathPatterns(query.include) if query.include else None
    exclude = PathPatterns(query.exclude) if query.exclude else None
    matched = wildcard(path) if query.wildcard else None
    skipped = path if query.path.endswith("/") else None
    top: str | None = None if matched else path  # the last path that the wildcard matched
    parents: list[_Found] = []
    for entry in _below(digests, path, query):
        while parents and not entry.path.startswith(parents[-1].path + "/"):
            parents.pop()
        is_directory = isinstance(entry.value, Directory)
        if is_directory and entry.path == skipped:
            continue
        if matched and (top is None or not entry.path.startswith(top + "/")):
            if not matched.fullmatch(entry.path):
                continue
            top = entry.path
        assert top is not None
        candidate = entry.path.removeprefix(top).lstrip("/")
        wanted = (include is None or include.match(candidate)) and not (
            exclude is not None and exclude.match(candidate)
        )
        if wanted:
            yield from parents
            parents.clear()  # each directory is listed once
            yield entry._replace(is_top=_is_top(entry.path, top, query))
        elif is_directory:
            parents.append(entry)


def _below(digests: TreeDigests, path: str, query: ContentQuery) -> Iterator[_Found]:
    """Yield every entry that *query* may select: all below the part without wildcards."""
    start = _plain_prefix(path) if query.wildcard else path
    tree = digests.tree
    trail = tree.trail(tree.parts(start), follow=query.follow or query.wildcard)
    if trail.missing:
        return
    for prefix, name, value in tree.steps(trail.values[-1]):
        below = (prefix + name).decode("utf-8", "surrogateescape")
        yield _Found(f"{start}/{below}" if below else start, value)


def _plain_prefix(pattern: str) -> str:
    """Return the components of *pattern* before the first with a wildcard."""
    parts = pattern.split("/")
    plain = next((at for at, part in enumerate(parts) if _WILDCARDS.search(part)), len(parts))
    return "/".join(parts[:plain])


def _is_top(path: str, top: str, query: ContentQuery) -> bool:
    return path == top or (not query.wildcard and "/" not in path.removeprefix(top)[1:])


def _hashed(digests: TreeDigests, entry: _Found, *, follow: bool) -> bytes:
    if (
        follow
        and entry.is_top
        and isinstance(entry.value, int)
        and digests.tree.is_symlink(entry.value)
    ):
        return digests.digest(_value(digests, entry.path, follow=True))
    return digests.header(entry.value)


def _value(digests: TreeDigests, path: str, *, follow: bool) -> Value:
    trail = digests.tree.trail(digests.tree.parts(path), follow=follow)
    if trail.missing:
        raise PathNotFoundError("not found", where=shown((path or "/").encode()))
    return trail.values[-1]


def _require(found: list[_Found], required: Sequence[str]) -> None:
    paths = {each.path for each in found}
    for path in required:
        if path not in paths:
            raise PathNotFoundError("not found", where=path)


def _key_path(path: str) -> str:
    """Return *path* as an absolute path without ``.``, ``..`` and slash at its end; the root is empty."""
    return posixpath.normpath(posixpath.join("/", path)).replace("//", "/").rstrip("/")


def _digest(text: bytes) -> Digest:
    return Digest.parse(text.decode("ascii"))
