"""A cache manager in a temporary store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tarkit.cache.manager import CacheManager


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def manager(root: Path) -> Iterator[CacheManager]:
    with CacheManager.open(root) as opened:
        yield opened


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Return a function that runs a command, which must succeed, and returns its output."""
    from tarkit.cli.app import run as run_command

    monkeypatch.setattr("signal.signal", lambda *arguments: None)

    def call(*arguments: str) -> str:
        capfd.readouterr()
        assert run_command(list(arguments)) == 0
        return capfd.readouterr().out

    return call
