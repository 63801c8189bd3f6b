"""Test annotations of manifests and indexes, in place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tarkit.errors import ImageNotFoundError, UnsupportedError, UsageError
from tarkit.image.platform import Platform
from tarkit.managing.annotations import annotate_image
from tarkit.transports.location import open_source
from tarkit.verifying.runner import verify
from tests.builders import (
    Doc,
    Layout,
    check_layout,
    layout_of,
    make_image,
    multi_platform,
    named,
    names_in,
    on,
    read_files,
    tar,
    untar,
    write_files,
)
from tests.transports.registry.copies import add_layout
from tests.transports.registry.fake_registry import FakeRegistry

ONE = make_image("base", "one")
ARM = Platform.parse("linux/arm64")


def manifest_at(location: str) -> Doc:
    with open_source(location) as source:
        document: Doc = json.loads(source.manifest().data)
        return document


def test_annotations_are_set_and_removed(tmp_path: Path) -> None:
    files = layout_of(ONE, annotations={"old": "1", "kept": "2"}, vendor={"x": 1})
    where = f"oci:{write_files(tmp_path / 'in', files)}:app"
    before = manifest_at(where)
    digest = annotate_image(where, {"new": "3=4", "old": None, "absent": None})
    assert manifest_at(where) == before | {"annotations": {"kept": "2", "new": "3=4"}}
    index = check_layout(read_files(tmp_path / "in"))
    assert [entry["digest"] for entry in index["manifests"]] == [str(digest)]
    assert names_in(index) == ["app"]
    assert not verify(where).findings


def test_an_image_without_a_name_is_replaced(tmp_path: Path) -> None:
    where = f"oci:{write_files(tmp_path / 'in', layout_of(ONE, None))}"
    annotate_image(where, {"a": "b"})
    assert names_in(check_layout(read_files(tmp_path / "in"))) == [None]


def test_another_name_of_the_image_keeps_the_old_content(tmp_path: Path) -> None:
    layout = Layout()
    one = layout.image(ONE)
    files = layout.finish(named(one, "a"), named(one, "b"))
    where = f"oci:{write_files(tmp_path / 'in', files)}"
    annotate_image(f"{where}:a", {"x": "y"})
    assert "annotations" not in manifest_at(f"{where}:b")
    assert manifest_at(f"{where}:a")["annotations"] == {"x": "y"}


def test_one_platform_of_a_nested_index_changes_with_all_above(tmp_path: Path) -> None:
    layout, index, _ = multi_platform("amd64", "arm64")
    top = layout.index(index, annotations={"top": "1"})
    where = f"oci:{write_files(tmp_path / 'in', layout.finish(named(top, 'x')))}:x"
    annotate_image(where, {"a": "b"}, platform=ARM)
    assert manifest_at(where)["annotations"] == {"top": "1"}
    assert not verify(where).findings
    from tarkit.selection.select import select_image

    with open_source(where) as source:
        assert json.loads(select_image(source, ARM).data)["annotations"] == {"a": "b"}
        other = select_image(source, Platform.parse("linux/amd64"))
        assert "annotations" not in json.loads(other.data)


def test_an_archive_and_a_flat_layout(tmp_path: Path) -> None:
    path = tmp_path / "in.tar"
    layout = Layout()
    path.write_bytes(tar(layout.finish(named(layout.image(ONE), "app"))))
    annotate_image(f"oci-archive:{path}:app", {"a": "b"})
    assert names_in(check_layout(untar(path))) == ["app"]
    assert manifest_at(f"oci-archive:{path}:app")["annotations"] == {"a": "b"}
    layout = Layout()
    children = [
        on(layout.image(make_image(arch, architecture=arch)), f"linux/{arch}")
        for arch in ("amd64", "arm64")
    ]
    where = f"oci:{write_files(tmp_path / 'flat', layout.finish(*children))}"
    annotate_image(where, {"a": "b"})
    assert manifest_at(where)["annotations"] == {"a": "b"}
    assert not verify(where).findings


def test_an_unchanged_image_keeps_its_digest(tmp_path: Path) -> None:
    where = f"oci:{write_files(tmp_path / 'in', layout_of(ONE))}:app"
    with open_source(where) as source:
        before = source.manifest().digest
    assert annotate_image(where, {"absent": None}) == before


def test_a_registry_gets_new_manifests_only(registry: FakeRegistry) -> None:
    layout, index, _ = multi_platform("amd64", "arm64")
    add_layout(registry, "app", "1", layout.files, index)
    where = f"docker://{registry.address}/app:1"
    digest = annotate_image(where, {"a": "b"}, platform=ARM)
    assert len(registry.requests("PUT")) == 2
    assert registry.manifests["app"]["1"] == registry.manifests["app"][str(digest)]
    assert not verify(where).findings
    with pytest.raises(UsageError, match="not a tag"):
        annotate_image(f"docker://{registry.address}/app@{digest}", {"c": "d"})


def test_refusals_change_nothing(tmp_path: Path) -> None:
    layout = Layout()
    files = layout.finish(named(layout.image(ONE, docker=True), "docker"))
    where = f"oci:{write_files(tmp_path / 'in', files)}"
    for location, changes, error in (
        (f"{where}:docker", {"a": "b"}, UnsupportedError),
        (f"{where}:none", {"a": "b"}, ImageNotFoundError),
        (f"{where}:docker", {"": "b"}, UsageError),
        (f"dir:{tmp_path}", {"a": "b"}, UnsupportedError),
    ):
        with pytest.raises(error):
            annotate_image(location, changes)
    assert read_files(tmp_path / "in") == files
