"""Extended attributes: in the inode while there is room, then in one block of their own."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tarkit.errors import MalformedError, UnsupportedError
from tarkit.ext4.format import BLOCK, MAX_NAME

INODE_ROOM = 96
CHECKSUM_OFFSET = 16

_MAGIC = 0xEA020000
_ENTRY = struct.Struct("<BBHIII")
_END = 4
_INODE_HEADER = 4
_BLOCK_HEADER = 32
_ACLS = {b"system.posix_acl_access": 2, b"system.posix_acl_default": 3}
_PREFIXES = {b"user.": 1, b"trusted.": 4, b"security.": 6}

_ACL_HEADER = struct.Struct("<I")
_ACL_ENTRY = struct.Struct("<HHI")
_ACL_SHORT_ENTRY = struct.Struct("<HH")
_ACL_TAGS_WITHOUT_ID = (0x01, 0x04, 0x10, 0x20)
_ACL_TAGS_WITH_ID = (0x02, 0x08)


class PackedXattrs(NamedTuple):
    """Attributes as stored: the 96 bytes at the end of the inode, and a block if they need one."""

    in_inode: bytes
    block: bytes | None


@dataclass(frozen=True, slots=True)
class _Attribute:
    index: int
    name: bytes
    value: bytes

    @property
    def size(self) -> int:
        return _ENTRY.size + _padded(len(self.name)) + _padded(len(self.value))


def can_hold(name: bytes) -> bool:
    """Whether ext4 has a place for an attribute called *name*.

    It has no namespace for macOS's, and Linux gives none with a longer name than 255 bytes away.
    """
    return name in _ACLS or any(
        name.startswith(prefix) and len(prefix) < len(name) <= MAX_NAME for prefix in _PREFIXES
    )


def pack_xattrs(xattrs: Mapping[bytes, bytes]) -> PackedXattrs:
    """*xattrs* as an inode stores them.

    Raises :class:`UnsupportedError` for a name ext4 has no place for and for more than fits the
    inode and one block, :class:`MalformedError` for an access control list that is not one.
    """
    attributes = sorted(
        (_attribute(name, value) for name, value in xattrs.items()),
        key=lambda each: (each.index, len(each.name), each.name),
    )
    inside = _most_that_fit(attributes, INODE_ROOM - _INODE_HEADER - _END)
    outside = [attribute for attribute in attributes if attribute not in inside]
    return PackedXattrs(_pack_inode(inside), _pack_block(outside) if outside else None)


def _most_that_fit(attributes: Sequence[_Attribute], room: int) -> Sequence[_Attribute]:
    """Those of *attributes* that fill *room* bytes best, so that the least is left for the block."""
    by_size: dict[int, tuple[_Attribute, ...]] = {0: ()}
    for attribute in attributes:
        for size, chosen in list(by_size.items()):
            if size + attribute.size <= room:
                by_size.setdefault(size + attribute.size, (*chosen, attribute))
    return by_size[max(by_size)]


def entry_hash(name: bytes, value: bytes) -> int:
    """The hash of one attribute in a block, over its name and its value padded to words."""
    result = 0
    for byte in name:
        result = (result << 5 ^ result >> 27 ^ byte) & 0xFFFFFFFF
    padded = value.ljust(_padded(len(value)), b"\0")
    for (word,) in struct.iter_unpack("<I", padded):
        result = (result << 16 ^ result >> 16 ^ word) & 0xFFFFFFFF
    return result


def _block_hash(entry_hashes: list[int]) -> int:
    result = 0
    for value in entry_hashes:
        if not value:
            return 0
        result = (result << 16 ^ result >> 16 ^ value) & 0xFFFFFFFF
    return result


def _padded(size: int) -> int:
    return size + -size % 4


def _attribute(name: bytes, value: bytes) -> _Attribute:
    if not can_hold(name):
        raise UnsupportedError(f"ext4 has no place for the extended attribute {name!r}")
    if name in _ACLS:
        return _Attribute(_ACLS[name], b"", short_acl(value))
    prefix = name[: name.index(b".") + 1]
    return _Attribute(_PREFIXES[prefix], name[len(prefix) :], value)


def short_acl(value: bytes) -> bytes:
    """A POSIX access control list in ext4's form, which leaves out the ids nobody needs."""
    if len(value) < _ACL_HEADER.size or (len(value) - _ACL_HEADER.size) % _ACL_ENTRY.size:
        raise MalformedError(f"an access control list of {len(value)} bytes")
    (version,) = _ACL_HEADER.unpack_from(value)
    if version != 2:
        raise MalformedError(f"an access control list of version {version}, not 2")
    parts = [_ACL_HEADER.pack(1)]
    for tag, permissions, identity in _ACL_ENTRY.iter_unpack(value[_ACL_HEADER.size :]):
        if tag in _ACL_TAGS_WITHOUT_ID:
            parts.append(_ACL_SHORT_ENTRY.pack(tag, permissions))
        elif tag in _ACL_TAGS_WITH_ID:
            parts.append(_ACL_ENTRY.pack(tag, permissions, identity))
        else:
            raise MalformedError(f"an access control list with an entry of kind {tag}")
    return b"".join(parts)


def _pack_inode(attributes: Sequence[_Attribute]) -> bytes:
    if not attributes:
        return bytes(INODE_ROOM)
    room = INODE_ROOM - _INODE_HEADER
    area = _pack_area(attributes, [0] * len(attributes), room, origin=0)
    return _MAGIC.to_bytes(_INODE_HEADER, "little") + area


def _pack_block(attributes: Sequence[_Attribute]) -> bytes:
    room = BLOCK - _BLOCK_HEADER
    needed = sum(attribute.size for attribute in attributes) + _END
    if needed > room:
        raise UnsupportedError(
            f"{needed} bytes of extended attributes where ext4 keeps {room} outside the inode"
        )
    hashes = [entry_hash(each.name, each.value) for each in attributes]
    header = struct.pack("<IIII16x", _MAGIC, 1, 1, _block_hash(hashes))
    return header + _pack_area(attributes, hashes, room, origin=_BLOCK_HEADER)


def _pack_area(
    attributes: Sequence[_Attribute], hashes: Sequence[int], room: int, origin: int
) -> bytes:
    """Entries from the front and values from the back of *room* bytes.

    Offsets of values count from *origin* bytes before the area.
    """
    entries, values = bytearray(), b""
    for attribute, value_hash in zip(attributes, hashes, strict=True):
        values = attribute.value.ljust(_padded(len(attribute.value)), b"\0") + values
        offset = origin + room - len(values) if attribute.value else 0
        entries += _ENTRY.pack(
            len(attribute.name), attribute.index, offset, 0, len(attribute.value), value_hash
        )
        entries += attribute.name.ljust(_padded(len(attribute.name)), b"\0")
    return bytes(entries) + bytes(room - len(entries) - len(values)) + values
