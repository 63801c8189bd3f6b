"""Test messages: what failed, where, and what to do. Each is one line."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest

from tests.builders import (
    Image,
    docker_archive,
    layout_of,
    listing,
    squeeze,
    tar,
    write_files,
)
from tests.cli.conftest import ONE, TWO, Tarkit


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put images and other files in the working directory."""
    monkeypatch.chdir(tmp_path)
    docker_archive(tmp_path / "app.tar", (ONE, ["app:1"]), (TWO, ["b:1"]), (TWO, ["c:1"]))
    docker_archive(tmp_path / "one.tar", (ONE, ["app:1"]))
    (tmp_path / "notes.txt").write_text("notes\n")


def message(tarkit: Tarkit, code: int, *arguments: str) -> str:
    """Return the one line that the failing command prints."""
    result = tarkit(*arguments)
    assert (result.code, result.out, result.err.count("\n")) == (code, "", 1), result
    return result.err.removeprefix("tarkit: ").removesuffix("\n")


@pytest.mark.parametrize("command", ["list", "inspect", "verify", "ls"])
def test_an_archive_is_no_layout(tarkit: Tarkit, command: str) -> None:
    assert message(tarkit, 3, command, "oci:one.tar") == (
        "one.tar: not a directory; it is a docker archive: write docker-archive:one.tar"
    )


@pytest.mark.parametrize(
    ("destination", "kind"),
    [
        ("oci:notes.txt:x", "an OCI layout; name a new or empty directory"),
        ("docker-archive:notes.txt:x", "an archive of images; it is left unchanged"),
        ("oci-archive:notes.txt:x", "an archive of images; it is left unchanged"),
    ],
)
def test_the_output_holds_an_unrelated_file(tarkit: Tarkit, destination: str, kind: str) -> None:
    error = message(tarkit, 6, "copy", "one.tar", destination)
    assert error.startswith(f"notes.txt: exists and is not {kind}")
    assert Path("notes.txt").read_text() == "notes\n"


@pytest.mark.parametrize(
    "content",
    [b"\0" * 1024 + b"data", tar({"readme": b"text"}), b"\x1f\x8b" + b"x" * 100],
    ids=["zeros", "tar", "gzip"],
)
def test_an_archive_of_other_things_is_left_unchanged(tarkit: Tarkit, content: bytes) -> None:
    Path("notes.txt").write_bytes(content)
    result = tarkit("copy", "one.tar", "docker-archive:notes.txt:x")
    assert result.code in (4, 6)
    assert "it is left unchanged: remove it, or write to another file" in result.err
    assert Path("notes.txt").read_bytes() == content


@pytest.mark.parametrize("source", ["-", "docker-archive:-", "oci-archive:-"])
def test_nothing_came_through_the_pipe(
    tarkit: Tarkit, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO())))
    expected = "standard input: is empty; did the command before the pipe fail?"
    assert message(tarkit, 6, "list", source) == expected
    assert message(tarkit, 6, "copy", source, "oci:out:x").endswith(expected)


def test_a_position_beyond_the_last(tarkit: Tarkit) -> None:
    error = message(tarkit, 3, "inspect", "docker-archive:app.tar:@7")
    assert error.startswith("app.tar: no image @7: there are 3 images, @0 to @2")
    error = message(tarkit, 3, "inspect", "docker-archive:one.tar:@7")
    assert error.startswith("one.tar: no image @7: there is one image, @0")


@pytest.mark.parametrize("host", ["127.0.0.1:5000", "registry.example", "localhost:5000/"])
def test_a_registry_is_no_repository(tarkit: Tarkit, host: str) -> None:
    name = host.rstrip("/")
    assert message(tarkit, 2, "list", f"docker://{host}") == (
        f"{name!r} is a registry, not a repository; write docker://{name}/NAME"
    )


MISSING = {
    "copy app.tar": "DST; example: tarkit copy app.tar oci:layout:app",
    "copy": "DST; example: tarkit copy docker-archive:app.tar oci:layout:app",
    "sync list.yaml": "DST; example: tarkit sync list.yaml docker://registry.example/mirror/",
    "rootfs app.tar": "DEST; example: tarkit rootfs docker-archive:app.tar app/",
    "ext4 app.tar": "OUT; example: tarkit ext4 docker-archive:app.tar app.ext4",
    "cat app.tar": "PATH; example: tarkit cat docker-archive:app.tar /etc/os-release",
    "diff app.tar": "SRC2; example: tarkit diff docker-archive:old.tar docker-archive:new.tar",
    "tag oci:x": "NAME; example: tarkit tag oci:layout:app app-1.0",
    "inspect": "SRC; example: tarkit inspect docker-archive:app.tar:app:1",
    "login": "HOST[:PORT]; example: tarkit login -u user registry.example",
    "index": "COMMAND; example: tarkit index create",
    "index create oci:x:y": "SRC; example: tarkit index create",
}


@pytest.mark.parametrize("line", MISSING)
def test_a_missing_argument_is_shown_in_an_example(tarkit: Tarkit, line: str) -> None:
    assert message(tarkit, 2, *line.split()).startswith(f"missing {MISSING[line]}")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("inspect a b c", "unexpected arguments: b c; usage: tarkit inspect [OPTIONS] SRC"),
        ("copy --jobs many a b", "invalid value for '--jobs': 'many' is not a whole number"),
        ("copy --jbos 2 a b", "no such option: --jbos (Possible options: --jobs"),
        ("copy --compression rar a b", "invalid value for '--compression': 'rar' is not one of"),
        ("ext4 --inodes x a b", "invalid value for '--inodes': 'x' is not a whole number"),
        ("copy a b --platform", "option '--platform' requires an argument"),
        ("index nope", "no such command 'nope'"),
    ],
)
def test_errors_of_the_parser_read_like_others(tarkit: Tarkit, line: str, expected: str) -> None:
    assert message(tarkit, 2, *line.split()).startswith(expected)


@pytest.mark.parametrize(
    "name", ["out.zip", "OUT.ZIP", "out.tar.xz", "out.tar.Z", "out.tar.lzo", "out.iso", "out.img"]
)
def test_an_unsupported_format_is_no_name_of_a_directory(tarkit: Tarkit, name: str) -> None:
    assert message(tarkit, 2, "rootfs", "one.tar", name) == (
        f"unsupported format: {name!r}; use .tar, .tar.gz or .tar.zst, or the name of a directory"
    )
    assert not Path(name).exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("copy", "one.tar", "oci:new/deep/dir:x"),
        ("copy", "one.tar", "dir:new/deep/dir"),
        ("sync", "one.tar", "oci:new/deep/dir"),
        ("rootfs", "one.tar", "new/deep/dir"),
    ],
)
def test_a_new_directory_gets_its_parents(tarkit: Tarkit, arguments: tuple[str, ...]) -> None:
    assert tarkit(*arguments).code == 0
    assert listing(Path("new/deep")) == ["dir"]


def test_parents_of_a_failed_output_are_removed(tarkit: Tarkit) -> None:
    data = bytearray(Path("one.tar").read_bytes())
    data[600:610] = b"x" * 10  # in the first blob
    Path("broken.tar").write_bytes(data)
    assert tarkit("rootfs", "broken.tar", "new/deep/dir").code == 4
    assert not Path("new").exists()


@pytest.mark.parametrize(
    ("line", "output"),
    [
        ("copy one.tar docker-archive:-", "the archive"),
        ("copy one.tar oci-archive:-:x", "the archive"),
        ("copy app.tar --all-images docker-archive:-", "the archive"),
        ("sync app.tar docker-archive:-", "the archive"),
        ("rootfs one.tar -", "the tar"),
        (f"blob get docker-archive:one.tar {ONE.digest}", "the blob"),
    ],
)
def test_no_archive_goes_to_a_terminal(
    tarkit: Tarkit, monkeypatch: pytest.MonkeyPatch, line: str, output: str
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setattr("tarkit.cli.output._Named.isatty", lambda self: True)
    assert message(tarkit, 2, *line.split()) == (
        f"{output} would be written to the terminal; name a file, or use a pipe"
    )


@pytest.mark.parametrize("source", ["-", "docker-archive:-"])
def test_a_source_on_a_terminal_waits(
    tarkit: Tarkit, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    archive = io.BytesIO(Path("one.tar").read_bytes())
    terminal = io.TextIOWrapper(io.BufferedReader(archive))
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stdin", terminal)
    result = tarkit("list", source)
    assert (result.code, result.err) == (
        0,
        "tarkit: waiting for an archive on standard input, which is a terminal and not a pipe\n",
    )


def test_a_name_with_a_port_has_no_transport(tarkit: Tarkit) -> None:
    for name in ("host:5000/name", "host:5000/name:tag", "host/name:tag"):
        expected = f"no transport given; for a registry write docker://{name}"
        assert message(tarkit, 2, "inspect", name) == expected
        assert message(tarkit, 2, "copy", "one.tar", name) == expected


def test_diff_ids_are_verified_on_request(tarkit: Tarkit) -> None:
    wrong = ONE.config.replace(ONE.diff_ids[0].encode(), b"sha256:" + b"0" * 64)
    write_files(Path("wrong"), layout_of(Image(ONE.layers, wrong), pack=squeeze))
    assert tarkit("copy", "oci:wrong", "oci:out:x").code == 0
    error = message(tarkit, 4, "copy", "-q", "--verify-diff-ids", "oci:wrong", "oci:new:x")
    assert "digest mismatch" in error
    assert not os.path.lexists("new")
