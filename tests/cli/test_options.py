"""Test that shared options work in the same way in all commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.builders import listing
from tests.cli.conftest import Tarkit

WITHOUT_PLATFORM = {
    "list": ("{save}",),
    "verify": ("{save}",),
}
WITH_PLATFORM = {
    "copy": ("{save}:one:1", "oci:{out}"),
    "inspect": ("{save}:one:1",),
    "ls": ("{save}:one:1",),
    "cat": ("{save}:one:1", "base.txt"),
    "diff": ("{save}:one:1", "{save}:two:1"),
    "rootfs": ("{save}:one:1", "{out}"),
    "ext4": ("{save}:one:1", "{out}"),
    "squashfs": ("{save}:one:1", "{out}"),
    "erofs": ("{save}:one:1", "{out}"),
}


def call(tarkit: Tarkit, command: str, save: str, tmp_path: Path, *options: str) -> tuple[int, str]:
    places = {"save": save, "out": str(tmp_path / "out")}
    arguments = [
        argument.format(**places) for argument in (WITH_PLATFORM | WITHOUT_PLATFORM)[command]
    ]
    result = tarkit(command, *arguments, *options)
    return result.code, result.err


@pytest.mark.parametrize("platform", ["", "linux", "linux//v7"])
@pytest.mark.parametrize("command", WITH_PLATFORM)
def test_invalid_platforms_are_rejected(
    tarkit: Tarkit, save: str, tmp_path: Path, command: str, platform: str
) -> None:
    code, error = call(tarkit, command, save, tmp_path, "--platform", platform)
    expected = (
        f"{platform!r} is not a platform; write os/architecture[/variant], for example linux/arm64"
    )
    assert (code, error) == (2, f"tarkit: {expected}\n")
    assert listing(tmp_path) == ["save.tar"]


@pytest.mark.parametrize("command", sorted(WITH_PLATFORM.keys() - {"squashfs", "erofs"}))
def test_missing_platforms_are_reported(
    tarkit: Tarkit, save: str, tmp_path: Path, command: str
) -> None:
    code, error = call(tarkit, command, save, tmp_path, "--platform", "linux/arm64")
    assert code == 3
    assert "no image for linux/arm64; available: linux/amd64" in error
    assert listing(tmp_path) == ["save.tar"]


@pytest.mark.parametrize("uuid", ["", "1234"])
def test_invalid_uuids_are_rejected(tarkit: Tarkit, save: str, tmp_path: Path, uuid: str) -> None:
    code, error = call(tarkit, "ext4", save, tmp_path, "--uuid", uuid)
    assert (code, error) == (2, f"tarkit: invalid UUID {uuid!r}\n")
    assert listing(tmp_path) == ["save.tar"]


@pytest.mark.parametrize(
    "command", sorted((WITH_PLATFORM | WITHOUT_PLATFORM).keys() - {"squashfs", "erofs"})
)
def test_every_command_accepts_quiet(
    tarkit: Tarkit, save: str, tmp_path: Path, command: str
) -> None:
    code, error = call(tarkit, command, save, tmp_path, "-q")
    assert code == (1 if command == "diff" else 0)
    assert error == ""
