"""The scripts of the fixtures make the committed files."""

from __future__ import annotations

from pathlib import Path

from fixtures.make_hello import hello_tar


def test_the_script_makes_hello_tar(fixtures: Path) -> None:
    assert hello_tar() == (fixtures / "hello.tar").read_bytes()
