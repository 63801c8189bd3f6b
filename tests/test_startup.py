"""``import tarkit`` stays light: what a command needs is imported when the command runs."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {
    "asyncio", "bz2", "click", "concurrent.futures", "ctypes", "email", "gzip", "http",
    "importlib.metadata", "isal", "jsonschema", "logging", "lzma", "magic", "multiprocessing",
    "pydantic", "requests", "rich", "socket", "sqlite3", "ssl", "subprocess", "tarfile", "tempfile",
    "typer", "unittest", "urllib.request", "urllib3", "zipfile", "zstandard",
}  # fmt: skip


def loaded_by(statement: str) -> set[str]:
    """The modules a fresh, isolated interpreter holds after *statement* and not before."""
    code = f"import sys\nbefore = set(sys.modules)\n{statement}\nprint(*set(sys.modules) - before)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return set(result.stdout.split())


def test_importing_the_library_loads_nothing_heavy() -> None:
    assert sorted(loaded_by("import tarkit") & HEAVY) == []


def test_the_check_sees_what_is_loaded() -> None:
    assert "tarfile" in loaded_by("import tarfile")
