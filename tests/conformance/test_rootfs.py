"""Files of images, compared with those that umoci and Docker extract from the same layers."""

from __future__ import annotations

import json
import os
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tarkit.errors import TarkitError
from tarkit.protocols import Source
from tarkit.rootfs.filesystem import FileSystem
from tarkit.rootfs.output.directory import write_directory
from tarkit.rootfs.output.mkfs import write_erofs, write_squashfs
from tarkit.rootfs.output.tarball import save_tar
from tarkit.transports.location import open_source
from tests.builders import image_of, layout_of, write_files
from tests.conformance.tools import Tool
from tests.rootfs.layers import Item, file, pack, source_of, unaligned
from tests.rootfs.stacks import stacks
from tests.rootfs.trees import Facts, facts_of_directory, facts_of_image, facts_of_tar

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root unpacks everything")

UNLISTED = {"/", "/opt"}  # not in any layer, so umoci gives them the current time
LOCATIONS = [
    ("docker-archive:docker-20.10-save.tar", "one"),
    ("docker-archive:docker-29-graph-save.tar", "one"),
    ("docker-archive:docker-29-ctrd-save.tar", "one"),
    ("docker-archive:skopeo-docker-archive.tar", "one"),
    ("docker-archive:podman-docker-archive.tar", "one"),
    ("docker-archive:docker-20.10-save-multi.tar:@1", "two"),
    ("oci-archive:podman-oci-archive.tar", "one"),
    ("oci:crane-oci", "one"),
    ("oci:skopeo-oci-uncompressed", "one"),
    ("oci:skopeo-oci-zstd", "one"),
    ("dir:skopeo-dir", "one"),
]


def recorded(corpus: Path, name: str) -> Facts:
    facts: Facts = {}
    for line in (corpus / f"tree-{name}.jsonl").read_text().splitlines():
        fact = json.loads(line)
        path = fact.pop("path")
        facts[path] = fact | {"mode": int(fact["mode"], 8), "xattrs": fact.get("xattrs", {})}
    return comparable(facts)


def comparable(facts: Facts) -> Facts:
    """Return *facts* as recorded: odd names escaped, times to 100 ns, and no times that no layer sets."""
    result = {}
    for path, fact in facts.items():
        name = path.encode("utf-8", "backslashreplace").decode()
        time = None if path in UNLISTED else fact["mtime_ns"] // 100 * 100
        result[name] = fact | {"mtime_ns": time}
    return result


@pytest.mark.parametrize(("location", "name"), LOCATIONS)
def test_the_corpus_is_what_umoci_unpacked(
    corpus: Path, tmp_path: Path, location: str, name: str
) -> None:
    transport, _, path = location.partition(":")
    expected = recorded(corpus, name)
    with open_source(f"{transport}:{corpus / path}") as source:
        write_directory(source, tmp_path / "out")
        save_tar(source, tmp_path / "out.tar")
        with FileSystem.of(source) as files:
            assert comparable(facts_of_image(files)) == expected
    assert comparable(facts_of_directory(tmp_path / "out")) == expected
    assert comparable(facts_of_tar(tmp_path / "out.tar")) == expected


def test_the_tar_is_what_docker_exports(docker: Tool, corpus: Path, tmp_path: Path) -> None:
    archive = corpus / "docker-20.10-save.tar"
    docker("load", "--input", archive)
    with open_source(f"docker-archive:{archive}") as source:
        save_tar(source, tmp_path / "ours.tar")
        name = source.names[0]
    container = docker("create", name, "/bin/hello").strip()
    docker("export", "--output", tmp_path / "docker.tar", container)
    theirs, ours = (facts_of_tar(tmp_path / f"{n}.tar") for n in ("docker", "ours"))
    own = {"/.dockerenv", "/dev/console", "/dev/pts", "/dev/shm", "/proc", "/sys", "/etc/hosts",
           "/etc/hostname", "/etc/resolv.conf", "/etc/mtab"}  # fmt: skip
    assert theirs.keys() - own == ours.keys() - {"/"}
    for path in theirs.keys() - own - {"/dev", "/etc", "/opt"}:
        for facts in (theirs, ours):
            facts[path]["xattrs"].pop("user.note", None)  # docker exports only capabilities
            del facts[path]["mtime_ns"]
        assert theirs[path] == ours[path], path


def natural(item: Item) -> list[tuple[bool, str]]:
    """Return the sort key of real layers: parents first, whiteouts before their siblings."""
    return [(not part.startswith(".wh."), part) for part in item.name.split("/")]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stack=stacks())
def test_random_layers_match_umoci(umoci: Tool, stack: list[list[Item]]) -> None:
    stack = [sorted(layer, key=natural) for layer in stack]
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        write_files(top / "layout", layout_of(image_of([pack(layer) for layer in stack])))
        theirs = umoci.attempt("unpack", "--image", f"{top / 'layout'}:app", top / "bundle")
        try:
            with open_source(f"oci:{top / 'layout'}") as source:
                write_directory(source, top / "out")
        except TarkitError:
            return  # a hard link to a directory or a missing file
        if theirs.returncode == 0:
            expected = facts_of_directory(top / "bundle" / "rootfs")
            assert untimed(facts_of_directory(top / "out")) == untimed(expected)


def untimed(facts: Facts) -> Facts:
    return {
        path: {key: value for key, value in fact.items() if key != "mtime_ns"}
        for path, fact in facts.items()
    }


def test_gnu_tar_unpacks_the_same(
    require_tool: Callable[[str], Tool], corpus: Path, tmp_path: Path
) -> None:
    with open_source(f"oci:{corpus / 'crane-oci'}") as source:
        check_gnu_tar(require_tool("tar"), source, tmp_path)


def test_gnu_tar_unpacks_sparse_files_of_any_segments(
    require_tool: Callable[[str], Tool], tmp_path: Path
) -> None:
    with source_of(tmp_path, [unaligned("s"), file("t", "after")]) as source:
        check_gnu_tar(require_tool("tar"), source, tmp_path)


def check_gnu_tar(tar: Tool, source: Source, tmp_path: Path) -> None:
    save_tar(source, tmp_path / "out.tar")
    write_directory(source, tmp_path / "ours")
    (tmp_path / "theirs").mkdir()
    options = ("--extract", "--xattrs", "--xattrs-include=*", "--numeric-owner", "--same-owner")
    tar(*options, "--file", tmp_path / "out.tar", cwd=tmp_path / "theirs")
    assert facts_of_directory(tmp_path / "theirs") == facts_of_directory(tmp_path / "ours")


def test_squashfs_holds_the_image(
    require_tool: Callable[[str], Tool], corpus: Path, tmp_path: Path
) -> None:
    require_tool("mksquashfs")
    with open_source(f"oci:{corpus / 'crane-oci'}") as source:
        result = write_squashfs(source, tmp_path / "a.img")
        write_directory(source, tmp_path / "ours")
    (note,) = result.notes
    assert note.startswith("1 links have targets of more than 100 bytes")
    with open_source(f"docker-archive:{corpus / 'docker-20.10-save.tar'}") as source:
        write_squashfs(source, tmp_path / "b.img")
    assert (tmp_path / "a.img").read_bytes() == (tmp_path / "b.img").read_bytes()
    require_tool("unsquashfs")("-dest", tmp_path / "theirs", tmp_path / "a.img")
    theirs, ours = (facts_of_directory(tmp_path / name) for name in ("theirs", "ours"))
    for fact in (*theirs.values(), *ours.values()):
        fact["mtime_ns"] //= 10**9  # squashfs stores only seconds
    for facts in (theirs, ours):
        del facts["/"]  # the image has the time of its newest file
        del facts["/usr/lib/long-target"]  # mksquashfs 4.5 loses the last byte of a long target
    assert theirs == ours


def test_erofs_is_the_same_every_time(
    require_tool: Callable[[str], Tool], fixtures: Path, tmp_path: Path
) -> None:
    require_tool("mkfs.erofs")
    with open_source(f"docker-archive:{fixtures / 'hello.tar'}") as source:
        write_erofs(source, tmp_path / "a.img")
        write_erofs(source, tmp_path / "b.img")
    data = (tmp_path / "a.img").read_bytes()
    assert data[1024:1028] == bytes.fromhex("e2e1f5e0")  # erofs's magic number
    assert (tmp_path / "b.img").read_bytes() == data


def test_all_of_a_tars_names_are_relative(corpus: Path, tmp_path: Path) -> None:
    with open_source(f"oci:{corpus / 'crane-oci'}") as source:
        save_tar(source, tmp_path / "out.tar")
    with tarfile.open(tmp_path / "out.tar") as archive:
        assert not any(name.startswith("/") for name in archive.getnames())
