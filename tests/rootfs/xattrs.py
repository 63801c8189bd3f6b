"""Valid and invalid extended attributes."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import replace

from tests.rootfs.layers import Item

NOBODY = 0xFFFFFFFF
ENTRIES = ((1, 6, NOBODY), (2, 4, 1000), (4, 4, NOBODY), (16, 4, NOBODY), (32, 4, NOBODY))


def acl(entries: Sequence[tuple[int, int, int]] = ENTRIES, version: int = 2) -> bytes:
    """Return an access control list in the kernel's format; the default matches mode 0644."""
    return struct.pack("<I", version) + b"".join(struct.pack("<HHI", *each) for each in entries)


def capability(version: int = 2, words: int = 5, flags: int = 1) -> bytes:
    """Return file capabilities with the given number of 32-bit words."""
    return struct.pack(f"<{words}I", version << 24 | flags, 0x400, *[0] * (words - 2))


def attributed(item: Item, **xattrs: str) -> Item:
    """Return *item* with *xattrs*; two underscores in a name stand for a dot."""
    names = {f"SCHILY.xattr.{name.replace('__', '.')}": value for name, value in xattrs.items()}
    return replace(item, pax=names)
