"""One header block, in every dialect and with every kind of damage."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarkit.errors import MalformedError
from tarkit.tar.header import MAX_SIZE, number
from tarkit.tar.member import MemberType
from tests.tar.blocks import GNU, USTAR, V7, block, extension, file, members, only, pax


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (b"0000644\0", 0o644),
        (b"0000644 ", 0o644),
        (b"000644 \0", 0o644),
        (b"   644 \0", 0o644),
        (b"644\0\0\0\0\0", 0o644),
        (b"\0\0\0\x00644\0", 0o644),
        (b"7777777 ", 0o7777777),
        (b"77777777", 0o77777777),
        (b"644\0junk", 0o644),
        (b"644 \0unk", 0o644),
        (bytes(8), 0),
        (b" " * 8, 0),
        (b"\x80\0\0\0\0\0\x01\0", 256),
        (b"\xff" * 8, -1),
        (b"\xff" * 7 + b"\0", -256),
        (b"\xbf" + b"\xff" * 7, (1 << 62) - 1),
        (b"\xc0" + bytes(7), -(1 << 62)),
    ],
)
def test_number_fields_in_use_are_decoded(field: bytes, value: int) -> None:
    assert number(field) == value


@pytest.mark.parametrize(
    "field",
    [
        b"0000648\0",
        b"-000644\0",
        b"+000644\0",
        b"0o00644\0",
        b"00_0644\0",
        b"64 4   \0",
        b"0x10   \0",
    ],
)
def test_other_number_fields_are_malformed(field: bytes) -> None:
    with pytest.raises(MalformedError, match="number field"):
        number(field)


@given(st.integers(-(1 << 94), (1 << 94) - 1))
def test_base_256_holds_any_number_of_its_size(value: int) -> None:
    field = bytearray((value % (1 << 96)).to_bytes(12, "big"))
    field[0] |= 0x80
    assert number(bytes(field)) == value


@pytest.mark.parametrize("magic", [USTAR, GNU, V7])
def test_the_same_file_in_three_dialects(magic: bytes) -> None:
    member = only(file(b"a/file", b"data", magic=magic, uid=b"0001750\0", mtime=b"00000000012\0"))
    assert (member.name, member.type, member.mode) == (b"a/file", MemberType.FILE, 0o644)
    assert (member.uid, member.size, member.mtime_ns) == (1000, 4, 10_000_000_000)
    assert (member.offset, member.data_offset, member.stored) == (0, 512, 4)


@pytest.mark.parametrize(
    ("flag", "kind"),
    [
        (b"0", MemberType.FILE), (b"\0", MemberType.FILE), (b"7", MemberType.FILE),
        (b"1", MemberType.HARDLINK), (b"2", MemberType.SYMLINK), (b"3", MemberType.CHAR),
        (b"4", MemberType.BLOCK), (b"5", MemberType.DIRECTORY), (b"6", MemberType.FIFO),
        (b"V", MemberType.OTHER), (b"\xff", MemberType.OTHER),
    ],
)  # fmt: skip
def test_type_flags(flag: bytes, kind: MemberType) -> None:
    assert only(block(flag=flag)).type is kind


@pytest.mark.parametrize("flag", [b"\0", b"0", b"7"])
@pytest.mark.parametrize("magic", [V7, USTAR, GNU])
def test_a_regular_file_whose_name_ends_in_a_slash_is_a_directory(
    flag: bytes, magic: bytes
) -> None:
    member = only(block(b"dir/", flag=flag, magic=magic, mode=b"0000700\0", uid=b"0000007\0"))
    assert (member.type, member.mode, member.uid) == (MemberType.DIRECTORY, 0o700, 7)


@pytest.mark.parametrize("extended", [pax((b"path", b"dir/")), extension(b"L", b"dir/\0")])
def test_the_slash_may_be_in_an_extended_name(extended: bytes) -> None:
    assert only(extended, block(b"dir")).type is MemberType.DIRECTORY


@pytest.mark.parametrize("size", [1, 512, 513])
def test_the_data_of_a_directory_is_skipped(size: int) -> None:
    first, second = members(file(b"dir/", b"x" * size), file(b"after", b"abc"))
    assert (first.type, first.size, first.stored) == (MemberType.DIRECTORY, 0, 0)
    assert (second.name, second.size) == (b"after", 3)


def test_a_slash_makes_no_directory_of_other_types() -> None:
    assert only(block(b"l/", flag=b"2", linkname=b"t")).type is MemberType.SYMLINK
    assert only(block(b"o/", flag=b"V")).type is MemberType.OTHER


def test_whether_the_slash_counts_is_decided_on_the_whole_name() -> None:
    short = block(b"d" * 99 + b"/", flag=b"\0", size=3)
    member = only(extension(b"L", b"d" * 99 + b"/file\0"), short, b"abc".ljust(512, b"\0"))
    assert (member.type, member.size) == (MemberType.FILE, 3)


@pytest.mark.parametrize("flag", [b"1", b"2", b"3", b"4", b"5", b"6"])
def test_only_files_have_data_despite_a_size_in_the_header(flag: bytes) -> None:
    member = only(block(flag=flag, size=1 << 30, linkname=b"target"))
    assert (member.size, member.stored) == (0, 0)


def test_links_have_a_target_and_nothing_else_does() -> None:
    assert only(block(flag=b"2", linkname=b"a" * 100)).linkname == b"a" * 100
    assert only(block(flag=b"0", linkname=b"ignored")).linkname == b""


def test_owners_and_devices() -> None:
    tail = b"root".ljust(32, b"\0") + b"wheel".ljust(32, b"\0") + b"0000010\x000000003\0"
    member = only(block(flag=b"3", tail=tail))
    assert (member.uname, member.gname) == (b"root", b"wheel")
    assert (member.devmajor, member.devminor) == (8, 3)


def test_a_v7_header_ends_with_the_link_name() -> None:
    member = only(block(flag=b"0", magic=V7, tail=b"x" * 200))
    assert (member.name, member.uname) == (b"file", b"")


def test_device_numbers_count_only_for_devices() -> None:
    tail = bytes(64) + b"garbage\0garbage\0"
    assert only(block(flag=b"0", tail=tail)).devmajor == 0
    with pytest.raises(MalformedError):
        only(block(flag=b"4", tail=tail))


@pytest.mark.parametrize("major", [b"\xff" * 8, b"\x80\0\0\1\0\0\0\0"])
def test_device_numbers_have_32_bits(major: bytes) -> None:
    with pytest.raises(MalformedError, match=r"device number out of range: (-1|4294967296)$"):
        only(block(flag=b"3", tail=bytes(64) + major + b"0000000\0"))


def test_a_ustar_prefix_is_joined_with_a_slash() -> None:
    assert only(block(b"name", tail=bytes(80) + b"p" * 155)).name == b"p" * 155 + b"/name"


def test_gnu_has_times_instead_of_the_prefix() -> None:
    times = b"14000000000\x0014000000000\0"
    assert only(block(b"name", magic=GNU, tail=bytes(80) + times)).name == b"name"
    assert only(block(b"name", magic=GNU, tail=bytes(80) + b"\x80" + bytes(11))).name == b"name"


def test_a_prefix_under_gnu_magic_is_read_as_go_before_1_8_meant_it() -> None:
    assert only(block(b"name", magic=GNU, tail=bytes(80) + b"some/dir")).name == b"some/dir/name"


def test_names_need_no_nul_and_end_at_the_first() -> None:
    assert only(block(b"n" * 100)).name == b"n" * 100
    assert only(block(b"name\0garbage")).name == b"name"
    assert only(block(b"caf\xe9\xff")).name == b"caf\xe9\xff"


def test_mode_is_the_permission_bits() -> None:
    assert only(block(mode=b"0106755\0")).mode == 0o6755


def test_checksums_of_signed_characters_are_accepted() -> None:
    good = block(b"caf\xe9")
    signed = int(good[148:154], 8) - 256
    assert only(block(b"caf\xe9", checksum=b"%06o\0 " % signed)).name == b"caf\xe9"


@given(st.integers(0, 511), st.integers(1, 255))
def test_no_changed_byte_goes_unnoticed(position: int, change: int) -> None:
    damaged = bytearray(block(b"name", size=0, tail=b"root"))
    damaged[position] ^= change
    in_checksum = 148 <= position < 156
    try:
        member = only(bytes(damaged))
    except MalformedError:
        return
    assert in_checksum, "only the padding of the checksum itself may change"
    assert member.name == b"name"


@pytest.mark.parametrize(
    "size",
    [b"\xff" * 12, b"\x80" + b"\xff" * 11, b"\x80" + (MAX_SIZE + 1).to_bytes(11, "big"), b"-0000000001\0"],
)  # fmt: skip
def test_sizes_out_of_range_are_malformed(size: bytes) -> None:
    with pytest.raises(MalformedError):
        only(block(size=size))


def test_negative_owners_wrap_as_chown_wraps_them() -> None:
    assert only(block(uid=b"\xff" * 7 + b"\xfe")).uid == 0xFFFFFFFE
    with pytest.raises(MalformedError, match="group ID"):
        only(block(uid=b"\x80\0\0\x01\0\0\0\0"))


def test_times_may_be_negative_but_not_absurd() -> None:
    assert only(block(mtime=b"\xff" * 12)).mtime_ns == -1_000_000_000
    with pytest.raises(MalformedError, match="time"):
        only(block(mtime=b"\xa0" + bytes(11)))
