"""Options of the form NAME=VALUE."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from tarkit.errors import UsageError


def parse_pairs(option: str, texts: Sequence[str]) -> dict[str, str]:
    """Return the values by name; raises UsageError if an equals sign is missing."""
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise UsageError(f"{option}: {text[:80]!r} is not NAME=VALUE")
        pairs[name] = value
    return pairs


def parse_arguments(texts: Sequence[str]) -> dict[str, str]:
    """Return build arguments as options; one without a value has that of the environment, if any."""
    given = [text if "=" in text else f"{text}={os.environ[text]}" for text in texts
             if "=" in text or text in os.environ]  # fmt: skip
    return {f"build-arg:{name}": value for name, value in parse_pairs("--build-arg", given).items()}


def parse_directories(texts: Sequence[str]) -> dict[str, Path]:
    """Return local directories by name; raises UsageError."""
    return {name: Path(path) for name, path in parse_pairs("--local", texts).items()}
