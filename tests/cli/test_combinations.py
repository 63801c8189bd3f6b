"""Test that an option that would have no effect is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tarkit.copying.options import CopyOptions, Sparse
from tarkit.errors import UsageError
from tests.cli.conftest import Tarkit

READING = ["list", "inspect", "verify", "ls", "cat", "rootfs", "ext4", "squashfs"]
REGISTRY = [("--creds", "a:b"), ("--authfile", "x"), ("--no-tls-verify",), ("--cert-dir", "x")]
OPERANDS = {"cat": ["/x"], "rootfs": ["out"], "ext4": ["out"], "squashfs": ["out"]}


def is_refused(tarkit: Tarkit, option: str, *arguments: str | Path) -> None:
    result = tarkit(*arguments)
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert f"{option} has no effect" in result.err


@pytest.mark.parametrize("command", READING)
@pytest.mark.parametrize("option", REGISTRY, ids=lambda option: option[0])
def test_registry_options_need_a_registry(
    tarkit: Tarkit, save: str, command: str, option: tuple[str, ...]
) -> None:
    is_refused(tarkit, option[0], command, f"{save}:one:1", *OPERANDS.get(command, []), *option)


@pytest.mark.parametrize("option", REGISTRY, ids=lambda option: option[0])
def test_two_locations_need_one_registry(
    tarkit: Tarkit, save: str, option: tuple[str, ...]
) -> None:
    is_refused(tarkit, option[0], "diff", f"{save}:one:1", f"{save}:two:1", *option)
    is_refused(tarkit, option[0], "copy", f"{save}:one:1", "oci:out", *option)
    for arguments in (
        ("diff", f"{save}:one:1", "docker://localhost:1/x"),
        ("diff", "docker://localhost:1/x", f"{save}:one:1"),
        ("copy", f"{save}:one:1", "docker://localhost:1/x:1"),
    ):
        assert "has no effect" not in tarkit(*arguments, *option).err


@pytest.mark.parametrize("command", READING)
def test_only_layouts_hold_links(tarkit: Tarkit, save: str, command: str) -> None:
    for source in (f"{save}:one:1", save.removeprefix("docker-archive:")):
        operands = OPERANDS.get(command, [])
        is_refused(tarkit, "--follow-links", command, source, *operands, "--follow-links")


@pytest.mark.parametrize(
    ("destination", "options"),
    [
        ("oci:{dir}/out:x", ["--src-creds", "a:b"]),
        ("oci:{dir}/out:x", ["--dest-creds", "a:b"]),
        ("docker://localhost:1/x:1", ["--src-creds", "a:b"]),
        ("dir:{dir}/out", ["--tag", "x"]),
        ("oci:{dir}/out:x", ["--docker-format", "classic"]),
        ("oci-archive:{dir}/out:x", ["--docker-format", "dual"]),
        ("docker-archive:{dir}/out:x:1", ["--verify-existing"]),
        ("dir:{dir}/out", ["--verify-existing"]),
        ("oci:{dir}/out:x", ["--sparse", "keep"]),
        ("oci:{dir}/out:x", ["--all", "--sparse", "strip"]),
    ],
)
def test_options_of_a_copy_fit_its_ends(
    tarkit: Tarkit, save: str, tmp_path: Path, destination: str, options: list[str]
) -> None:
    option = next(word for word in options if word not in ("--all",))
    is_refused(tarkit, option, "copy", f"{save}:one:1", destination.format(dir=tmp_path), *options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("sparse", [Sparse.STRIP, Sparse.REFUSE])
def test_a_single_platform_has_no_index_to_strip(sparse: Sparse) -> None:
    with pytest.raises(UsageError, match="only one platform"):
        CopyOptions(sparse=sparse)
    CopyOptions(sparse=sparse, all=True)
    CopyOptions(sparse=Sparse.KEEP)


@pytest.mark.parametrize("option", ["--raw", "--config"])
def test_stored_bytes_are_not_converted_to_json(tarkit: Tarkit, save: str, option: str) -> None:
    result = tarkit("inspect", option, "--json", f"{save}:one:1")
    assert (result.code, result.out) == (2, "")
    assert f"{option} and --json are mutually exclusive" in result.err


@pytest.mark.parametrize(
    ("option", "sizes"),
    [(["--free", "5%"], ["64M", "min"]), (["--align", "8M"], ["64M"])],
)
def test_a_given_size_of_ext4_is_final(
    tarkit: Tarkit, save: str, tmp_path: Path, option: list[str], sizes: list[str]
) -> None:
    out = tmp_path / "out"
    for size in sizes:
        is_refused(tarkit, option[0], "ext4", f"{save}:one:1", out, "--size", size, *option)
    assert tarkit("ext4", f"{save}:one:1", out, *option).code == 0
