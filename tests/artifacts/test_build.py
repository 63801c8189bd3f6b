"""Building ext4 images: the same bytes from every storage format, and no hidden data."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tarkit.artifacts.build import BuildResult, build_ext4
from tarkit.artifacts.preflight import Preflight
from tarkit.errors import (
    DigestMismatchError,
    NoSpaceError,
    PathNotFoundError,
    TarkitError,
    UnsupportedError,
    VerificationError,
)
from tarkit.ext4 import Ext4Options, Ext4Writer, Percent, SizePolicy
from tarkit.image.digest import Digest
from tarkit.progress import Event, Progress
from tarkit.rootfs.overlay.overlay import Overlay
from tests.artifacts.images import (
    SECRET,
    every_form,
    image,
    layout,
    sparse_layer,
)
from tests.builders import (
    Image,
    dump,
    image_of,
    layout_of,
    listing,
    sha256,
    squeeze,
    write_files,
)
from tests.rootfs.layers import Item, directory, file, link, pack
from tests.rootfs.stacks import stacks

MIB = 1024 * 1024
SMALL = Ext4Options(profile="ro", free=0, align=4096)

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX")


def build(
    tmp_path: Path,
    *layers: Sequence[Item] | bytes,
    options: Ext4Options = SMALL,
    overlay: Overlay | None = None,
    name: str = "image",
) -> BuildResult:
    made = image_of([each if isinstance(each, bytes) else pack(each) for each in layers])
    location = layout(tmp_path / f"{name}.layout", made)
    return build_ext4(location, tmp_path / f"{name}.ext4", options, overlay=overlay)


@pytest.mark.parametrize(
    "options", [SMALL, Ext4Options(size=64 * MIB), Ext4Options(size="min")], ids=repr
)
def test_every_form_of_an_image_gives_the_same_bytes(tmp_path: Path, options: Ext4Options) -> None:
    made = image()
    results = {
        name: build_ext4(location, tmp_path / f"{number}.ext4", options)
        for number, (name, location) in enumerate(every_form(tmp_path, made).items())
    }
    digests = {name: str(Digest.of(each.path.read_bytes())) for name, each in results.items()}
    assert len(set(digests.values())) == 1, digests
    assert {str(each.sha256) for each in results.values()} == set(digests.values())
    assert len({each.inputs for each in results.values()}) == 1
    assert len({each.manifest for each in results.values()}) > 1


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stack=stacks())
def test_random_stacks_give_the_same_bytes_compressed_and_plain(
    tmp_path_factory: pytest.TempPathFactory, stack: list[list[Item]]
) -> None:
    top = tmp_path_factory.mktemp("stack")
    made = image(stack)
    outcomes: list[object] = []
    for name, packer in (("gzip", squeeze), ("plain", None)):
        location = layout(top / name, made, packer)
        try:
            outcomes.append(build_ext4(location, top / f"{name}.ext4", SMALL).sha256)
        except TarkitError as error:
            outcomes.append(type(error))
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("form", ["oci, gzip", "docker-archive", "docker-archive, gzip"])
def test_hidden_data_is_not_in_the_image(tmp_path: Path, form: str) -> None:
    location = every_form(tmp_path, image())[form]
    data = build_ext4(location, tmp_path / "out", SMALL).path.read_bytes()
    # "second" keeps the old content of "old" once; everything else of it is gone.
    assert data.count(SECRET) == 1
    assert b"kept " * 3_000 in data
    assert bytes(range(256)) * 9_000 in data
    assert b"n" * 5_000 in data


def test_data_removed_by_an_overlay_is_not_in_the_image(tmp_path: Path) -> None:
    layer = [file("key", SECRET * 2_000), file("motd", b"Welcome.")]
    overlay = Overlay().remove("/key").write("/motd", b"Changed.")
    data = build(tmp_path, layer, overlay=overlay).path.read_bytes()
    assert SECRET not in data
    assert b"Welcome." not in data
    assert b"Changed." in data


def test_the_uuid_is_derived_from_the_inputs(tmp_path: Path) -> None:
    layer = [file("a", b"a")]
    first = build(tmp_path, layer, name="first")
    variants = [
        build(tmp_path, [file("a", b"b")], name="content"),
        build(tmp_path, layer, options=replace(SMALL, free=4096), name="option"),
        build(tmp_path, layer, overlay=Overlay().write("/b", b"1"), name="change"),
        build(tmp_path, layer, overlay=Overlay().write("/b", b"2"), name="other change"),
    ]
    everything = [first, *variants]
    assert len({each.uuid for each in everything}) == len(everything)
    assert len({each.inputs for each in everything}) == len(everything)
    again = build(tmp_path, layer, overlay=Overlay(), name="again")
    assert (again.uuid, again.sha256) == (first.uuid, first.sha256)


def test_a_config_does_not_change_the_bytes(tmp_path: Path) -> None:
    layer = pack([file("a", b"a")])
    one, two = image_of([layer]), image_of([layer], created="2020-01-01T00:00:00Z")
    results = [
        build_ext4(layout(tmp_path / name, made), tmp_path / f"{name}.ext4", SMALL)
        for name, made in (("one", one), ("two", two))
    ]
    assert results[0].sha256 == results[1].sha256
    assert results[0].manifest != results[1].manifest


def test_the_source_date_epoch_is_the_time_of_the_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = build(tmp_path, [file("a/b", b"a")], name="plain")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    dated = build(tmp_path, [file("a/b", b"a")], name="dated")
    assert plain.inputs != dated.inputs
    assert dated.path.read_bytes()[1024 + 0x30 :][:4] == (1_700_000_000).to_bytes(4, "little")
    chosen = build(tmp_path, [file("a/b", b"a")], name="zero", options=replace(SMALL, timestamp=0))
    assert chosen.path.read_bytes()[1024 + 0x30 :][:4] == bytes(4)


def test_the_result_describes_the_image(tmp_path: Path) -> None:
    uuid = UUID("12345678-1234-5678-1234-567812345678")
    options = Ext4Options(size=32 * MIB, label="root", uuid=uuid, inodes=500)
    result = build(tmp_path, [file("a", b"a" * 5_000)], options=options)
    assert result.path == tmp_path / "image.ext4"
    assert result.size == result.path.stat().st_size == 32 * MIB
    assert result.label == "root"
    assert result.uuid == uuid
    assert result.inodes >= 500
    assert result.used_inodes == 12
    assert 0 < result.used < result.size
    assert result.sha256 == Digest.of(result.path.read_bytes())
    assert result.notes == ()
    assert result.path.stat().st_blocks * 512 < result.size


def test_a_share_is_left_free(tmp_path: Path) -> None:
    options = Ext4Options(profile="ro", free=Percent(50), align=4096)
    result = build(tmp_path, [file("a", b"a" * MIB)], options=options)
    assert result.size - result.used >= result.size // 2


def test_a_size_too_small_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[object] = []
    for method in ("store", "fill"):
        monkeypatch.setattr(Ext4Writer, method, lambda *arguments: written.append(arguments))
    with pytest.raises(NoSpaceError, match=r"at least .* bytes, but only 2097152 are allowed"):
        build(tmp_path, [file("a", b"a" * (3 * MIB))], options=Ext4Options(size=2 * MIB))
    assert not written
    assert listing(tmp_path) == ["image.layout"]


def test_hidden_data_takes_no_space_in_a_given_size(tmp_path: Path) -> None:
    base = [directory("real"), file("real/a", b"a" * (3 * MIB)), link("way", "real")]
    options = Ext4Options(size=4 * MIB, profile="ro")
    result = build(tmp_path, base, [file("way/a", b"a" * (2 * MIB))], options=options)
    assert result.size == 4 * MIB


def test_zeros_take_no_space_in_a_given_size(tmp_path: Path) -> None:
    layer = [file("a", bytes(50 * MIB) + b"end"), file("b", b"b" * MIB)]
    result = build(tmp_path, layer, options=Ext4Options(size=2 * MIB, profile="ro"))
    assert result.size == 2 * MIB
    with pytest.raises(NoSpaceError, match="1044480 are allowed"):
        build(tmp_path, layer, options=Ext4Options(size=MIB - 4096, profile="ro"), name="small")
    assert listing(tmp_path) == ["image.ext4", "image.layout", "small.layout"]


def test_zeros_do_not_enlarge_images(tmp_path: Path) -> None:
    sizes = {
        build(tmp_path, [file("a", bytes(n * MIB) + b"end")], options=SMALL, name=f"{n}").size
        for n in (1, 7, 30)
    }
    assert len(sizes) == 1


ZEROS = [
    [
        directory("real"),
        file("real/hidden", b"h" * 9_000 + bytes(70_000) + b"h"),
        link("way", "real"),
        file("lastlog", bytes(300_000) + b"user" + bytes(100_000)),
        file("empty", bytes(12_345)),
        file("blocks", (b"d" * 4096 + bytes(4096)) * 30),
        file("late", bytes(4096) * 3 + b"l" * 4096),
    ],
    [
        file("way/hidden", bytes(8192) + b"seen" * 3_000),
        directory("late.d"),
        file("late.d/a", b"a" * 5_000 + bytes(9_000)),
        link("other", "late.d"),
    ],
    [file("other/.wh.a"), file("other/b", bytes(20_000) + b"b"), file("small", b"s")],
]
"""Layers with zeros, also in data hidden through links."""


@pytest.mark.parametrize("options", [SMALL, Ext4Options(size=MIB, profile="ro"), Ext4Options()])
@pytest.mark.parametrize("is_tight", [False, True])
def test_images_with_zeros_have_the_same_bytes_in_every_form(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: Ext4Options, is_tight: bool
) -> None:
    overlay = Overlay().write("/added", bytes(100_000) + b"added").write("/other/c", b"c" * 5_000)
    if is_tight:
        usage = shutil.disk_usage(tmp_path)._replace(free=200_000)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
        monkeypatch.setattr(Preflight, "is_tight", True)
    made = [
        build_ext4(location, tmp_path / f"{number}.ext4", options, overlay=overlay)
        for number, location in enumerate(every_form(tmp_path, image(ZEROS)).values())
    ]
    assert len({each.sha256 for each in made}) == 1
    assert made[0].path.stat().st_blocks * 512 < 400_000


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    stack=stacks(),
    data=st.lists(
        st.lists(st.sampled_from([0, 0, 1, 90, 4096, 20_000]), max_size=5).map(
            lambda sizes: b"".join((b"\0x"[n % 2 :][:1]) * size for n, size in enumerate(sizes))
        ),
        min_size=3,
        max_size=3,
    ),
    size=st.sampled_from(["min", 4 * MIB]),
)
def test_random_stacks_of_zeros_are_the_same_in_any_order(
    tmp_path_factory: pytest.TempPathFactory,
    stack: list[list[Item]],
    data: list[bytes],
    size: SizePolicy,
) -> None:
    """Layers of a compressed archive are read from the bottom, so they are measured first."""
    top = tmp_path_factory.mktemp("zeros")
    layers = [
        [
            replace(item, data=data[n % 3] + item.data) if item.data else item
            for n, item in enumerate(layer)
        ]
        for layer in stack
    ]
    outcomes: list[object] = []
    for name, location in every_form(top, image(layers)).items():
        if name in ("oci, gzip", "oci, plain", "docker-archive, gzip"):
            try:
                outcomes.append(build_ext4(location, top / "out", Ext4Options(size=size)).sha256)
            except TarkitError as error:
                outcomes.append(type(error))
    assert len(set(outcomes)) == 1


def test_sparse_files_and_full_files_give_the_same_bytes(tmp_path: Path) -> None:
    pieces = {0: b"first", 3 * MIB - 7: b"x" * 5_000, 9 * MIB: b""}
    whole = bytearray(9 * MIB)
    for at, data in pieces.items():
        whole[at : at + len(data)] = data
    sparse = build(tmp_path, sparse_layer("disk", 9 * MIB, pieces), name="sparse")
    plain = build(tmp_path, [file("disk", bytes(whole), mtime=0)], name="plain")
    assert sparse.size == plain.size
    assert sparse.used == plain.used


def test_a_sparse_file_takes_only_its_data(tmp_path: Path) -> None:
    size = 60 * 1024 * MIB
    layer = sparse_layer("disk", size, {0: b"first", 7 * 1024 * MIB: b"x" * 5_000, size: b""})
    data = build(tmp_path, layer).path.read_bytes()
    assert len(data) < MIB
    assert b"first" in data
    assert b"x" * 4_096 in data


def test_metadata_that_ext4_cannot_store_is_noted(tmp_path: Path) -> None:
    pax = {"SCHILY.xattr.com.apple.quarantine": "1", "SCHILY.xattr.user.note": "kept"}
    result = build(tmp_path, [file("a", b"", pax=pax), file("old", mtime=-(2**33))])
    assert [note.split(":")[0] for note in result.notes] == [
        "1 inodes have a time that ext4 cannot store; used the nearest",
        "1 extended attributes omitted",
    ]
    assert b"kept" in result.path.read_bytes()


def test_errors_have_the_path(tmp_path: Path) -> None:
    pax = {"SCHILY.xattr.user.large": "x" * 8_000}
    with pytest.raises(UnsupportedError, match="/d/crowded"):
        build(tmp_path, [file("d/crowded", pax=pax)])
    assert listing(tmp_path) == ["image.layout"]


def test_every_layer_is_verified_to_its_end(tmp_path: Path) -> None:
    layers = (pack([file("a", b"a")]), pack([file("a", b"b")]))
    wrong = image_of(layers, rootfs={"type": "layers", "diff_ids": [sha256(b"x"), sha256(b"y")]})
    good = image_of(layers)
    for name, made, packer in (
        ("packed", wrong, squeeze),
        ("plain", Image(good.layers, dump({"rootfs": {"diff_ids": good.diff_ids[::-1]}})), None),
    ):
        with pytest.raises(DigestMismatchError):
            build_ext4(layout(tmp_path / name, made, packer), tmp_path / "out", SMALL)
    assert listing(tmp_path) == ["packed", "plain"]


def test_a_layer_cut_short_leaves_nothing(tmp_path: Path) -> None:
    data = random.Random(1).randbytes(100_000)
    location = layout(tmp_path / "layout", image([[file("a", data)]]), lambda d: squeeze(d)[:-900])
    (tmp_path / "out").write_bytes(b"older")
    with pytest.raises(VerificationError):
        build_ext4(location, tmp_path / "out", SMALL)
    assert (tmp_path / "out").read_bytes() == b"older"
    assert listing(tmp_path) == ["layout", "out"]


def test_an_image_that_is_open_can_be_built_more_than_once(tmp_path: Path) -> None:
    from tarkit.transports.location import open_source

    with open_source(layout(tmp_path / "layout", image())) as source:
        one = build_ext4(source, tmp_path / "one", SMALL)
        two = build_ext4(source, tmp_path / "two", SMALL)
    assert one.sha256 == two.sha256


def test_progress_reaches_the_end(tmp_path: Path) -> None:
    events: list[Progress] = []
    location = layout(tmp_path / "layout", image())
    build_ext4(location, tmp_path / "out", SMALL, on_progress=events.append)
    assert [event.event for event in events[-3:]] == [Event.FINISHED, Event.PHASE, Event.PHASE]
    assert events[-1].total_done == events[-1].total > 0
    assert events[-1].blobs_done == events[-1].blobs == 3
    assert events[-1].percent == 100.0
    assert all(each.speed >= 0 for each in events)


def test_progress_of_a_layer_used_twice_never_decreases(tmp_path: Path) -> None:
    one, two = pack([file("a", "x" * 50_000)]), pack([file("b", "y")])
    files = layout_of(image_of([one, two, one]))
    events: list[Progress] = []
    location = f"oci:{write_files(tmp_path / 'layout', files)}"
    build_ext4(location, tmp_path / "out", SMALL, on_progress=events.append)
    assert [event.total_done for event in events] == sorted(event.total_done for event in events)
    assert events[-1].percent == 100.0
    assert events[-1].blobs_done == events[-1].blobs == 2


def test_the_target_of_a_link_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("image")
    made = build_ext4(layout(tmp_path / "layout", image()), tmp_path / "link", SMALL)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "image").stat().st_size == made.size


def test_a_missing_directory_is_refused_before_a_layer_is_read(tmp_path: Path) -> None:
    events: list[Progress] = []
    location = layout(tmp_path / "layout", image())
    with pytest.raises(PathNotFoundError, match="no such directory"):
        build_ext4(location, tmp_path / "no" / "out", SMALL, on_progress=events.append)
    assert not events
