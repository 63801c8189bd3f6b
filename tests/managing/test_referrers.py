"""Test that referrers are listed and copied between layouts, archives and registries."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tarkit.copying.engine import copy_image
from tarkit.copying.existing import keep_archive
from tarkit.copying.known import KnownLayers
from tarkit.copying.names import NameRules
from tarkit.copying.options import CopyOptions
from tarkit.copying.referrers import copy_referrers
from tarkit.errors import CannotModifyError, UnsupportedError
from tarkit.image.digest import Digest
from tarkit.protocols import ReferringSource
from tarkit.transports.location import Location, open_reader, open_source, open_writer
from tarkit.transports.oci_layout.pruning import prune_layout
from tarkit.verifying.runner import verify
from tests.builders import (
    Doc,
    Layout,
    check_layout,
    make_image,
    multi_platform,
    named,
    names_in,
    read_files,
    write_files,
)
from tests.managing.test_deletion import list_of, signature
from tests.transports.registry.copies import add_layout
from tests.transports.registry.fake_registry import FakeRegistry

ONE = make_image("base", "one")


def copy(source: str, destination: str) -> int:
    target = Location.parse(destination)
    options = CopyOptions(all=True, preserve_digests=True)
    with open_source(source) as image, open_writer(target) as writer:
        if target.transport.value == "oci-archive":
            keep_archive(
                Path(target.path),
                lambda: open_reader(f"oci-archive:{target.path}"),
                writer,
                except_names=[target.name or ""],
                rules=NameRules.ANY,
                known=KnownLayers(),
            )
        result = copy_image(image, writer.destination(*filter(None, [target.name])), options)
        return copy_referrers(image, writer, result.descriptor)


def referrers_at(location: str, digest: str | None = None) -> list[str]:
    with open_source(location) as source:
        assert isinstance(source, ReferringSource)
        found = source.referrers(Digest.parse(digest) if digest else None)
        return sorted(str(entry.digest) for entry in found.manifests)


def signed_layout(path: Path) -> tuple[Doc, Doc, Doc]:
    """Write a layout with an image, its signature and a signature of that one."""
    layout = Layout()
    one = layout.image(ONE)
    signed = signature(layout, one)
    twice = signature(layout, signed, "twice")
    write_files(
        path,
        layout.finish(
            named(one, "app"), list_of(layout, one, signed), list_of(layout, signed, twice)
        ),
    )
    return one, signed, twice


def test_both_ways_to_list_referrers_are_read(tmp_path: Path) -> None:
    layout = Layout()
    one = layout.image(ONE)
    listed, direct = signature(layout, one), signature(layout, one, "ORAS")
    files = layout.finish(named(one, "app"), list_of(layout, one, listed), direct, listed)
    write_files(tmp_path / "in", files)
    expected = sorted((listed["digest"], direct["digest"]))
    assert referrers_at(f"oci:{tmp_path / 'in'}:app") == expected


@pytest.mark.parametrize("api", [True, False])
def test_the_round_trip_through_a_registry(
    tmp_path: Path, registry: FakeRegistry, api: bool
) -> None:
    registry.referrers_api = api
    one, signed, twice = signed_layout(tmp_path / "in")
    remote = f"docker://{registry.address}/app:1"
    assert copy(f"oci:{tmp_path / 'in'}:app", remote) == 2
    assert referrers_at(remote) == [signed["digest"]]
    assert referrers_at(remote, signed["digest"]) == [twice["digest"]]
    tag = one["digest"].replace(":", "-")
    assert (tag in registry.manifests["app"]) is not api
    for where in (f"oci:{tmp_path / 'out'}", f"oci-archive:{tmp_path / 'out.tar'}"):
        assert copy(remote, f"{where}:app") == 2
        assert referrers_at(f"{where}:app") == [signed["digest"]]
        assert referrers_at(f"{where}:app", signed["digest"]) == [twice["digest"]]
        assert referrers_at(where) == [signed["digest"]]  # lists of referrers are no images
        assert {finding.rule for finding in verify(where).findings} == {"artifact"}
    names = names_in(check_layout(read_files(tmp_path / "out")))
    assert names == ["app", tag, signed["digest"].replace(":", "-")]
    assert prune_layout(tmp_path / "out") == ()


@pytest.mark.parametrize(
    "place", [lambda path: f"oci:{path}", lambda path: f"oci-archive:{path}.tar"]
)
def test_new_referrers_join_the_old_ones(tmp_path: Path, place: Callable[[Path], str]) -> None:
    _, signed, _ = signed_layout(tmp_path / "in")
    layout = Layout()
    one = layout.image(ONE)
    other = signature(layout, one, "of another signer")
    files = layout.finish(named(one, "app"), list_of(layout, one, other))
    write_files(tmp_path / "more", files)
    where = f"{place(tmp_path / 'out')}:app"
    copy(f"oci:{tmp_path / 'in'}:app", where)
    copy(f"oci:{tmp_path / 'more'}:app", where)
    assert referrers_at(where) == sorted((signed["digest"], other["digest"]))


def test_referrers_of_an_index_and_of_its_manifests_are_copied(tmp_path: Path) -> None:
    layout, index, _ = multi_platform("amd64", "arm64")
    child = json.loads(layout.files[f"blobs/sha256/{index['digest'][7:]}"])["manifests"][1]
    of_index, of_child = signature(layout, index), signature(layout, child, "child")
    files = layout.finish(
        named(index, "x"), list_of(layout, index, of_index), list_of(layout, child, of_child)
    )
    write_files(tmp_path / "in", files)
    assert copy(f"oci:{tmp_path / 'in'}:x", f"oci:{tmp_path / 'out'}:x") == 2
    assert referrers_at(f"oci:{tmp_path / 'out'}:x", child["digest"]) == [of_child["digest"]]


def test_a_circle_of_referrers_ends(registry: FakeRegistry, tmp_path: Path) -> None:
    one, signed, _ = signed_layout(tmp_path / "in")
    add_layout(registry, "app", "1", read_files(tmp_path / "in"), one)

    def circle(exchange: object) -> None:
        entry = {"mediaType": signed["mediaType"], **signed}
        body = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
        kind = {"Content-Type": "application/vnd.oci.image.index.v1+json"}
        exchange.answer(200, body, **kind)  # type: ignore[attr-defined]

    registry.fail("GET", "/referrers/", circle)
    remote = f"docker://{registry.address}/app:1"
    assert copy(remote, f"oci:{tmp_path / 'out'}:app") == 1


def test_containers_without_referrers_are_refused(tmp_path: Path) -> None:
    signed_layout(tmp_path / "in")
    before = read_files(tmp_path)
    with pytest.raises((UnsupportedError, CannotModifyError)):
        copy(f"oci:{tmp_path / 'in'}:app", f"dir:{tmp_path / 'out'}")
    assert read_files(tmp_path) == before
