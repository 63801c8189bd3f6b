"""Test that a location with the wrong transport, or none, is answered with the right form."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tarkit.tar.archive import Archive
from tests.hostile.running import Run, run_here

TRANSPORTS = ["oci", "oci-archive", "docker-archive", "dir"]
READING = ["list", "inspect", "verify"]


@pytest.fixture
def images(fixtures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with one image in each form, named after its transport."""
    monkeypatch.chdir(tmp_path)
    for transport in TRANSPORTS:
        name = "" if transport == "dir" else ":app:1"
        options = ["--docker-format", "classic"] if transport == "docker-archive" else []
        source = str(fixtures / "hello.tar")
        assert run_here("copy", source, f"{transport}:{transport}.x{name}", *options).code == 0
    return tmp_path


def fails(code: int, *arguments: str) -> Run:
    run = run_here(*arguments)
    assert (run.code, run.out, run.err.count("\n")) == (code, "", 1), run
    return run


@pytest.mark.parametrize("command", ["list", "inspect"])
def test_the_right_transport_is_suggested(images: Path, command: str) -> None:
    for actual in TRANSPORTS:
        for wrong in TRANSPORTS:
            run = run_here(command, f"{wrong}:{actual}.x")
            assert (run.code == 0) == (wrong == actual)
            suggested = f"write {actual}:{actual}.x" in run.err
            assert suggested == (wrong != actual), run.err


@pytest.mark.parametrize("wrong", ["oci", "dir"])
def test_verify_suggests_it_for_archives(images: Path, wrong: str) -> None:
    assert (
        "write docker-archive:docker-archive.x"
        in fails(3, "verify", f"{wrong}:docker-archive.x").err
    )


def test_an_archive_with_an_inner_error_is_read_once(
    images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[object] = []
    real = Archive.open.__func__  # type: ignore[attr-defined]

    def count(kind: type[Archive], path: Path) -> Archive:
        opened.append(path)
        archive: Archive = real(kind, path)
        return archive

    monkeypatch.setattr(Archive, "open", classmethod(count))
    data = (images / "docker-archive.x").read_bytes()
    (images / "cut.tar").write_bytes(data[: len(data) // 2])
    assert run_here("list", "oci-archive:cut.tar").code == 4
    assert len(opened) == 1


def test_both_halves_of_a_dual_archive_are_right(images: Path) -> None:
    assert run_here("copy", "oci:oci.x", "docker-archive:dual.x:app:1").code == 0
    for transport in ("docker-archive", "oci-archive"):
        run = run_here("list", f"{transport}:dual.x:gone")
        assert "write " not in run.err


@pytest.mark.parametrize("wrong", ["oci", "dir"])
def test_an_archive_is_not_replaced_by_a_directory(images: Path, wrong: str) -> None:
    before = (images / "docker-archive.x").read_bytes()
    run = fails(6, "copy", "oci:oci.x", f"{wrong}:docker-archive.x")
    assert "write docker-archive:" in run.err
    assert (images / "docker-archive.x").read_bytes() == before


@pytest.mark.parametrize("transport", ["docker-archive", "oci-archive"])
@pytest.mark.parametrize("content", [b"notes\n", b"x" * 5000, b"PK\x03\x04" * 300])
def test_an_unrelated_file_is_left_unchanged(images: Path, transport: str, content: bytes) -> None:
    (images / "notes").write_bytes(content)
    run = run_here("copy", "oci:oci.x", f"{transport}:notes:app:1")
    assert run.code in (4, 6)
    assert run.err.startswith("tarkit: notes: exists, but its images cannot be kept")
    assert run.err.endswith("it is left unchanged: remove it, or write to another file\n")
    assert (images / "notes").read_bytes() == content


@pytest.mark.parametrize("command", READING)
def test_a_file_with_a_colon_needs_no_transport(images: Path, command: str) -> None:
    shutil.copy(images / "docker-archive.x", images / "a:b.tar")
    for path in ("a:b.tar", "./a:b.tar"):
        assert (
            "without transport, write ./a:b.tar" in fails(3, command, f"docker-archive:{path}").err
        )
    assert run_here(command, "./a:b.tar").code == 0


REFERENCES = [
    "host.example/app:1",
    "host/name:tag",
    "localhost:5000/x:1",
    f"r.io/x@sha256:{'a' * 64}",
]


@pytest.mark.parametrize("reference", REFERENCES)
@pytest.mark.parametrize(
    "make",
    [
        lambda r: ("list", r),
        lambda r: ("verify", r),
        lambda r: ("copy", r, "oci:out"),
        lambda r: ("copy", "oci:oci.x", r),
    ],
)
def test_a_bare_reference_has_no_transport(
    images: Path, reference: str, make: Callable[[str], tuple[str, ...]]
) -> None:
    run = fails(2, *make(reference))
    assert (
        run.err
        == f"tarkit: no transport given: {reference!r}; for a registry write docker://{reference}\n"
    )


@pytest.mark.parametrize("path", ["nope", "dir/nope.tar", "./a:1", "../x:1"])
def test_a_missing_file_is_no_reference(images: Path, path: str) -> None:
    assert "no such file or directory" in fails(3, "list", path).err


def test_a_file_named_like_a_reference_is_read(images: Path) -> None:
    (images / "host").mkdir()
    shutil.copy(images / "docker-archive.x", images / "host" / "name:tag")
    assert run_here("list", "host/name:tag").code == 0


def test_a_mistyped_transport_is_named(images: Path) -> None:
    err = fails(2, "list", "oci-archve:app.tar").err
    assert "unknown transport 'oci-archve'" in err
    assert "oci-archive" in err


@pytest.mark.parametrize(
    "host",
    [
        "localhost:5000",
        "127.0.0.1:5000",
        "registry.example",
        "registry.example:443",
        "localhost:5000/",
    ],
)
@pytest.mark.parametrize("command", READING)
def test_a_registry_is_no_repository(command: str, host: str) -> None:
    bare = host.rstrip("/")
    err = fails(2, command, f"docker://{host}").err
    assert err == f"tarkit: {bare!r} is a registry, not a repository; write docker://{bare}/NAME\n"


def test_standard_output_needs_an_archive(images: Path) -> None:
    err = fails(2, "copy", "oci:oci.x", "-").err
    assert err.endswith("write docker-archive:- or oci-archive:-\n")


@pytest.mark.parametrize(
    "name", ["out.zip", "out.7z", "OUT.ZIP", "out.tar.xz", "out.cpio", "out.squashfs"]
)
def test_a_root_filesystem_is_a_directory_or_tar(images: Path, name: str) -> None:
    assert "unsupported format" in fails(2, "rootfs", "oci:oci.x", name).err
    assert not (images / name).exists()


@pytest.mark.parametrize("transport", ["oci", "oci-archive"])
def test_positions_are_counted_in_the_message(images: Path, transport: str) -> None:
    place = f"{transport}:{transport}.x"
    assert "no image @7: there is one image, @0" in fails(3, "inspect", f"{place}:@7").err
    for tag in ("2", "3"):
        assert run_here("copy", "dir:dir.x", f"{place}:app:{tag}").code == 0
    assert "there are 3 images, @0 to @2" in fails(3, "list", f"{place}:@7").err
