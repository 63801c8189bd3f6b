"""Test the validation of copy options."""

from __future__ import annotations

from typing import Any

import pytest

from tarkit.copying.options import CopyOptions, LayerCompression
from tarkit.errors import UsageError


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"jobs": 0}, "0 jobs"),
        ({"compression": LayerCompression.GZIP, "level": 10}, "gzip has the levels 0 to 9, not 10"),
        ({"compression": LayerCompression.ZSTD, "level": 23}, "zstd has the levels 0 to 22"),
        ({"level": 99}, "not 99"),
        ({"level": -1}, "not -1"),
        ({"compression": LayerCompression.NONE, "level": 1}, "nothing is compressed"),
        ({"preserve_digests": True, "level": 1}, "nothing is compressed"),
    ],
)
def test_invalid_options(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        CopyOptions(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"compression": LayerCompression.GZIP, "level": 9},
        {"compression": LayerCompression.ZSTD, "level": 0},
        {"compression": LayerCompression.PRESERVE, "level": 9},  # not every destination can
        {"level": 12, "jobs": 1},
    ],
)
def test_options_checked_later(options: dict[str, Any]) -> None:
    assert CopyOptions(**options).level == options["level"]
