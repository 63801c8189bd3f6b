"""Changes on top of an image, as one more layer: nothing outside the image is read or written by them.

Every path is resolved inside the image, links in it included, so a change can be asked for by the
path a container would use.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FunctionType, MethodDescriptorType
from typing import Protocol, Self

from tarkit.errors import RefusedError, UnsupportedError, UsageError
from tarkit.image.digest import Digest
from tarkit.rootfs.layer_data import LayerData
from tarkit.rootfs.merge import Merger
from tarkit.rootfs.names import WHITEOUT, Parts, path_of, require_visible
from tarkit.rootfs.tree import Node
from tarkit.streams.chunks import read_bounded
from tarkit.tar.epoch import source_date_epoch
from tarkit.tar.member import Member, MemberType

EDIT_LIMIT = 64 << 20
"""Largest file in bytes that can be edited, which is done in memory."""


class Change(Protocol):
    """One change, made to the image as the changes before it left it."""

    def parts(self) -> Iterator[bytes]:
        """Everything that decides what the change makes of an image, told apart from other changes."""
        ...

    def make(self, work: OverlayContext) -> None:
        """Make the change on *work*."""
        ...


@dataclass(slots=True)
class Overlay:
    """Changes in the order they are made; every method adds one and returns the overlay."""

    changes: list[Change] = field(default_factory=list)

    def add(self, source: str | Path, destination: str) -> Self:
        """Put the file *source* of this machine, or what the directory *source* holds, at *destination*.

        A file's *destination* that ends with a slash is a directory to put it in. Directories that
        are there already keep their metadata, and what is in them. See
        :class:`tarkit.rootfs.overlay.additions.AddFiles` for what of the files is kept.
        """
        from tarkit.rootfs.overlay.additions import AddFiles

        return self._with(AddFiles(Path(source), destination))

    def write(self, destination: str, data: bytes, mode: int = 0o644) -> Self:
        """Put a file that holds *data* at *destination*, owned by 0:0; a link there is replaced."""
        return self._with(_Write(destination, data, mode))

    def remove(self, path: str) -> Self:
        """Remove *path* and everything below it; a link itself, not what it leads to."""
        return self._with(_Remove(path))

    def edit(self, path: str, change: Callable[[bytes], bytes], *, name: str | None = None) -> Self:
        """Replace what the file at *path* holds by what *change* makes of it; metadata stays.

        *name* stands for the function in :meth:`digest`, which whoever builds images asks for. A
        function of a module has one; anything else has to be given one, and another one where it
        does something else.
        """
        return self._with(_Edit(path, change, name or _name_of(change)))

    def add_certificate(self, pem: bytes) -> Self:
        """Have the image trust the CA certificates in *pem*; see :mod:`tarkit.rootfs.overlay.certificates`."""
        from tarkit.rootfs.overlay.certificates import AddCertificates

        return self._with(AddCertificates.parse(pem))

    def lay(self, contents: LayerData, merger: Merger) -> None:
        """Make all changes on the merged tree, with their data in *contents*.

        Raises :class:`PathNotFoundError` for what is to be changed and not there,
        :class:`RefusedError` for a file in a directory's place or the other way round, and as
        reading does.
        """
        work = OverlayContext(contents, merger)
        for change in self.changes:
            change.make(work)

    def digest(self) -> Digest:
        """The digest of all changes, with the contents of the files they add.

        Raises :class:`UsageError` for an edit without a name.
        """
        hasher = hashlib.sha256()
        for change in self.changes:
            for part in (type(change).__name__.encode(), *change.parts()):
                hasher.update(b"%d:" % len(part) + part)
            hasher.update(b"\n")
        return Digest("sha256", hasher.hexdigest())

    def _with(self, change: Change) -> Self:
        self.changes.append(change)
        return self


class OverlayContext:
    """The image while an overlay is laid on it."""

    def __init__(self, contents: LayerData, merger: Merger) -> None:
        self._contents = contents
        self._merger = merger
        self._tree = merger.tree
        self._epoch = source_date_epoch()
        self.mtime_ns = (self._epoch or 0) * 1_000_000_000

    def get(self, path: str, *, follow: bool = True) -> Node | None:
        """What is at *path* now, if anything is."""
        return self._tree.get(self._tree.parts(path), follow=follow)

    def find(self, path: str, *, follow: bool = True) -> Node:
        """What is at *path* now; raises :class:`PathNotFoundError`."""
        return self._tree.find(self._tree.parts(path), follow=follow)

    def real_path(self, path: str) -> str:
        """*path* with all links on the way followed, also where nothing is at its end yet."""
        parts = self._tree.real_parts(self._tree.parts(path))
        return b"/".join(parts).decode("utf-8", "surrogateescape")

    def read(self, node: Node, path: str) -> bytes:
        """All of the file *node*, which is called *path* in messages."""
        if node.type is not MemberType.FILE:
            raise UnsupportedError("not a file", where=path)
        with self._contents.open(node) as stream:
            return read_bounded(stream, EDIT_LIMIT, where=path)

    def put(self, path: str, member: Member, data: bytes | Path = b"") -> None:
        """Put *member* with its *data* at *path*; its name is taken from there.

        A time later than ``SOURCE_DATE_EPOCH`` becomes that one. A link at *path* is replaced.
        Raises :class:`RefusedError` where a directory would have to go, or go for one.
        """
        parts = self._tree.parts(path)
        require_visible(parts)
        self._require_room(parts, member.type)
        mtime_ns = member.mtime_ns if self._epoch is None else min(member.mtime_ns, self.mtime_ns)
        offset = self._contents.add(data).offset if member.size else 0
        named = replace(
            member,
            name=b"/".join(parts),
            mtime_ns=mtime_ns,
            data_offset=offset,
            stored=member.size,
            sparse=None,
        )
        self._apply(named)

    def link(self, path: str, first: str) -> None:
        """Give the file that was put at *first* another name, *path*."""
        target = b"/".join(self._tree.parts(first))
        self.put(path, Member(b"", MemberType.HARDLINK, linkname=target))

    def rewrite(self, path: str, node: Node, data: bytes) -> None:
        """Put *data* in the place of what *node*, the file at *path*, holds; metadata stays."""
        self.put(path, replace(node.member, size=len(data)), data)

    def remove(self, path: str) -> None:
        """Remove what is at *path*; raises :class:`RefusedError` for the root."""
        parts = self._tree.parts(path)
        if not parts:
            raise RefusedError("the root cannot be removed", where="/")
        self._apply(Member(b"/".join([*parts[:-1], WHITEOUT + parts[-1]])))

    def _require_room(self, parts: Parts, kind: MemberType) -> None:
        """Raise :class:`RefusedError` where more than a file, or a link, would go for what is put there."""
        trail = self._tree.trail(parts, follow=kind is not MemberType.SYMLINK)
        where = path_of(trail.names)
        is_directory = kind is MemberType.DIRECTORY
        if trail.nodes[-1].children is None and (is_directory or trail.missing):
            raise RefusedError(
                "a file of the image is in the way", where=where, hint="remove it first"
            )
        if trail.nodes[-1].children is not None and not trail.missing and not is_directory:
            raise RefusedError(
                "a directory of the image is in the way",
                where=where,
                hint="name a path in it, or remove it first",
            )

    def _apply(self, member: Member) -> None:
        self._merger.add(len(self._contents.layers), [member])


@dataclass(frozen=True, slots=True)
class _Write:
    destination: str
    data: bytes
    mode: int

    def parts(self) -> Iterator[bytes]:
        yield os.fsencode(self.destination)
        yield b"%o" % self.mode
        yield self.data

    def make(self, work: OverlayContext) -> None:
        member = Member(b"", mode=self.mode & 0o7777, size=len(self.data), mtime_ns=work.mtime_ns)
        work.put(self.destination, member, self.data)


@dataclass(frozen=True, slots=True)
class _Remove:
    path: str

    def parts(self) -> Iterator[bytes]:
        yield os.fsencode(self.path)

    def make(self, work: OverlayContext) -> None:
        work.find(self.path, follow=False)
        work.remove(self.path)


@dataclass(frozen=True, slots=True)
class _Edit:
    path: str
    change: Callable[[bytes], bytes]
    name: str | None

    def parts(self) -> Iterator[bytes]:
        if self.name is None:
            raise UsageError(
                "nothing tells what this edit does", where=self.path, hint="give it a name"
            )
        yield os.fsencode(self.path)
        yield os.fsencode(self.name)

    def make(self, work: OverlayContext) -> None:
        node = work.find(self.path)
        work.rewrite(work.real_path(self.path), node, self.change(work.read(node, self.path)))


def _name_of(function: Callable[[bytes], bytes]) -> str | None:
    """What tells *function* from all others: its name, where it is one of a module and holds nothing."""
    if isinstance(function, MethodDescriptorType):  # as bytes.upper is
        return f"{function.__objclass__.__module__}.{function.__qualname__}"
    if isinstance(function, FunctionType) and "<" not in function.__qualname__:
        return f"{function.__module__}.{function.__qualname__}"
    return None
