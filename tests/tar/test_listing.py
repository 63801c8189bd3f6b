"""Listings: members as columns, in memory and as a file."""

from __future__ import annotations

import hashlib
import io
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarkit.errors import MalformedError
from tarkit.image.digest import Digest
from tarkit.tar.listing import Listing
from tarkit.tar.listing_file import _HEAD, _SECTION, _SECTIONS, pack, unpack
from tarkit.tar.member import Member, MemberType, Segment
from tarkit.tar.reader import TarReader
from tarkit.tar.writer import TarWriter

DIFF_ID = Digest("sha256", "ab" * 32)
NAMES = st.sampled_from(
    [b"a", b"a/b", b"a/c", b"a/d/", b"/abs", b"../up", b"./x", b"a//b", b"\xff\n", b"d/", b"."]
)
NUMBERS = st.sampled_from([0, 1, 1000, 2**21, 2**32 - 1])
TIMES = st.sampled_from([0, -1, 1_700_000_000 * 10**9, 1_234_567_891, 2**63, -(2**70)])


@st.composite
def members(draw: st.DrawFn) -> Member:
    kind = draw(st.sampled_from(sorted(MemberType, key=lambda kind: kind.value)[:7]))
    name = draw(NAMES)
    if kind is MemberType.FILE:
        name = name.rstrip(b"/")
    size = draw(st.integers(0, 600)) if kind is MemberType.FILE else 0
    sparse = None
    if size and draw(st.booleans()):
        sparse = (Segment(0, size // 2),) if size > 1 else ()
    return Member(
        name,
        kind,
        draw(st.integers(0, 0o7777)),
        draw(NUMBERS),
        draw(NUMBERS),
        size,
        draw(TIMES),
        draw(NAMES) if kind.is_link else b"",
        draw(st.sampled_from([b"", b"root", b"\xe9"])),
        xattrs=draw(st.dictionaries(st.sampled_from([b"user.a", b"user.b"]), st.binary())),
        sparse=sparse,
    )


def archive(entries: list[Member]) -> bytes:
    output = io.BytesIO()
    with TarWriter(output) as writer:
        for member in entries:
            stored = member.size
            if member.sparse is not None:
                stored = sum(segment.length for segment in member.sparse)
            writer.add(member, bytes(stored))
    return output.getvalue()


def read(data: bytes) -> Listing:
    return TarReader(io.BytesIO(data)).listing()


def same(one: Listing, other: Listing) -> bool:
    return list(one) == list(other) and one.special == other.special


@given(st.lists(members(), max_size=20))
def test_a_listing_has_the_members_that_a_reader_yields(entries: list[Member]) -> None:
    data = archive(entries)
    expected = list(TarReader(io.BytesIO(data)))
    found = read(data)
    assert list(found) == expected
    assert [found[at] for at in reversed(range(len(found)))] == expected[::-1]
    appended = Listing()
    for member in expected:
        appended.append(member)
    assert same(appended, found)
    assert [found.find_data(each.data_offset) for each in expected] == list(range(len(expected)))


@given(st.lists(members(), max_size=20))
def test_a_file_gives_the_same_listing(entries: list[Member]) -> None:
    listing = read(archive(entries))
    assert same(unpack(pack(listing, DIFF_ID), DIFF_ID), listing)


def sample() -> bytes:
    entries = [Member(b"d/", MemberType.DIRECTORY, 0o755)]
    entries += [Member(b"d/f%d" % number, size=number, mtime_ns=number) for number in range(50)]
    entries += [Member(b"l", MemberType.SYMLINK, linkname=b"d"), Member(b"x", xattrs={b"a": b"b"})]
    return pack(read(archive(entries)), DIFF_ID)


SAMPLE = sample()


@given(st.integers(0, len(SAMPLE) - 1), st.integers(1, 255), st.booleans())
def test_a_damaged_file_is_rejected(at: int, change: int, cut: bool) -> None:
    changed = SAMPLE[:at] if cut else SAMPLE[:at] + bytes([SAMPLE[at] ^ change]) + SAMPLE[at + 1 :]
    with pytest.raises(MalformedError, match="not the index of this layer"):
        unpack(changed, DIFF_ID)


def test_the_file_of_another_layer_is_rejected() -> None:
    with pytest.raises(MalformedError, match="not the index of this layer"):
        unpack(SAMPLE, Digest("sha256", "cd" * 32))


def parts() -> tuple[bytes, list[bytes]]:
    """Return the header of the sample and its sections, not compressed."""
    *_, length, _ = _HEAD.unpack_from(SAMPLE)
    at = _HEAD.size + length
    head, table = SAMPLE[:at], SAMPLE[at : at + _SECTIONS * _SECTION.size]
    at += len(table)
    sections = []
    for packed, _ in _SECTION.iter_unpack(table):
        sections.append(zlib.decompress(SAMPLE[at : at + packed]))
        at += packed
    return head, sections


def joined(head: bytes, sections: list[bytes]) -> bytes:
    """Return a file with a correct digest, as an attacker would write it."""
    packed = [zlib.compress(section) for section in sections]
    sizes = [_SECTION.pack(len(one), len(two)) for one, two in zip(packed, sections, strict=True)]
    body = b"".join([head, *sizes, *packed])
    return body + hashlib.sha256(body).digest()


def test_the_sample_is_a_file_that_an_attacker_can_write() -> None:
    assert same(unpack(joined(*parts()), DIFF_ID), unpack(SAMPLE, DIFF_ID))


@given(st.data())
def test_a_hostile_file_is_rejected_or_gives_whole_members(data: st.DataObject) -> None:
    head, sections = parts()
    which = data.draw(st.integers(0, len(sections)))
    if which == len(sections):
        count = data.draw(st.integers(0, 2**32 - 1))
        head = head[:12] + count.to_bytes(4, "little") + head[16:]
    else:
        section = bytearray(sections[which])
        at = data.draw(st.integers(0, len(section) - 1))
        section[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=9))
        sections[which] = bytes(section)
    try:
        listing = unpack(joined(head, sections), DIFF_ID)
    except MalformedError:
        return
    assert len(list(listing)) == len(listing)
    assert all(member.stored >= 0 and member.data_offset >= 0 for member in listing)


def test_a_small_file_does_not_take_much_memory() -> None:
    head, sections = parts()
    sections[0] = bytes(100 << 20)
    with pytest.raises(MalformedError):
        unpack(joined(head, sections), DIFF_ID)


def test_the_columns_are_small() -> None:
    entries = [Member(b"usr/d%d/f%d" % (n // 20, n), mtime_ns=n * 10**9) for n in range(5000)]
    assert len(pack(read(archive(entries)), DIFF_ID)) < 25 * len(entries)
