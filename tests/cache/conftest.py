"""A cache manager in a temporary store."""

from __future__ import annotations

from collections.abc import Iterator
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
