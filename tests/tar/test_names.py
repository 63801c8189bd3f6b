"""Lookups by name, and links to members, missing targets, loops and outside targets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarkit.errors import MemberNotFoundError, UnsafePathError
from tarkit.tar.member import Member, MemberType
from tarkit.tar.names import MAX_HOPS, MemberNames, clean


def symlink(name: bytes, target: bytes, offset: int = 0) -> Member:
    return Member(name, MemberType.SYMLINK, linkname=target, offset=offset)


def hardlink(name: bytes, target: bytes, offset: int = 0) -> Member:
    return Member(name, MemberType.HARDLINK, linkname=target, offset=offset)


@pytest.mark.parametrize(
    ("name", "cleaned"),
    [
        (b"x", b"x"), (b"./x", b"x"), (b"a/../x", b"x"), (b"a//b/./c/", b"a/b/c"), (b".", b""),
        (b"a/b/../../c", b"c"), (b"..", None), (b"../x", None), (b"a/../../a", None), (b"/x", b"x"),
        (b"//a//x", b"a/x"), (b"/", b""), (b"/../x", None), (b"/a/../x", b"x"),
        (b"", b""), (b"...", b"..."), (b"caf\xe9", b"caf\xe9"),
    ],
)  # fmt: skip
def test_cleaning(name: bytes, cleaned: bytes | None) -> None:
    assert clean(name) == cleaned


@given(st.lists(st.sampled_from([b"a", b"b", b".", b"..", b""])).map(b"/".join))
def test_cleaning_is_idempotent_and_stays_inside(name: bytes) -> None:
    cleaned = clean(name)
    if cleaned is not None:
        assert clean(cleaned) == cleaned
        assert not {b"..", b"."} & set(cleaned.split(b"/"))


def test_names_compare_clean_on_both_sides() -> None:
    member = Member(b"./blobs//sha256/x")
    names = MemberNames([member])
    for name in ("blobs/sha256/x", b"./blobs/sha256/x", "a/../blobs/sha256/x", "blobs/sha256/x/"):
        assert names.find(name) is member


def test_members_outside_the_archive_are_not_found() -> None:
    names = MemberNames([Member(b"/../passwd"), Member(b"../up")])
    for name in ("passwd", "up", ""):
        assert names.find(name) is None
    for name in ("/../passwd", "/etc/passwd", "../up", "x/../../up"):
        with pytest.raises(UnsafePathError, match="leads out of the archive"):
            names.find(name)


@pytest.mark.parametrize("stored", [b"v1/layer.tar", b"/v1/layer.tar", b"./v1//layer.tar"])
@pytest.mark.parametrize("asked", ["v1/layer.tar", "/v1/layer.tar", "//./v1/layer.tar"])
def test_a_leading_slash_stands_for_the_root_of_the_archive(stored: bytes, asked: str) -> None:
    member = Member(stored)
    assert MemberNames([member]).find(asked) is member


@pytest.mark.parametrize("stored", [b"v1/layer.tar", rb"v1\layer.tar", rb"\v1\layer.tar"])
@pytest.mark.parametrize("asked", ["v1/layer.tar", r"v1\layer.tar", r".\v1\x\..\layer.tar"])
def test_backslashes_are_slashes_if_no_member_has_the_name(stored: bytes, asked: str) -> None:
    member = Member(stored)
    assert MemberNames([member]).find(asked) is member


def test_the_name_as_it_is_comes_before_its_backslashes() -> None:
    plain, slashed = Member(rb"a\b", offset=1), Member(b"a/b", offset=2)
    names = MemberNames([plain, slashed])
    assert names.find(r"a\b") is plain
    assert names.find("a/b") is slashed


def test_backslashes_do_not_lead_outside() -> None:
    names = MemberNames([Member(rb"..\up"), Member(b"up")])
    assert names.find(r"x\..\..\up") is None


@pytest.mark.parametrize(
    ("link", "target"),
    [
        (b"v1/layer.tar", b"/layers/x.tar"),
        (b"/v1/layer.tar", b"/layers/x.tar"),
        (b"/v1/layer.tar", b"../layers/x.tar"),
        (b"v1/layer.tar", rb"..\layers\x.tar"),
    ],
)
def test_links_lead_to_members_from_the_root_of_the_archive(link: bytes, target: bytes) -> None:
    for stored in (b"layers/x.tar", b"/layers/x.tar"):
        member = Member(stored)
        assert MemberNames([symlink(link, target, 1), member]).find("v1/layer.tar") is member
        assert MemberNames([hardlink(b"h", b"/layers/x.tar", 1), member]).find("h") is member


def test_names_that_are_not_utf_8_are_found_as_bytes_and_as_text() -> None:
    names = MemberNames([Member(b"caf\xe9")])
    assert names.find(b"caf\xe9") is names.find("caf\udce9") is not None
    assert names.find("caf\ud800") is None


def test_the_last_of_several_is_found_and_all_are_candidates() -> None:
    first, second = Member(b"x", offset=1), Member(b"./x", offset=2)
    names = MemberNames([first, second])
    assert names.find("x") is second
    assert names.candidates("x") == (first, second)
    assert names.candidates("y") == ()


def test_duplicates_are_listed_except_directories() -> None:
    kind = MemberType.DIRECTORY
    members = [Member(b"d/", kind), Member(b"x"), Member(b"d", kind), Member(b"./x"), Member(b"y")]
    assert MemberNames(members).duplicates == (b"x",)


def test_symlinks_start_at_their_directory_and_hardlinks_at_the_root() -> None:
    target = Member(b"other/layer.tar")
    names = MemberNames(
        [
            target,
            symlink(b"v1/layer.tar", b"../other/layer.tar", 1),
            hardlink(b"v2/layer.tar", b"./other/layer.tar", 2),
            symlink(b"./v3/x/layer.tar", b"./../../v1/layer.tar", 3),
            symlink(b"here", b"other/layer.tar", 4),
        ]
    )
    for name in ("v1/layer.tar", "v2/layer.tar", "v3/x/layer.tar", "here"):
        assert names.find(name) is target


def test_chains_are_followed_as_far_as_linux_follows_them() -> None:
    def chain(length: int) -> MemberNames:
        links = [symlink(b"%d" % n, b"%d" % (n + 1), n) for n in range(length)]
        return MemberNames([*links, Member(b"%d" % length, offset=length)])

    found = chain(MAX_HOPS - 1).find("0")
    assert found is not None
    assert found.type is MemberType.FILE
    with pytest.raises(UnsafePathError):
        chain(MAX_HOPS + 1).find("0")


@pytest.mark.parametrize(
    "links",
    [
        [symlink(b"a", b"a")],
        [hardlink(b"a", b"a")],
        [symlink(b"a", b"b"), hardlink(b"b", b"a", 1)],
        [symlink(b"a", b"b"), symlink(b"b", b"c", 1), symlink(b"c", b"b", 2)],
    ],
)
def test_loops_are_unsafe(links: list[Member]) -> None:
    names = MemberNames(links, "app.tar")
    with pytest.raises(UnsafePathError, match="loop"):
        names.find("a")
    with pytest.raises(UnsafePathError, match="loop"):
        names.holders("a")


@pytest.mark.parametrize("target", [b"/etc/passwd", b"../../x", b"b/../../../x", b"/a/y"])
def test_targets_outside_are_unsafe(target: bytes) -> None:
    names = MemberNames(
        [symlink(b"a/x", target), hardlink(b"h", b"../x", 1), Member(b"x", offset=2)]
    )
    with pytest.raises(UnsafePathError, match="out of the archive"):
        names.find("a/x")
    with pytest.raises(UnsafePathError, match="out of the archive"):
        names.find("h")


def test_a_missing_target_is_an_error() -> None:
    names = MemberNames([symlink(b"a/x", b"gone")], "app.tar")
    with pytest.raises(MemberNotFoundError, match="missing") as caught:
        names.find("a/x")
    assert caught.value.where == "app.tar"


def test_holders_are_all_members_a_name_may_mean() -> None:
    first, second, third = (Member(b"x", offset=n) for n in range(3))
    link = symlink(b"m", b"x", 3)
    direct = Member(b"m", offset=4)
    names = MemberNames([first, second, third, link, direct])
    assert names.holders("m") == [first, second, third, direct]
    assert names.find("m") is direct
    assert names.holders("none") == []


def test_many_links_to_one_member_are_one_holder() -> None:
    target = Member(b"x")
    links = [hardlink(b"m", b"x", n + 1) for n in range(5000)]
    assert MemberNames([target, *links]).holders("m") == [target]


def test_links_to_one_name_look_it_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    targets = [Member(b"x", offset=n) for n in range(50)]
    links = [hardlink(b"m", b"x", 50 + n) for n in range(50)]
    names = MemberNames([*targets, *links])
    looked_up: list[bytes] = []
    named = names._named

    def count(key: bytes) -> tuple[Member, ...]:
        looked_up.append(key)
        return named(key)

    monkeypatch.setattr(names, "_named", count)
    assert names.holders("m") == targets
    assert looked_up.count(b"x") == 1
