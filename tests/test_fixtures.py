"""The committed fixture files are what their scripts make."""

from __future__ import annotations

from pathlib import Path

from fixtures.make_hello import hello_tar


def test_hello_tar_is_what_its_script_makes(fixtures: Path) -> None:
    assert hello_tar() == (fixtures / "hello.tar").read_bytes()
