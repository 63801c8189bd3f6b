"""Write OCI layouts and archives: names, shared layers, existing files, leftovers."""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import sys
import tarfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from tarkit.cli.app import run
from tarkit.copying.engine import copy_image
from tarkit.copying.options import CopyOptions, LayerCompression
from tarkit.errors import (
    DigestMismatchError,
    MalformedError,
    PathNotFoundError,
    RefusedError,
    TarkitError,
    TransportError,
)
from tarkit.image.digest import Digest
from tarkit.image.manifest import Manifest
from tarkit.image.media_types import OCI_CONFIG, OCI_LAYER_GZIP
from tarkit.streams.verify import VerifyingReader
from tarkit.transports.location import Location, open_source, open_writer
from tests.builders import (
    Files,
    Layout,
    blob,
    check_layout,
    copy,
    docker_archive,
    dump,
    image_of,
    layout_of,
    leftovers,
    listing,
    load,
    make_image,
    named,
    names_in,
    on,
    read_files,
    squeeze,
    tar,
    untar,
    write_files,
)

ONE, TWO = make_image("base", "one"), make_image("base", "two")
KINDS = ["oci", "oci-archive"]
both_kinds = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(autouse=True)
def sources(tmp_path: Path) -> None:
    write_files(tmp_path / "one", layout_of(ONE, "one"))
    write_files(tmp_path / "two", layout_of(TWO, "two"))


def files_of(path: Path) -> Files:
    return read_files(path) if path.is_dir() else untar(path)


def write(tmp_path: Path, kind: str, *steps: tuple[str, list[str]]) -> Files:
    """Write images under names with one writer; return the resulting files."""
    out = tmp_path / "out"
    with open_writer(Location.parse(f"{kind}:{out}")) as writer:
        for name, names in steps:
            with open_source(f"oci:{tmp_path / name}") as source:
                copy_image(source, writer.destination(*names), CopyOptions())
    assert leftovers(tmp_path) == []
    return files_of(out)


def config_digest(files: Files, name: str | None) -> str:
    (entry,) = (
        entry
        for entry in check_layout(files)["manifests"]
        if entry.get("annotations", {}).get("org.opencontainers.image.ref.name") == name
    )
    return str(load(files, entry)["config"]["digest"])


@both_kinds
def test_several_images_share_their_layers(tmp_path: Path, kind: str) -> None:
    files = write(tmp_path, kind, ("one", ["a"]), ("two", ["b", "c"]))
    assert names_in(check_layout(files)) == ["a", "b", "c"]
    assert config_digest(files, "a") == ONE.digest
    assert config_digest(files, "c") == TWO.digest
    assert list(files.values()).count(squeeze(ONE.layers[0])) == 1


@both_kinds
def test_a_name_moves_to_the_latest_image(tmp_path: Path, kind: str) -> None:
    files = write(tmp_path, kind, ("one", ["a"]), ("two", ["a"]))
    assert names_in(check_layout(files)) == ["a"]
    assert config_digest(files, "a") == TWO.digest


@pytest.mark.parametrize("kind", ["oci-archive", "docker-archive"])
@pytest.mark.parametrize("at_first", [False, True])
def test_images_added_by_another_process_are_kept(
    tmp_path: Path, kind: str, at_first: bool
) -> None:
    """An archive is rewritten as a whole without a lock, so the writer must notice changes."""
    out = f"{kind}:{tmp_path / 'out'}"
    if at_first:
        copy(f"oci:{tmp_path / 'one'}", f"{out}:base:1")
    with ExitStack() as stack:
        writer = stack.enter_context(open_writer(Location.parse(out)))
        source = stack.enter_context(open_source(f"oci:{tmp_path / 'one'}"))
        copy_image(source, writer.destination("mine:1"), CopyOptions())
        copy(f"oci:{tmp_path / 'two'}", f"{out}:theirs:1")
        theirs = (tmp_path / "out").read_bytes()
        with pytest.raises(RefusedError, match="another process changed the file"):
            stack.close()
    assert (tmp_path / "out").read_bytes() == theirs
    assert leftovers(tmp_path) == []
    with open_source(f"{out}:theirs:1") as source:
        assert source.names


@both_kinds
@pytest.mark.parametrize("flat", [False, True])
def test_other_fields_of_the_index_are_kept(tmp_path: Path, kind: str, flat: bool) -> None:
    """This includes a flat index, which becomes one entry beside the new image."""
    layout = Layout()
    images = [layout.image(ONE), layout.image(TWO)]
    layout.finish(
        *(on(images[0], "linux/amd64"), on(images[1], "linux/arm64"))
        if flat
        else (named(images[0], "a"), named(images[1], "b"))
    )
    said = {"annotations": {"org.example.kept": "yes"}, "vnd.example": {"so": "is this"}}
    before = layout.files["index.json"] = dump(json.loads(layout.files["index.json"]) | said)
    out = f"{kind}:{tmp_path / 'out'}"
    if kind == "oci":
        write_files(tmp_path / "out", layout.files)
    else:
        (tmp_path / "out").write_bytes(tar(layout.files))
    assert run(["copy", "-q", f"oci:{tmp_path / 'one'}", f"{out}:new"]) == 0

    files = files_of(tmp_path / "out")
    index = check_layout(files)
    assert config_digest(files, "new") == ONE.digest
    if flat:
        assert names_in(index) == [None, "new"]
        assert blob(files, index["manifests"][0]) == before
        assert not index.keys() & said.keys()
    else:
        assert names_in(index) == ["a", "b", "new"]
        assert {key: index[key] for key in said} == said


@both_kinds
def test_an_image_without_a_name(tmp_path: Path, kind: str) -> None:
    files = write(tmp_path, kind, ("one", []), ("one", []))
    assert names_in(check_layout(files)) == [None]


@both_kinds
def test_nothing_is_written_without_a_commit(tmp_path: Path, kind: str) -> None:
    with open_writer(Location.parse(f"{kind}:{tmp_path / 'out'}")):
        pass
    assert listing(tmp_path) == ["one", "two"]


@both_kinds
def test_an_error_in_the_block_discards_everything(tmp_path: Path, kind: str) -> None:
    def fail() -> None:
        with open_writer(Location.parse(f"{kind}:{tmp_path / 'out'}")) as writer:
            with open_source(f"oci:{tmp_path / 'one'}") as source:
                copy_image(source, writer.destination("a"))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert listing(tmp_path) == ["one", "two"]


@both_kinds
def test_a_failing_blob_never_becomes_visible_and_the_retry_works(
    tmp_path: Path, kind: str
) -> None:
    data = squeeze(ONE.layers[0])
    image = image_of(ONE.layers[:1])
    with open_writer(Location.parse(f"{kind}:{tmp_path / 'out'}")) as writer:
        destination = writer.destination("x")
        bad = VerifyingReader(io.BytesIO(data[:-1] + b"x"), digest=Digest.of(data))
        with pytest.raises(DigestMismatchError):
            destination.put_blob(bad, OCI_LAYER_GZIP)
        layer = destination.put_blob(VerifyingReader(io.BytesIO(data)), OCI_LAYER_GZIP)
        config = destination.put_blob(VerifyingReader(io.BytesIO(image.config)), OCI_CONFIG)
        manifest = Manifest("application/vnd.oci.image.manifest.v1+json", config, (layer,))
        destination.put_manifest(manifest.serialize())
        assert destination.commit() == manifest.serialize().descriptor
    files = files_of(tmp_path / "out")
    check_layout(files)
    assert len(files) == 5


@both_kinds
def test_sha512_blobs(tmp_path: Path, kind: str) -> None:
    layout = Layout()
    entry = layout.image(ONE)
    manifest = json.loads(layout.files.pop(f"blobs/sha256/{entry['digest'][7:]}"))
    for descriptor in [manifest["config"], *manifest["layers"]]:
        data = layout.files.pop(f"blobs/sha256/{descriptor['digest'][7:]}")
        digest = Digest.of(data, "sha512")
        layout.files[f"blobs/sha512/{digest.hex}"] = data
        descriptor["digest"] = str(digest)
    entry = layout.blob(json.dumps(manifest).encode(), entry["mediaType"])
    write_files(tmp_path / "in", layout.finish(named(entry, "x")))
    copy(f"oci:{tmp_path / 'in'}", f"{kind}:{tmp_path / 'out'}:x")
    files = files_of(tmp_path / "out")
    check_layout(files)
    assert {n for n in files if "blobs" in n} == {n for n in layout.files if "blobs" in n}


def test_adding_to_an_existing_layout(tmp_path: Path) -> None:
    layout = Layout()
    extra = layout.image(TWO) | {"annotations": {"vendor": "kept"}, "x-unknown": [1]}
    files = layout.finish(extra)
    files["unrelated"] = b"kept"
    write_files(tmp_path / "out", files)
    copy(f"oci:{tmp_path / 'one'}", f"oci:{tmp_path / 'out'}:one")
    after = read_files(tmp_path / "out")
    index = check_layout(after)
    assert index["manifests"][0] == extra
    assert names_in(index) == [None, "one"]
    assert after["unrelated"] == b"kept"


def test_copying_again_changes_no_byte(tmp_path: Path) -> None:
    for _ in range(2):
        copy(f"oci:{tmp_path / 'one'}", f"oci:{tmp_path / 'out'}:x")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*") if p.is_file()}
    copy(f"oci:{tmp_path / 'one'}", f"oci:{tmp_path / 'out'}:x")
    assert {p: p.stat().st_mtime_ns for p in before if p.name == "index.json"} == {
        p: mtime for p, mtime in before.items() if p.name == "index.json"
    }


def test_an_empty_directory_is_filled(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    copy(f"oci:{tmp_path / 'one'}", f"oci:{tmp_path / 'out'}:x")
    assert config_digest(read_files(tmp_path / "out"), "x") == ONE.digest


def test_anything_else_at_the_path_is_kept(tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "file").write_bytes(b"mine")
    for path in (tmp_path / "dir", tmp_path / "dir" / "file"):
        with pytest.raises(RefusedError, match="exists and is not an OCI layout"):
            copy(f"oci:{tmp_path / 'one'}", f"oci:{path}:x")
    assert listing(tmp_path / "dir") == ["file"]


def test_an_archive_needs_its_parent_directory(tmp_path: Path) -> None:
    with pytest.raises(PathNotFoundError):
        copy(f"oci:{tmp_path / 'one'}", f"oci-archive:{tmp_path / 'gone' / 'out'}:x")


@pytest.mark.parametrize("transport", ["oci", "dir"])
def test_missing_parents_of_a_directory_are_created(tmp_path: Path, transport: str) -> None:
    path = tmp_path / "new" / "deep" / "out"
    copy(f"oci:{tmp_path / 'one'}", f"{transport}:{path}")
    assert listing(tmp_path / "new" / "deep") == ["out"]


@pytest.mark.parametrize("transport", ["oci", "dir"])
@pytest.mark.parametrize("kept", [False, True], ids=["all new", "used by another process"])
def test_created_parents_are_removed_after_a_failure(
    tmp_path: Path, transport: str, kept: bool
) -> None:
    def fail() -> None:
        with open_writer(f"{transport}:{tmp_path / 'new/deep/out'}"):
            if kept:
                (tmp_path / "new" / "other").touch()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert (tmp_path / "new").exists() == kept
    assert not (tmp_path / "new" / "deep").exists()


def test_parents_are_not_created_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(TarkitError, match="file"):
        copy(f"oci:{tmp_path / 'one'}", f"oci:{tmp_path / 'file' / 'deep' / 'out'}")
    assert (tmp_path / "file").read_bytes() == b"mine"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc")
@pytest.mark.parametrize("transport", ["oci", "dir", "docker-archive", "oci-archive"])
def test_a_directory_that_accepts_no_files_is_named_as_such(tmp_path: Path, transport: str) -> None:
    with pytest.raises(TransportError, match="/proc: cannot create files there"):
        copy(f"oci:{tmp_path / 'one'}", f"{transport}:/proc/out")


def test_adding_to_a_broken_layout_fails(tmp_path: Path) -> None:
    write_files(tmp_path / "out", {"oci-layout": b'{"imageLayoutVersion": "9"}'})
    with pytest.raises(MalformedError, match="layout version"):
        copy(f"oci:{tmp_path / 'one'}", f"oci:{tmp_path / 'out'}:x")
    assert listing(tmp_path / "out") == ["oci-layout"]


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_modes_do_not_depend_on_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        copy(f"oci:{tmp_path / 'one'}", f"oci:{tmp_path / 'out'}:x")
        copy(f"oci:{tmp_path / 'two'}", f"oci:{tmp_path / 'out'}:y")
        copy(f"oci:{tmp_path / 'one'}", f"oci-archive:{tmp_path / 'out.tar'}:x")
    finally:
        os.umask(before)
    for path in [tmp_path / "out", tmp_path / "out.tar", *(tmp_path / "out").rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o755 if path.is_dir() else 0o644), path


def test_an_archive_ends_with_its_index_and_has_no_owners_or_times(tmp_path: Path) -> None:
    write(tmp_path, "oci-archive", ("one", ["a"]))
    with tarfile.open(tmp_path / "out") as archive:
        members = archive.getmembers()
    assert [member.name for member in members][-2:] == ["index.json", "oci-layout"]
    for member in members:
        assert (member.uid, member.gid, member.uname, member.gname, member.mtime) == (
            0,
            0,
            "",
            "",
            0,
        )


@pytest.mark.parametrize("compression", [LayerCompression.GZIP, LayerCompression.ZSTD])
def test_archives_are_the_same_bytes_at_any_jobs(
    tmp_path: Path, compression: LayerCompression
) -> None:
    save = docker_archive(tmp_path / "save.tar", (ONE, ["one:1"]))
    outputs = set()
    for jobs in (1, 4):
        out = tmp_path / f"{jobs}.tar"
        copy(f"docker-archive:{save}", f"oci-archive:{out}:x", jobs=jobs, compression=compression)
        outputs.add(out.read_bytes())
    assert len(outputs) == 1


def test_an_archive_on_standard_output(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tarkit", "copy", f"oci:{tmp_path / 'one'}", "oci-archive:-:x"]
    result = subprocess.run(command, capture_output=True, check=True)
    copy(f"oci:{tmp_path / 'one'}", f"oci-archive:{tmp_path / 'out.tar'}:x")
    assert result.stdout == (tmp_path / "out.tar").read_bytes()


def test_commit_needs_a_manifest(tmp_path: Path) -> None:
    for kind in (*KINDS, "docker-archive", "dir"):
        with open_writer(Location.parse(f"{kind}:{tmp_path / 'out'}")) as writer:
            destination = writer.destination()
            with pytest.raises(RuntimeError, match="before put_manifest"):
                destination.commit()
