"""Test the completions; tests/conformance runs them in real shells."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.builders import docker_archive, image_of, layout_of, make_image, tar, write_files
from tests.cli.conftest import ONE, TWO, Tarkit


@pytest.fixture
def complete(tarkit: Tarkit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tarkit:
    """Return a function that completes a line in a directory with images."""
    monkeypatch.chdir(tmp_path)
    docker_archive(tmp_path / "save.tar", (ONE, ["one:1"]), (TWO, ["two:1", "two:2"]))
    write_files(tmp_path / "layout", layout_of(make_image("x"), "stable"))
    files = tar({"etc/hosts": b"", "etc/host name": b"", "bin/sh": b"", "etc/ssl/cert": b""})
    docker_archive(tmp_path / "files.tar", (image_of([files]), ["files:1"]))
    (tmp_path / ".hidden").touch()
    return tarkit


def completed(complete: Tarkit, line: str, shell: str = "fish") -> list[str]:
    """Return the values that complete *line*."""
    result = complete("__complete", shell, line, ":=")
    assert (result.code, result.err) == (0, "")
    return [value.partition("\t")[0] for value in result.out.splitlines()]


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("tarkit co", ["copy", "completion"]),
        ("tarkit index ", ["create", "add", "remove"]),
        ("tarkit --override-os linux dig", ["digest"]),
        ("tarkit copy --dest", ["--dest-creds"]),
        ("tarkit copy --compression ", ["auto", "preserve", "gzip", "zstd", "none"]),
        ("tarkit copy --compression=z", ["--compression=zstd"]),
        ("tarkit copy --sparse k", ["keep"]),
        ("tarkit ext4 --profile ", ["default", "ro", "compat"]),
        ("tarkit copy --platform linux/arm", ["linux/arm64", "linux/arm/v7"]),
        ("tarkit completion ", ["bash", "zsh", "fish"]),
        ("tarkit help ver", ["verify"]),
        ("tarkit help index r", ["remove"]),
        ("tarkit help copy ", []),
        ("tarkit copy --authfile s", ["save.tar"]),
        ("tarkit copy --authfile .", [".hidden"]),
        ("tarkit list doc", ["docker-archive:", "docker://", "docker-daemon:"]),
        ("tarkit list l", ["layout/"]),
        ("tarkit list oci:", ["oci:layout/"]),
        ("tarkit list oci:layout", ["oci:layout/", "oci:layout:stable"]),
        ("tarkit list oci-archive:sa", ["oci-archive:save.tar"]),
        ("tarkit copy docker-archive:save.tar:", [
            "docker-archive:save.tar:one:1", "docker-archive:save.tar:two:1",
            "docker-archive:save.tar:two:2",
        ]),
        ("tarkit copy docker-archive:save.tar:two:1 oci:lay", ["oci:layout/"]),
        ("tarkit diff docker-archive:save.tar:two:1 oci:layout:", ["oci:layout:stable"]),
        ("tarkit list docker-archive:absent.tar:", []),
        ("tarkit ls files.tar ", ["bin/", "etc/"]),
        ("tarkit ls files.tar /e", ["/etc/"]),
        ("tarkit cat files.tar etc/ho", ["etc/host name", "etc/hosts"]),
        ("tarkit cat files.tar /etc/s", ["/etc/ssl/"]),
        ("tarkit cat absent.tar /", []),
        ("tarkit cat docker://registry.example/app /", []),
        ("tarkit cat - /", []),
        ("tarkit nope ", []),
    ],
)  # fmt: skip
def test_completions(complete: Tarkit, line: str, values: list[str]) -> None:
    found = completed(complete, line)
    if line.startswith(("tarkit list doc", "tarkit nope")):
        assert set(values) <= set(found) or not found
    else:
        assert sorted(found) == sorted(values)


def test_bash_replaces_what_follows_a_colon(complete: Tarkit) -> None:
    line = "tarkit list docker-archive:save.tar:two"
    assert completed(complete, line, "bash") == ["two:1", "two:2"]
    assert completed(complete, "tarkit copy --compression=z", "bash") == ["zstd"]
    assert completed(complete, "tarkit cat files.tar etc/ho", "bash") == [
        "etc/host\\ name",
        "etc/hosts",
    ]


def test_a_large_image_is_not_read(complete: Tarkit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tarkit.cli.candidates._MOST_READ", 10)
    assert completed(complete, "tarkit ls files.tar /") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script(tarkit: Tarkit, shell: str) -> None:
    result = tarkit("completion", shell)
    assert (result.code, f"__complete {shell}" in result.out) == (0, True)
    assert tarkit("completion", "tcsh").code == 2
