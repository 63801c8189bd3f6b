"""Layers read side by side: what they add up to, in the order of names, as far as that can be foreseen.

Whoever builds an image walks its directories by name. So the layers of nearly every image are in
that order, and what they have of one path comes to the front of all of them at the same time. What
is seen so is a guess all the same: only the merge knows where links lead.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from contextlib import ExitStack
from operator import attrgetter
from typing import Protocol

from tarkit.errors import MalformedError, TarkitError
from tarkit.rootfs.hidden_paths import MAX_PREDICTED, HiddenPaths
from tarkit.rootfs.layers import ImageLayers
from tarkit.rootfs.merge import implied_directory
from tarkit.rootfs.names import WHITEOUT, Parts, hidden_name, require_visible, split
from tarkit.rootfs.passes import Sink, each_layer, has_data, open_layer, read_headers
from tarkit.rootfs.tree import DataLocation
from tarkit.streams import CHUNK_SIZE
from tarkit.tar.epoch import source_date_epoch
from tarkit.tar.member import Member, MemberType
from tarkit.tar.reader import TarReader

_MOST_LAYERS = 24
_MOST_STORED = 12 << 20  # of each layer 1 MiB counts at the most
_LONGEST = 8 << 10  # bytes of a name, as every directory on the way is kept by its path
_AHEAD = 1  # chunk: as fast as four, and each of twelve large layers keeps 6 MiB instead of 12


class UnpredictedError(Exception):
    """Only the merge can tell what comes of this."""


class Witness(Sink, Protocol):
    """Is told of an image's entries, and then gets their data."""

    def see(self, path: bytes, member: Member, link: bytes, place: DataLocation | None) -> None:
        """At *path*, without a slash in front, is the inode whose metadata *member* holds.

        *link* is the first of its names where this is another one; *place* is where its data is,
        which comes next. Raises :class:`UnpredictedError` for what cannot be right.
        """
        ...


def can_be_read_abreast(layers: ImageLayers) -> bool:
    """Whether *layers* can all be open at a time, and are not plain ones, whose headers are read faster."""
    stored = sum(min(layer.descriptor.size, CHUNK_SIZE) for layer in layers.layers)
    return (
        len(layers) <= min(_MOST_LAYERS, layers.most_open)
        and stored <= _MOST_STORED
        and not layers.sequential
        and not layers.are_plain
    )


def read_abreast(layers: ImageLayers, witness: Witness) -> list[list[Member]]:
    """The entries of every layer, bottom first, each layer read once and verified to its end.

    On the way *witness* sees what the image will hold, in the order of
    :meth:`tarkit.rootfs.tree.Tree.walk`, until a layer leaves that order or brings what cannot be
    foreseen. Where layers cannot be had all at a time, they are read without being seen.
    """
    try:
        return _read_together(layers, witness)
    except _CannotOpenError:
        return read_headers(layers, verified=False)


def _read_together(layers: ImageLayers, witness: Witness) -> list[list[Member]]:
    with ExitStack() as stack:
        try:
            readers = [
                stack.enter_context(open_layer(layers, number, _AHEAD))
                for number in range(len(layers))
            ]
        except TarkitError as error:  # of a registry, or for want of threads
            raise _CannotOpenError from error
        cursors = [_Cursor(number, reader) for number, reader in enumerate(readers)]
        try:
            _Foresight(witness).follow(cursors)
        except UnpredictedError:
            each_layer(layers, layers.reading_order(), lambda number: cursors[number].finish())
    return [cursor.read for cursor in cursors]


class _CannotOpenError(Exception):
    """Not all layers can be open at a time, or one of them cannot at all."""


class _Cursor:
    """Layer *number* at one of its entries; ``read`` are those that came so far."""

    def __init__(self, number: int, reader: TarReader) -> None:
        self.number = number
        self.reader = reader
        self.path = b""
        self.read: list[Member] = []
        self._members = iter(reader)
        self._key: bytes | None = None

    def advance(self, shadow: HiddenPaths) -> bool:
        """Go to the next entry that is no whiteout; whether there is one. Whiteouts go into *shadow*.

        They count at once, wherever in the directory they stand: at the name they hide, or at their own.
        """
        for member in self._members:
            self.read.append(member)
            parts = _parts(member.name)
            if WHITEOUT in member.name and _is_whiteout(parts):
                shadow.add(self.number, [member])
                continue
            key = b"\0".join(parts)  # so that what is in a directory comes before its next sibling
            if self._key is not None and key <= self._key:
                raise UnpredictedError
            self._key = key
            self.path = b"/".join(parts)
            self.member = member
            return True
        return False

    @property
    def turn(self) -> tuple[bytes | None, int]:
        """When the entry's turn is: by its path, and with the same one before the layers below."""
        return self._key, -self.number

    def finish(self) -> None:
        """Read what is left."""
        self.read += self._members


class _Foresight:
    """The merge of layers that are in order, entry by entry."""

    def __init__(self, witness: Witness) -> None:
        self._see = witness.see
        self._store = witness.store
        self._shadow = HiddenPaths()
        self._implied = implied_directory((source_date_epoch() or 0) * 1_000_000_000)
        self._directories: set[bytes] = set()
        self._inodes: dict[bytes, tuple[Member, bytes]] = {}  # of all others, with their first name
        self._path: bytes | None = None  # the last one
        # the lowest layer so far that has something else than a directory there
        self._replaced = -1

    def follow(self, cursors: Sequence[_Cursor]) -> None:
        """Go through all layers, to their ends."""
        shadow = self._shadow
        waiting = sorted((each for each in cursors if each.advance(shadow)), key=_turn)
        while waiting:
            cursor = waiting.pop(0)
            others = waiting[0].turn if waiting else None
            self._meet(cursor)
            while cursor.advance(shadow):
                if others is not None and others < cursor.turn:
                    insort(waiting, cursor, key=_turn)
                    break
                self._meet(cursor)

    def _meet(self, cursor: _Cursor) -> None:
        """Take the entry in the front, which is the highest of its path unless that came just before."""
        is_directory = cursor.member.type is MemberType.DIRECTORY
        if cursor.path != self._path:
            self._path, self._replaced = cursor.path, -1
            if not self._shadow.covers(cursor.number, cursor.path):
                self._take(cursor)
        elif is_directory and self._replaced >= 0:
            self._shadow.close(self._replaced, cursor.path)
        if not is_directory:
            self._replaced = cursor.number

    def _take(self, cursor: _Cursor) -> None:
        path, member = cursor.path, cursor.member
        if not path and member.type is not MemberType.DIRECTORY:
            raise UnpredictedError
        parent = path.rpartition(b"/")[0]
        if path and parent not in self._directories:
            self._imply(parent)
        match member.type:
            case MemberType.DIRECTORY:
                self._directories.add(path)
                self._see(path, member, b"", None)
            case MemberType.HARDLINK:
                target = self._inodes.get(b"/".join(_parts(member.linkname)))
                if target is None:
                    raise UnpredictedError
                self._inodes[path] = target
                self._see(path, *target, None)
            case MemberType.OTHER:
                raise UnpredictedError
            case _:
                self._inodes[path] = member, path
                place = (
                    DataLocation(cursor.number, member.data_offset) if has_data(member) else None
                )
                self._see(path, member, b"", place)
                if place is not None:
                    self._store(place, member, cursor.reader.chunks())

    def _imply(self, path: bytes) -> None:
        """See *path*, and what leads to it, as directories that no layer lists."""
        missing = []
        while path not in self._directories:
            if path in self._inodes:
                raise UnpredictedError  # it may be a link to one
            missing.append(path)
            if not path:
                break
            path = path.rpartition(b"/")[0]
        for path in reversed(missing):
            self._directories.add(path)
            self._see(path, self._implied, b"", None)


_turn = attrgetter("turn")


def _parts(name: bytes) -> Parts:
    if name.count(b"/") > MAX_PREDICTED or len(name) > _LONGEST:
        raise UnpredictedError
    return split(name)


def _is_whiteout(parts: Parts) -> bool:
    try:
        require_visible(parts[:-1])
        return hidden_name(parts) is not None
    except MalformedError:
        raise UnpredictedError from None
