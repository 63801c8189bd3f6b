"""Small layers that would take much time or memory: work is counted and limited."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tarkit.errors import LimitExceededError
from tarkit.protocols import Source
from tarkit.rootfs import limits
from tarkit.rootfs.filesystem import FileSystem
from tarkit.rootfs.hidden_paths import HiddenPaths
from tarkit.rootfs.limits import MergeLimits
from tarkit.rootfs.output.directory import write_directory
from tarkit.rootfs.output.tarball import save_tar
from tarkit.rootfs.resolve import Resolver
from tarkit.rootfs.tree import Tree
from tarkit.tar.member import Member, MemberType
from tarkit.tar.tape import Tape
from tests.rootfs.layers import file, members, merge, source_of
from tests.tar.blocks import END, block, pax
from tests.tar.blocks import file as tar_file


def symlink(name: str, target: str) -> Member:
    return Member(name.encode(), MemberType.SYMLINK, linkname=target.encode())


def hardlink(name: str, target: str) -> Member:
    return Member(name.encode(), MemberType.HARDLINK, linkname=target.encode())


def plain(name: str) -> Member:
    return Member(name.encode())


def chain_of_symlinks(target: str) -> list[Member]:
    """Return 39 links, each to the next through a long path, and the last one to *target*."""
    return [symlink(f"l{n}", "./" * 2040 + (f"l{n + 1}" if n < 38 else target)) for n in range(39)]


class Counter:
    """Counts calls of a method."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> None:
        self.calls = 0
        method = getattr(owner, name)

        def counted(*arguments: object, **options: object) -> object:
            self.calls += 1
            return method(*arguments, **options)

        monkeypatch.setattr(owner, name, counted)


SIZE = 2_000


@pytest.mark.parametrize("step", [1, -1])
@pytest.mark.parametrize("prefix", ["", "l/"])
def test_a_chain_of_hard_links_takes_linear_time(
    monkeypatch: pytest.MonkeyPatch, step: int, prefix: str
) -> None:
    chain = [hardlink(f"d/h{n + 1}", f"{prefix or 'd/'}h{n}") for n in range(SIZE)][::step]
    layer = [symlink("l", "d"), *chain, plain("d/h0")]
    lookups = Counter(monkeypatch, Resolver, "get")
    tree = merge([layer])
    assert lookups.calls < 5 * SIZE
    names = tree.root.children[b"d"].children or {}  # type: ignore[index]
    assert len(set(names.values())) == 1
    assert names[b"h0"].links == SIZE + 1


def test_a_chain_of_hard_links_to_nothing_takes_linear_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No error, because the chain is removed in the end."""
    chain = [hardlink(f"d/h{n + 1}", f"d/h{n}") for n in reversed(range(SIZE))]
    lookups = Counter(monkeypatch, Resolver, "get")
    merge([[*chain, plain("d")]])
    assert lookups.calls < 5 * SIZE


@pytest.mark.parametrize("make", [plain, lambda name: hardlink(name, "l0/f")])
def test_long_symbolic_links_are_followed_once_for_all_files_behind_them(
    monkeypatch: pytest.MonkeyPatch, make: object
) -> None:
    layer = [plain("r/f"), *chain_of_symlinks("r")]
    layer += [make(f"l0/f{n}") for n in range(SIZE)]  # type: ignore[operator]
    walks = Counter(monkeypatch, Tree, "trail")
    tree = merge([layer, [Member(b"l0/.wh.f%d" % n) for n in range(SIZE)]])
    assert list((tree.root.children or {})[b"r"].children or {}) == [b"f"]
    assert walks.calls < 10


@pytest.mark.parametrize("target", ["r", "r/missing"])
def test_following_links_repeatedly_is_limited(target: str) -> None:
    step = [symlink("other", "x"), plain("l0/f")]
    with pytest.raises(LimitExceededError, match="symbolic links take more"):
        merge([[plain("r/x"), *chain_of_symlinks(target), *step * SIZE]])
    missing = [hardlink(f"h{n}", "l0/missing/f") for n in range(SIZE)]
    with pytest.raises(LimitExceededError, match="symbolic links take more"):
        merge([[plain("r/x"), *chain_of_symlinks("r"), *missing]])


def test_very_deep_paths_are_limited() -> None:
    deep = "d/" * 4_000
    merge([[plain(f"{deep}{n}/f") for n in range(200)]])
    with pytest.raises(LimitExceededError, match="steps to follow"):
        merge([[plain(f"{deep}{n}/f") for n in range(300)]])


def test_links_of_real_images_stay_far_below_the_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A link changes after every file, so nothing can be cached."""
    layer = [symlink("lib", "usr/lib"), symlink("usr/lib", "../opt/lib")]
    for number in range(SIZE):
        layer += [symlink(f"s{number}", "x"), plain(f"lib/f{number}")]
    monkeypatch.setattr(limits, "FREE_STEPS", 0)
    monkeypatch.setattr(limits, "STEPS_PER_ENTRY", 5)
    merge([layer])


def test_entries_of_all_layers_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_ENTRIES", 10)
    merge([members(*(file(f"{n}{m}") for m in range(5))) for n in range(2)])
    with pytest.raises(
        LimitExceededError, match="more than 10 entries, the most that fit"
    ) as caught:
        merge([members(*(file(f"{n}{m}") for m in range(5))) for n in range(3)])
    assert caught.value.limit == 10


def test_directories_that_no_layer_lists_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_ENTRIES", 1_400)
    merge([[plain("d/" * 900 + "f")]])
    with pytest.raises(LimitExceededError):
        merge([[plain(f"{n}/" + "d/" * 900 + "f") for n in range(2)]])


def test_long_paths_behind_links_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_ENTRIES", 10_000)
    deep = "/".join(["n" * 200] * 20)
    layer = [symlink("l0", deep), symlink("l1", f"l0/{'/'.join(['m' * 200] * 19)}")]
    merge([[*layer, *(plain(f"l1/{n}") for n in range(100))]])
    with pytest.raises(LimitExceededError):
        merge([[*layer, *(plain(f"l1/{n}") for n in range(SIZE))]])


def test_metadata_counts_by_the_memory_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_ENTRIES", 1_000)
    allowance = limits.entry_allowance()
    allowance.admit(Member(b"plain", data_offset=512))
    attributes = {b"user.%d" % n: b"" for n in range(8_000)}
    with pytest.raises(LimitExceededError):
        allowance.admit(Member(b"attributes", xattrs=attributes, data_offset=100_000))


@contextmanager
def large_source(tmp_path: Path, *, compressed: bool) -> Iterator[Source]:
    layer = b"".join(tar_file(b"f%06d" % n) for n in range(20_000)) + END
    with source_of(tmp_path, layer, compressed=compressed) as source:
        yield source


READERS: dict[str, Callable[[Source, Path], object]] = {
    "tree": lambda source, out: FileSystem.of(source),
    "directory": write_directory,
    "tar": save_tar,
}


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("reader", READERS)
def test_reading_stops_at_the_limit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, reader: str, compressed: bool
) -> None:
    monkeypatch.setattr(limits, "MAX_ENTRIES", 100)
    with large_source(tmp_path, compressed=compressed) as source:
        blocks = Counter(monkeypatch, Tape, "block")
        with pytest.raises(LimitExceededError, match="more than 100 entries") as caught:
            READERS[reader](source, tmp_path / "out")
    assert blocks.calls == 101
    assert "layer sha256:" in str(caught.value)


def test_kept_extended_headers_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(limits, "MAX_ENTRIES", 100)
    many = pax((b"comment", b"x")) * 1_000 + block(b"a") + END
    long = pax((b"path", b"n" * 200_000)) + block(b"a") + END
    with source_of(tmp_path / "many", many) as source, FileSystem.of(source):
        pass
    with source_of(tmp_path / "long", long) as source, pytest.raises(LimitExceededError):
        FileSystem.of(source)


class CountingDict(dict[bytes, int]):
    """Counts lookups."""

    lookups = 0

    def get(self, key: bytes, default: int = 0) -> int:  # type: ignore[override]
        self.lookups += 1
        return super().get(key, default)


def test_deep_paths_are_not_looked_up_directory_by_directory() -> None:
    hidden = HiddenPaths()
    hidden.add(1, [plain("a/.wh.b")])
    hidden._closed = closed = CountingDict(hidden._closed)
    for number in range(100):
        assert not hidden.covers(0, f"{number}/{'d/' * 4000}f".encode())
    assert closed.lookups < 1_000
    assert hidden.covers(0, b"a/b/" + b"d/" * 90 + b"f")


def test_limits_count_the_steps_of_links() -> None:
    tree = merge([[*chain_of_symlinks("r"), plain("r/f")]])
    counted = MergeLimits()
    for _ in range(12):
        Resolver(tree, counted).get([b"l0", b"f"])
    with pytest.raises(LimitExceededError):
        Resolver(tree, counted).get([b"l0", b"f"])
