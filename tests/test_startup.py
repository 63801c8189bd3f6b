"""Test that ``import tarkit`` is cheap: heavy modules are imported on first use."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {
    "asyncio", "bz2", "click", "concurrent.futures", "ctypes", "email", "gzip", "http",
    "importlib.metadata", "isal", "jsonschema", "logging", "lzma", "magic", "multiprocessing",
    "pydantic", "requests", "rich", "socket", "sqlite3", "ssl", "subprocess", "tarfile", "tempfile",
    "typer", "unittest", "urllib.request", "urllib3", "yaml", "zipfile", "zstandard",
}  # fmt: skip


def loaded_by(statement: str) -> set[str]:
    """Return the modules that *statement* loads in a fresh interpreter."""
    code = f"import sys\nbefore = set(sys.modules)\n{statement}\nprint(*set(sys.modules) - before)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return set(result.stdout.split())


def test_importing_the_library_loads_nothing_heavy() -> None:
    assert sorted(loaded_by("import tarkit") & HEAVY) == []


def test_check_detects_loaded_modules() -> None:
    assert "tarfile" in loaded_by("import tarfile")
