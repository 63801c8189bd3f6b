"""The half-MD4 directory hash, for many names at once.

See "ext4 Data Structures and Algorithms", section 4.3, Directory Entries, Hash Tree Directories.

Every name has a lane of 64 bits in a big integer: 32 for the value, the rest for carries and
shifts. One operation on the integer applies to every name, so hashing a directory of 50,000 entries
takes tens of milliseconds.

Bytes of names are unsigned, as flagged in the superblock's ``s_flags``.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TypeAlias

Seed: TypeAlias = tuple[int, int, int, int]

_CHUNK = 32  # bytes of a name hashed by one transform
_LANE = 8  # bytes of a lane
_END_OF_DIRECTORY = 0xFFFFFFFE  # EXT4_HTREE_EOF_32BIT << 1
_ROUND_2 = 0x5A827999  # sqrt(2), the constant of MD4's second round
_ROUND_3 = 0x6ED9EBA1  # sqrt(3), the constant of the third round


def hash_names(names: Sequence[bytes], seed: Seed) -> list[int]:
    """Return ``hash << 32 | minor hash`` of each name, in the order of *names*.

    *seed* is the superblock's ``s_hash_seed``. The lowest bit of the hash is always clear: in the
    index it marks a leaf that continues the hash of the previous leaf.
    """
    by_chunks: dict[int, list[int]] = {}
    for position, name in enumerate(names):
        by_chunks.setdefault(-(-len(name) // _CHUNK), []).append(position)
    hashes = [0] * len(names)
    for chunks, positions in by_chunks.items():
        data = b"".join([_padded(names[position]) for position in positions])
        for position, value in zip(positions, _hash_group(data, chunks, seed), strict=True):
            hashes[position] = value
    return hashes


def _padded(name: bytes) -> bytes:
    """Pad *name* to whole chunks with the length of its last chunk, as the kernel's str2hashbuf."""
    # The kernel fills up the high bytes of the last word, which is read as big-endian.
    start = (len(name) - 1) // _CHUNK * _CHUNK
    fill = bytes([len(name) - start])
    whole = len(name) // 4 * 4
    rest = name[whole:]
    if rest:
        rest = fill * (4 - len(rest)) + rest
    words = name[:whole] + rest
    return words + fill * (-len(words) % _CHUNK)


def _hash_group(data: bytes, chunks: int, seed: Seed) -> list[int]:
    """Hash names of *chunks* chunks each; *data* is the concatenation of the padded names."""
    stride = chunks * _CHUNK
    count = len(data) // stride
    # A 1 in every lane; a multiple of it has the same value in all lanes.
    ones = int.from_bytes((b"\1" + bytes(_LANE - 1)) * count, "little")
    state = (seed[0] * ones, seed[1] * ones, seed[2] * ones, seed[3] * ones)
    for chunk in range(chunks):
        words = [_lanes(data, chunk * _CHUNK + word, stride, count) for word in range(0, _CHUNK, 4)]
        state = _transform(state, words, ones)
    unpack = struct.Struct(f"<{count}Q").unpack
    majors = unpack(state[1].to_bytes(_LANE * count, "little"))
    minors = unpack(state[2].to_bytes(_LANE * count, "little"))
    return [_usable(major) << 32 | minor for major, minor in zip(majors, minors, strict=True)]


def _usable(major: int) -> int:
    major &= ~1
    # The largest usable hash marks the end of a directory for readdir.
    return major if major < _END_OF_DIRECTORY else major - 2


def _lanes(data: bytes, offset: int, stride: int, count: int) -> int:
    """Return the big-endian word at *offset* of every name, each in its lane."""
    lanes = bytearray(_LANE * count)
    for place in range(4):
        lanes[place::_LANE] = data[offset + 3 - place :: stride]
    return int.from_bytes(lanes, "little")


def _transform(
    state: tuple[int, int, int, int], words: Sequence[int], ones: int
) -> tuple[int, int, int, int]:
    mask = 0xFFFFFFFF * ones

    def turned(total: int, shift: int) -> int:
        total &= mask  # drop the carries of the additions
        return (total << shift | total >> (32 - shift)) & mask

    a, b, c, d = state
    for i in (0, 4):
        a = turned(a + (d ^ b & (c ^ d)) + words[i], 3)
        d = turned(d + (c ^ a & (b ^ c)) + words[i + 1], 7)
        c = turned(c + (b ^ d & (a ^ b)) + words[i + 2], 11)
        b = turned(b + (a ^ c & (d ^ a)) + words[i + 3], 19)
    key = _ROUND_2 * ones
    for i in (1, 0):
        a = turned(a + (b & c | (b ^ c) & d) + words[i] + key, 3)
        d = turned(d + (a & b | (a ^ b) & c) + words[i + 2] + key, 5)
        c = turned(c + (d & a | (d ^ a) & b) + words[i + 4] + key, 9)
        b = turned(b + (c & d | (c ^ d) & a) + words[i + 6] + key, 13)
    key = _ROUND_3 * ones
    for i, j in ((3, 2), (1, 0)):
        a = turned(a + (b ^ c ^ d) + words[i] + key, 3)
        d = turned(d + (a ^ b ^ c) + words[i + 4] + key, 9)
        c = turned(c + (d ^ a ^ b) + words[j] + key, 11)
        b = turned(b + (c ^ d ^ a) + words[j + 4] + key, 15)
    return (state[0] + a & mask, state[1] + b & mask, state[2] + c & mask, state[3] + d & mask)
