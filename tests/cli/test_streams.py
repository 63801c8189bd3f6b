"""Standard streams that the shell closed."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders import check_layout, read_files

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")


def sh(command: str, directory: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """*command*, in which ``tarkit`` is this one, as a shell in *directory* runs it."""
    script = f'tarkit() {{ {shlex.quote(sys.executable)} -m tarkit "$@"; }}\n{command}'
    return subprocess.run(
        ["sh", "-c", script],
        cwd=directory,
        capture_output=True,
        text=True,
        env=os.environ | environment,
        check=False,
    )


@pytest.mark.parametrize(
    "command",
    [
        "copy docker-archive:- oci:out <&-",
        "verify - <&-",
        "list - <&-",
        "copy {save}:one:1 docker-archive:-:a:1 >&-",
        "inspect --raw {save}:one:1 >&-",
        "cat {save}:one:1 base.txt >&-",
    ],
)
def test_a_stream_that_is_needed_and_closed_is_an_error(
    save: str, tmp_path: Path, command: str
) -> None:
    run = sh(f"tarkit {command.format(save=save)}", tmp_path)
    assert run.returncode == 1
    assert re.fullmatch(r"tarkit: standard (in|out)put: is closed\n", run.stderr)


def test_nobody_has_to_listen(save: str, tmp_path: Path) -> None:
    assert sh(f"tarkit copy {save}:one:1 oci:out:x 2>&-", tmp_path).returncode == 0
    check_layout(read_files(tmp_path / "out"))


def test_what_nobody_hears_is_not_said_elsewhere(save: str, tmp_path: Path) -> None:
    sh(f"tarkit rootfs {save}:one:1 - > heard.tar", tmp_path)
    assert sh(f"tarkit rootfs {save}:one:1 - 2>&- > a.tar", tmp_path).returncode == 0
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "heard.tar").read_bytes()
    copied = sh(f"tarkit copy --json {save}:one:1 oci:out:x 2>&-", tmp_path)
    assert json.loads(copied.stdout)["digest"]
    failed = sh("tarkit list oci:gone 2>&-", tmp_path)
    assert (failed.returncode, failed.stdout) == (3, "")
