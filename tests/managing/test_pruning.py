"""Test that pruning removes unreferenced blobs and nothing else."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tarkit.copying.engine import copy_image
from tarkit.copying.options import CopyOptions
from tarkit.errors import RefusedError, TarkitError, UnsupportedError, VerificationError
from tarkit.image.media_types import OCI_INDEX, OCI_MANIFEST
from tarkit.streams.directory import Directory
from tarkit.streams.locking import locked_directory
from tarkit.transports.location import open_source, open_writer
from tarkit.transports.oci_layout.pruning import prune_layout
from tests.builders import (
    Doc,
    Files,
    Layout,
    blob,
    check_layout,
    dump,
    layout_of,
    make_image,
    multi_platform,
    named,
    read_files,
    sha256,
    write_files,
)
from tests.managing.test_deletion import blobs, signature

ONE, TWO = make_image("base", "one"), make_image("base", "two")


def paths(*descriptors: Doc) -> set[str]:
    return {f"blobs/sha256/{descriptor['digest'][7:]}" for descriptor in descriptors}


def test_a_dry_run_lists_what_a_run_removes(tmp_path: Path) -> None:
    layout = Layout()
    stray = [layout.blob(text, "text/plain") for text in (b"stray", b'{"no": "subject"}')]
    used = layout_of(ONE)
    layout.files |= used
    where = write_files(tmp_path / "in", layout.files)
    found = prune_layout(where, dry_run=True)
    assert {f"blobs/sha256/{each.digest.hex}" for each in found} == paths(*stray)
    assert sum(each.size for each in found) == sum(each["size"] for each in stray)
    assert read_files(where) == layout.files
    assert prune_layout(where) == found
    assert read_files(where) == used
    assert prune_layout(where) == ()


def test_references_of_every_kind_are_followed(tmp_path: Path) -> None:
    layout, index, _ = multi_platform("amd64", "arm64")
    nested = layout.index(layout.index(index))
    subject = layout.image(TWO)
    signed = signature(layout, subject)  # listed, so its subject stays
    unlisted = signature(layout, index, "unlisted")
    countersigned = signature(layout, unlisted, "twice")
    odd = layout.blob(dump({"blobs": [layout.blob(b"inside", "x/y")]}), "application/odd+json")
    old = layout.blob(dump({"schemaVersion": 1, "fsLayers": [{"blobSum": sha256(b"v1")}]}), "x")
    old["mediaType"] = "application/vnd.docker.distribution.manifest.v1+json"
    layout.blob(b"v1", "x/y")
    kept = set(blobs(layout.files))
    stray = signature(layout, {"mediaType": OCI_MANIFEST, "digest": sha256(b"gone"), "size": 4})
    layout_empty = layout.finish(named(nested, "x"), signed, odd, old)
    where = write_files(tmp_path / "in", layout_empty)
    prune_layout(where)
    assert kept <= blobs(read_files(where))
    assert paths(countersigned) < blobs(read_files(where))
    assert not paths(stray) & blobs(read_files(where))
    check_layout(read_files(where))


def test_a_flat_index_is_an_image(tmp_path: Path) -> None:
    layout, index, _ = multi_platform("amd64", "arm64")
    children = json.loads(blob(layout.files, index))["manifests"]
    where = write_files(tmp_path / "in", layout.finish(*children))
    assert [str(each.digest) for each in prune_layout(where)] == [index["digest"]]


def test_an_unreadable_reference_forbids_it(tmp_path: Path) -> None:
    layout = Layout()
    layout.blob(b"stray", "text/plain")
    one = layout.image(ONE)
    broken = layout.image(TWO)
    strange = {"mediaType": OCI_INDEX, "digest": "blake3:" + "0" * 64, "size": 3}
    nested = layout.index(strange)
    for entries in ((named(one, "a"), broken), (named(one, "a"), strange), (nested,)):
        files = dict(layout.finish(*entries))
        if broken in entries:
            files[f"blobs/sha256/{broken['digest'][7:]}"] = b"{}"
        where = write_files(tmp_path / "in", files)
        with pytest.raises((VerificationError, RefusedError), match="nothing was removed"):
            prune_layout(where)
        assert read_files(where) == files


def test_missing_children_of_a_sparse_index_are_no_obstacle(tmp_path: Path) -> None:
    layout, index, images = multi_platform("amd64", "arm64")
    layout.blob(b"stray", "text/plain")
    files = layout.finish(named(index, "x"))
    child = json.loads(blob(files, index))["manifests"][1]
    del files[f"blobs/sha256/{child['digest'][7:]}"]
    where = write_files(tmp_path / "in", files)
    removed = {each.digest.hex for each in prune_layout(where)}
    assert sha256(b"stray")[7:] in removed
    assert images["arm64"].digest[7:] in removed  # its manifest is gone, so nothing names it


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_what_an_image_needs_survives_any_deletion_of_others(
    tmp_path: Path, data: st.DataObject
) -> None:
    layout = Layout()
    images = [layout.image(make_image("base", str(number))) for number in range(4)]
    groups = data.draw(st.lists(st.lists(st.sampled_from(images), min_size=1), max_size=3))
    entries = images + [layout.index(*group) for group in groups]
    chosen = data.draw(st.lists(st.sampled_from(entries), unique_by=lambda e: e["digest"]))
    files: Files = layout.finish(*(named(e, str(n)) for n, e in enumerate(chosen)))
    where = tmp_path / sha256(dump(chosen))[7:20]
    write_files(where, files)
    prune_layout(where)
    after = read_files(where)
    needed: set[str] = set()
    pending = list(chosen)
    while pending:
        entry = pending.pop()
        needed |= paths(entry)
        document = json.loads(blob(files, entry))
        pending += document.get("manifests", [])
        if "config" in document:
            needed |= paths(document["config"], *document["layers"])
    assert blobs(after) == needed


def test_it_waits_for_the_lock_that_copies_take(tmp_path: Path) -> None:
    where = write_files(tmp_path / "in", layout_of(ONE))
    stray = where / "blobs" / "sha256" / sha256(b"stray")[7:]
    stray.write_bytes(b"stray")
    with Directory.open(where) as directory, locked_directory(directory):
        thread = threading.Thread(target=prune_layout, args=(where,))
        thread.start()
        thread.join(0.2)
        assert stray.exists()
        assert thread.is_alive()
    thread.join(30)
    assert not stray.exists()


def test_a_copy_that_reused_a_pruned_blob_fails_as_a_whole(tmp_path: Path) -> None:
    write_files(tmp_path / "in", layout_of(ONE))
    where = write_files(tmp_path / "out", layout_of(ONE))
    (where / "index.json").write_bytes(b'{"schemaVersion": 2, "manifests": []}')
    writer = open_writer(f"oci:{where}")
    with open_source(f"oci:{tmp_path / 'in'}") as source:
        writer.__enter__()
        copy_image(source, writer.destination("app"), CopyOptions())
        assert len(prune_layout(where)) == 4
        with pytest.raises(TarkitError, match="again"):
            writer.__exit__(None, None, None)
    assert read_files(where).keys() == {"index.json", "oci-layout"}


def test_a_copy_at_the_same_time_keeps_its_new_blobs(tmp_path: Path) -> None:
    write_files(tmp_path / "in", layout_of(ONE))
    where = write_files(tmp_path / "out", Layout().finish())
    with open_source(f"oci:{tmp_path / 'in'}") as source, open_writer(f"oci:{where}") as writer:
        copy_image(source, writer.destination("app"))
        assert prune_layout(where) == ()
    assert len(blobs(read_files(where))) == 4
    assert prune_layout(where) == ()


def test_only_layouts_are_pruned(tmp_path: Path) -> None:
    from tarkit.managing.places import place_of
    from tarkit.transports.location import Transport

    with pytest.raises(UnsupportedError, match="cannot prune"):
        place_of("docker://x/y", "prune", (Transport.OCI,))
