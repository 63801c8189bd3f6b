"""Extended attributes, stored in the inode and, if they do not fit, in one more block.

See "ext4 Data Structures and Algorithms", section 4.4, Extended Attributes.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tarkit.errors import MalformedError, UnsupportedError
from tarkit.ext4.format import BLOCK, MAX_NAME
from tarkit.values import dataclass

INODE_ROOM = 96
CHECKSUM_OFFSET = 0x10  # h_checksum

# struct ext4_xattr_entry up to the name: e_name_len, e_name_index, e_value_offs, e_value_inum,
# e_value_size, e_hash
_ENTRY = struct.Struct("<BBHIII")
# struct ext4_xattr_header: h_magic, h_refcount, h_blocks, h_hash; h_checksum, h_reserved
_BLOCK_HEADER = struct.Struct("<IIII16x")
_INODE_HEADER = struct.Struct("<I")  # struct ext4_xattr_ibody_header: h_magic
_MAGIC = 0xEA020000  # h_magic
_END = 4  # four zero bytes end the entries
# e_name_index
_ACLS = {b"system.posix_acl_access": 2, b"system.posix_acl_default": 3}
_PREFIXES = {b"user.": 1, b"trusted.": 4, b"security.": 6}

# Access control lists: Linux and ext4 use the same structs, but different versions.
_ACL_HEADER = struct.Struct("<I")  # a_version
_ACL_LINUX_VERSION, _ACL_EXT4_VERSION = 2, 1
_ACL_ENTRY = struct.Struct("<HHI")  # e_tag, e_perm, e_id
_ACL_SHORT_ENTRY = struct.Struct("<HH")  # e_tag, e_perm
_ACL_TAGS_WITHOUT_ID = (0x01, 0x04, 0x10, 0x20)  # ACL_USER_OBJ, _GROUP_OBJ, _MASK, _OTHER
_ACL_TAGS_WITH_ID = (0x02, 0x08)  # ACL_USER, ACL_GROUP


class PackedXattrs(NamedTuple):
    """Attributes as stored: the last 96 bytes of the inode, and a block or None."""

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
    """Return True if ext4 can store an attribute called *name*.

    ext4 has no namespace for the attributes of macOS, and Linux cannot read names longer than
    255 bytes.
    """
    return name in _ACLS or any(
        name.startswith(prefix) and len(prefix) < len(name) <= MAX_NAME for prefix in _PREFIXES
    )


def pack_xattrs(xattrs: Mapping[bytes, bytes]) -> PackedXattrs:
    """Pack *xattrs* into the inode and, if necessary, a block.

    Raises :class:`UnsupportedError` if ext4 cannot store a name or if the attributes do not fit,
    and :class:`MalformedError` if an access control list is malformed.
    """
    # The kernel searches a block by index, length and name, and relies on this order.
    attributes = sorted(
        (_attribute(name, value) for name, value in xattrs.items()),
        key=lambda each: (each.index, len(each.name), each.name),
    )
    inside = _fill(attributes, INODE_ROOM - _INODE_HEADER.size - _END)
    outside = [attribute for attribute in attributes if attribute not in inside]
    return PackedXattrs(_pack_inode(inside), _pack_block(outside) if outside else None)


def _fill(attributes: Sequence[_Attribute], room: int) -> Sequence[_Attribute]:
    """Choose the *attributes* that fill *room* bytes best, so that the block holds the fewest."""
    # A knapsack by dynamic programming; room is less than 96 bytes, so there are few sizes.
    by_size: dict[int, tuple[_Attribute, ...]] = {0: ()}
    for attribute in attributes:
        for size, chosen in list(by_size.items()):
            if size + attribute.size <= room:
                by_size.setdefault(size + attribute.size, (*chosen, attribute))
    return by_size[max(by_size)]


def entry_hash(name: bytes, value: bytes) -> int:
    """Return the ``e_hash`` of an attribute, computed over its name and its padded value."""
    result = 0
    for byte in name:
        result = (result << 5 ^ result >> 27 ^ byte) & 0xFFFFFFFF
    padded = value.ljust(_padded(len(value)), b"\0")
    for (word,) in struct.iter_unpack("<I", padded):
        result = (result << 16 ^ result >> 16 ^ word) & 0xFFFFFFFF
    return result


def _block_hash(entry_hashes: list[int]) -> int:
    result = 0
    # The kernel combines the entry hashes in this way to find identical blocks.
    for value in entry_hashes:
        if not value:  # h_hash 0: the kernel does not share this block between inodes
            return 0
        result = (result << 16 ^ result >> 16 ^ value) & 0xFFFFFFFF
    return result


def _padded(size: int) -> int:
    return size + -size % 4


def _attribute(name: bytes, value: bytes) -> _Attribute:
    if not can_hold(name):
        raise UnsupportedError(f"ext4 has no namespace for the extended attribute {name!r}")
    if name in _ACLS:
        return _Attribute(_ACLS[name], b"", short_acl(value))
    prefix = name[: name.index(b".") + 1]
    return _Attribute(_PREFIXES[prefix], name[len(prefix) :], value)


def short_acl(value: bytes) -> bytes:
    """Convert a POSIX access control list to ext4's form, which omits unused ids."""
    if len(value) < _ACL_HEADER.size or (len(value) - _ACL_HEADER.size) % _ACL_ENTRY.size:
        raise MalformedError(f"access control list has an invalid size of {len(value)} bytes")
    (version,) = _ACL_HEADER.unpack_from(value)
    if version != _ACL_LINUX_VERSION:
        raise MalformedError(f"access control list has version {version}, not 2")
    parts = [_ACL_HEADER.pack(_ACL_EXT4_VERSION)]
    for tag, permissions, identity in _ACL_ENTRY.iter_unpack(value[_ACL_HEADER.size :]):
        if tag in _ACL_TAGS_WITHOUT_ID:
            parts.append(_ACL_SHORT_ENTRY.pack(tag, permissions))
        elif tag in _ACL_TAGS_WITH_ID:
            parts.append(_ACL_ENTRY.pack(tag, permissions, identity))
        else:
            raise MalformedError(f"access control list has an entry with unknown tag {tag}")
    return b"".join(parts)


def _pack_inode(attributes: Sequence[_Attribute]) -> bytes:
    if not attributes:
        return bytes(INODE_ROOM)
    room = INODE_ROOM - _INODE_HEADER.size
    # Entries in the inode have no hashes, and their offsets count from the first entry.
    area = _pack_area(attributes, [0] * len(attributes), room, origin=0)
    return _INODE_HEADER.pack(_MAGIC) + area


def _pack_block(attributes: Sequence[_Attribute]) -> bytes:
    room = BLOCK - _BLOCK_HEADER.size
    needed = sum(attribute.size for attribute in attributes) + _END
    if needed > room:
        raise UnsupportedError(
            f"{needed} bytes of extended attributes do not fit the {room} bytes outside the inode"
        )
    hashes = [entry_hash(each.name, each.value) for each in attributes]
    header = _BLOCK_HEADER.pack(_MAGIC, 1, 1, _block_hash(hashes))
    return header + _pack_area(attributes, hashes, room, origin=_BLOCK_HEADER.size)


def _pack_area(
    attributes: Sequence[_Attribute], hashes: Sequence[int], room: int, origin: int
) -> bytes:
    """Pack entries at the front and values at the back of *room* bytes.

    ``e_value_offs`` counts from *origin* bytes before the area.
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
