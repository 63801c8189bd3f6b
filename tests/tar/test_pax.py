"""pax records: their effects and their limits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarkit.errors import LimitExceededError, MalformedError, UnsupportedError
from tarkit.tar.member import MemberType
from tarkit.tar.pax import MAX_RECORDS, PaxRecord, format_record, format_time, parse_records
from tarkit.tar.scan import MAX_EXTENSION
from tests.tar.blocks import block, extension, file, members, only, padded, pax, record

KEYS = st.binary(min_size=1).filter(lambda key: b"=" not in key and b"\0" not in key)


@given(st.lists(st.builds(PaxRecord, KEYS, st.binary())))
def test_records_survive_writing_and_reading(records: list[PaxRecord]) -> None:
    assert parse_records(b"".join(map(format_record, records))) == records


@pytest.mark.parametrize("length", [*range(1, 12), *range(90, 102), *range(985, 1002)])
def test_the_length_counts_its_own_digits(length: int) -> None:
    text = format_record(PaxRecord(b"k", b"v" * length))
    assert int(text.partition(b" ")[0]) == len(text)


@pytest.mark.parametrize(
    "content",
    [
        b"5 a=b", b"6 a=b\n6 a=b", b"7 a=b\n", b"5 a=b\n", b"0 a=b\n", b"-6 a=b\n", b"99999999 a=b\n",
        b"a=b\n", b" 6 a=b\n", b"6\ta=b\n", b"5 =b\n", b"5 ab\n", b"7 a\0=b\n", b"\0\0\0", b"6 a=b\n\0",
        b"0", b"00 a=b\n", b"+6 a=b\n", b"0" * 5000,
    ],
)  # fmt: skip
def test_broken_records_are_malformed(content: bytes) -> None:
    with pytest.raises(MalformedError):
        only(extension(b"x", content), file(b"file"))


@pytest.mark.parametrize("zeros", [1, 7, 8, 100, 5000])
def test_a_length_may_have_leading_zeros(zeros: int) -> None:
    body = b" mtime=5\n"
    length = next(n for n in range(9, 9999) if n == zeros + len(b"%d" % n) + len(body))
    content = b"0" * zeros + b"%d" % length + body
    assert only(extension(b"x", content), block()).mtime_ns == 5 * 10**9


@pytest.mark.parametrize("number", [b"+7", b"007", b"+007", b"0" * 5000 + b"7"])
def test_numbers_may_have_a_sign_and_leading_zeros(number: bytes) -> None:
    member = only(pax((b"uid", number), (b"size", number)), block(size=0), padded(b"7 bytes"))
    assert (member.uid, member.size) == (7, 7)


def test_records_override_the_header() -> None:
    member = only(
        pax(
            (b"path", b"n" * 300), (b"size", b"3"), (b"uid", b"3000000"), (b"gid", b"4294967295"),
            (b"mtime", b"-1.5"), (b"uname", b"\xc3\xa9"), (b"gname", b"g"), (b"comment", b"no"),
        ),
        block(b"short", size=0),
        padded(b"abc"),
    )  # fmt: skip
    assert (member.name, member.size, member.stored) == (b"n" * 300, 3, 3)
    assert (member.uid, member.gid) == (3_000_000, 0xFFFFFFFF)
    assert (member.uname, member.gname) == (b"\xc3\xa9", b"g")
    assert member.mtime_ns == -1_500_000_000
    assert member.offset == 0


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        (b"1", 10**9), (b"0.5", 5 * 10**8), (b"1.000000001", 10**9 + 1), (b"1.0000000019", 10**9 + 1),
        (b"-0.000000001", -1), (b"-1", -(10**9)), (b"13569465600.25", 13569465600 * 10**9 + 25 * 10**7),
        (b"7.", 7 * 10**9), (b"+5", 5 * 10**9), (b"+0.25", 25 * 10**7), (b"-0", 0), (b"00", 0),
        (b"0" * 5000 + b"5.25", 525 * 10**7), (b"-" + b"0" * 40 + b"5", -5 * 10**9), (b"0" * 40, 0),
        (b"1.5" + b"0" * 5000, 15 * 10**8), (b"-0." + b"9" * 5000, -999_999_999),
    ],
)  # fmt: skip
def test_times_to_the_nanosecond(text: bytes, nanoseconds: int) -> None:
    assert only(pax((b"mtime", text)), block()).mtime_ns == nanoseconds


@given(st.integers(-(1 << 70), 1 << 70))
def test_times_survive_writing_and_reading(nanoseconds: int) -> None:
    assert only(pax((b"mtime", format_time(nanoseconds))), block()).mtime_ns == nanoseconds


def test_of_a_long_time_only_the_nanoseconds_are_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    remembered: dict[bytes, int] = {}
    monkeypatch.setattr(
        "tarkit.tar.pax._nanoseconds", lambda value: remembered.setdefault(value, 0)
    )
    only(pax((b"mtime", b"0" * 5000 + b"1.5" + b"0" * 5000)), block())
    assert list(remembered) == [b"1.500000000"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"size", b"-1"), (b"size", b"9223372036854775808"), (b"size", b"1e3"), (b"size", b"0x10"),
        (b"size", b" 1"), (b"size", b"1" * 5000), (b"uid", b"4294967296"), (b"uid", b"-2147483649"),
        (b"gid", b"root"), (b"mtime", b"soon"), (b"mtime", b".5"), (b"mtime", b"+"),
        (b"mtime", b"+-5"), (b"mtime", b"5.+5"), (b"uid", b"+"), (b"uid", b"--5"), (b"mtime", b"9" * 20),
        (b"mtime", b"1." + b"0" * 5000 + b"x"), (b"mtime", b"1" * 5000), (b"mtime", b"1." + b"0" * 40 + b".1"),
        (b"path", b"a\0b"), (b"linkpath", b"a\0b"), (b"uname", b"\0"),
        (b"SCHILY.devmajor", b"-1"), (b"SCHILY.devminor", b"4294967296"),
        (b"SCHILY.xattr.", b"v"), (b"LIBARCHIVE.xattr.user.a", b"not base64!"),
        (b"LIBARCHIVE.xattr.user.%00", b"AA"),
    ],
)  # fmt: skip
def test_absurd_values_are_malformed(key: bytes, value: bytes) -> None:
    with pytest.raises(MalformedError):
        only(pax((key, value)), block(flag=b"2" if key == b"linkpath" else b"0"))


def test_an_empty_value_keeps_the_value_of_the_header() -> None:
    member = only(pax((b"path", b""), (b"uid", b""), (b"size", b"")), file(b"name", b"abc"))
    assert (member.name, member.uid, member.size) == (b"name", 0, 3)


def test_the_last_of_two_records_counts() -> None:
    assert only(pax((b"path", b"one"), (b"path", b"two")), block()).name == b"two"


def test_a_size_is_for_files_only() -> None:
    after = file(b"after")
    first, second = members(pax((b"size", b"512")), block(b"dir/", flag=b"5"), after)
    assert (first.size, first.stored, second.name) == (0, 0, b"after")


def test_a_link_path_is_for_links_only() -> None:
    assert only(pax((b"linkpath", b"t" * 300)), block(flag=b"2")).linkname == b"t" * 300
    assert only(pax((b"linkpath", b"target")), block(flag=b"0")).linkname == b""


def test_large_device_numbers() -> None:
    records = pax((b"SCHILY.devmajor", b"4000000"), (b"SCHILY.devminor", b"5"))
    member = only(records, block(flag=b"4"))
    assert (member.devmajor, member.devminor) == (4_000_000, 5)


@pytest.mark.parametrize(
    ("value", "expected"), [(b"1e-09", 1), (b"-2.5e-05", -25_000), (b"9.99e-10", 0)]
)
def test_tiny_times_as_python_writes_them(value: bytes, expected: int) -> None:
    assert only(pax((b"mtime", value)), block()).mtime_ns == expected


@pytest.mark.parametrize("value", [b"1e9", b"1e-9", b"12e-09", b"e-09", b"1e-999"])
def test_times_in_other_notations_are_malformed(value: bytes) -> None:
    with pytest.raises(MalformedError, match="malformed pax time"):
        only(pax((b"mtime", value)), block())


def test_names_stay_bytes_in_any_character_set() -> None:
    records = pax((b"hdrcharset", b"BINARY"), (b"path", b"caf\xe9"))
    assert only(records, block()).name == b"caf\xe9"


def test_extended_attributes_in_both_spellings() -> None:
    member = only(
        pax(
            (b"SCHILY.xattr.user.raw", b"\0=\n\xff"),
            (b"SCHILY.xattr.user.empty", b""),
            (b"SCHILY.xattr.user.a%3Db%25c%20", b"escaped"),
            (b"LIBARCHIVE.xattr.user.%e4%20b", b"AAE"),
            (b"LIBARCHIVE.xattr.user.raw", b"b3RoZXI="),
        ),
        block(),
    )
    assert member.xattrs == {
        b"user.raw": b"\0=\n\xff",
        b"user.empty": b"",
        b"user.a=b%c%20": b"escaped",
        b"user.\xe4 b": b"\0\x01",
    }


def test_gnu_long_names_win_over_pax_and_end_at_their_nul() -> None:
    member = only(
        pax((b"path", b"pax"), (b"linkpath", b"pax")),
        extension(b"L", b"n" * 200 + b"\0\0"),
        extension(b"K", b"t" * 200),
        block(b"header", flag=b"1", linkname=b"header"),
    )
    assert (member.name, member.linkname) == (b"n" * 200, b"t" * 200)


def test_solaris_calls_its_extended_header_by_a_capital_letter() -> None:
    assert only(extension(b"X", record(b"path", b"sun")), block()).name == b"sun"


def test_a_global_header_applies_to_all_later_members() -> None:
    first, second, third = members(
        file(b"first"),
        pax((b"uid", b"7"), (b"mtime", b"5"), (b"comment", b"x"), flag=b"g"),
        file(b"second"),
        pax((b"uid", b"8")),
        file(b"third"),
    )
    assert [first.uid, second.uid, third.uid] == [0, 7, 8]
    assert [first.mtime_ns, second.mtime_ns, third.mtime_ns] == [0, 5 * 10**9, 5 * 10**9]


def test_an_empty_value_cancels_a_global_header() -> None:
    [member] = members(pax((b"uid", b"7"), flag=b"g"), pax((b"uid", b""), flag=b"g"), file(b"a"))
    assert member.uid == 0


@pytest.mark.parametrize(
    "key", [b"path", b"linkpath", b"size", b"GNU.sparse.size", b"SCHILY.xattr.a"]
)
def test_a_global_header_that_makes_all_members_the_same_is_refused(key: bytes) -> None:
    with pytest.raises(UnsupportedError, match="every member"):
        members(pax((key, b"1"), flag=b"g"), file(b"a"))


@pytest.mark.parametrize("flag", [b"x", b"g", b"L", b"K", b"X"])
def test_an_extended_header_beyond_the_limit_is_not_read(flag: bytes) -> None:
    with pytest.raises(LimitExceededError) as caught:
        members(block(flag=flag, size=MAX_EXTENSION + 1))
    assert caught.value.limit == MAX_EXTENSION


def test_global_headers_are_limited_in_total() -> None:
    one = pax((b"comment", b"x" * (MAX_EXTENSION // 4)), flag=b"g")
    with pytest.raises(LimitExceededError, match="global"):
        members(one * 4, file(b"a"))


def test_an_extended_header_at_the_limit_is_read() -> None:
    value = b"v" * (MAX_EXTENSION - 20)
    assert only(pax((b"SCHILY.xattr.a", value[: -len(b"SCHILY.xattr.a")])), block()).xattrs


def test_a_link_is_not_a_file() -> None:
    assert only(pax((b"path", b"l")), block(flag=b"2", linkname=b"t")).type is MemberType.SYMLINK


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, b"0.0"),
        (-5 * 10**9, b"-5.0"),
        (10**10 * 10**9, b"10000000000.0"),
        (-1_500_000_000, b"-1.5"),
    ],
)
def test_times_have_at_least_one_decimal(nanoseconds: int, text: bytes) -> None:
    """mksquashfs rejects times without one."""
    assert format_time(nanoseconds) == text


def test_an_extended_header_holds_a_limited_number_of_records() -> None:
    assert len(parse_records(b"5 a=\n" * MAX_RECORDS)) == MAX_RECORDS
    with pytest.raises(LimitExceededError, match="more than 50000 records"):
        parse_records(b"5 a=\n" * (MAX_RECORDS + 1))
