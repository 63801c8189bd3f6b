"""Test that commands start fast: they load only the modules that they need.

Modules are counted and named, because a limit in seconds would depend on the machine.
"""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.builders import docker_archive, layout_of, make_image, write_files

ROOT = Path(__file__).parents[1]

HEAVY = {
    "asyncio", "bz2", "click", "concurrent.futures", "ctypes", "email", "gzip", "http",
    "importlib.metadata", "importlib.resources", "isal", "jsonschema", "logging", "lzma", "magic",
    "multiprocessing", "pydantic", "random", "requests", "rich", "secrets", "socket", "sqlite3",
    "ssl", "subprocess", "tarfile", "tempfile", "typer", "unittest", "urllib.request", "urllib3",
    "xml", "yaml", "zipfile", "zstandard",
}  # fmt: skip

UNUSED = {
    "artifacts", "ext4", "findings", "image.schema", "image.schema1", "rootfs", "streams.workers",
    "tar.sparse", "tar.spool", "transports.docker_archive.legacy", "transports.docker_daemon",
    "transports.oci_archive", "transports.registry.credentials", "transports.registry.options",
    "verifying",
}  # fmt: skip
"""Packages and modules of tarkit that no small command on files needs."""

READING = UNUSED | {"blobs.writing", "copying", "streams.members", "tar.writer"}

COMMANDS = [  # arguments, the modules that they must not load, and the most modules of tarkit
    ("inspect docker-archive:image.tar", READING, 77),
    ("inspect oci:layout:latest", READING, 57),
    ("list docker-archive:image.tar", READING, 77),
    ("list oci:layout", READING, 57),
    ("copy docker-archive:image.tar oci:copy:latest", UNUSED, 112),
    ("copy oci:layout:latest oci:copy:latest", UNUSED | {"transports.docker_archive.reader"}, 89),
]
LISTING = """
import sys
sys.path.insert(0, {root!r})
before = set(sys.modules)
try:
    {statement}
finally:
    with open({report!r}, "w") as file:
        print(*sorted(set(sys.modules) - before), file=file)
"""


def loaded_by(statement: str, directory: Path) -> set[str]:
    """Return the modules that *statement* loads in a fresh interpreter in *directory*."""
    report = directory / "modules"
    code = LISTING.format(statement=statement, root=str(ROOT), report=str(report))
    subprocess.run([sys.executable, "-c", code], cwd=directory, check=True, timeout=60)
    return set(report.read_text().split())


def loaded_by_command(arguments: str, directory: Path) -> set[str]:
    """Return the modules that ``tarkit`` with *arguments* loads in *directory*."""
    command = (
        f"sys.argv = {['tarkit', *arguments.split()]}; from tarkit.__main__ import main; main()"
    )
    return loaded_by(command, directory)


def of_tarkit(loaded: set[str]) -> set[str]:
    """Return the names of tarkit's own modules among *loaded*, without the package's name."""
    return {name.removeprefix("tarkit.") for name in loaded if name.startswith("tarkit.")}


@cache
def floor() -> frozenset[str]:
    """Return the modules that importing typer loads, as every command except --version must."""
    code = "import sys, typer; print(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return frozenset(result.stdout.split())


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Return a directory with a small image as a docker archive and as a layout."""
    image = make_image("one", "two")
    docker_archive(tmp_path / "image.tar", (image, ["app:latest"]))
    write_files(tmp_path / "layout", layout_of(image, "latest"))
    return tmp_path


def test_the_check_detects_loaded_modules(tmp_path: Path) -> None:
    assert "tarfile" in loaded_by("import tarfile", tmp_path)


def test_importing_the_library_loads_nothing_heavy(tmp_path: Path) -> None:
    loaded = loaded_by("import tarkit", tmp_path)
    assert loaded & HEAVY == set()
    assert loaded <= {"__future__", "tarkit"}


def test_definitions_load_nothing_heavy(tmp_path: Path) -> None:
    loaded = loaded_by("from tarkit import llb; llb.image('a').run('x').marshal()", tmp_path)
    assert loaded & HEAVY == set()
    packages = {name.split(".")[0] for name in of_tarkit(loaded)}
    assert packages == {"errors", "image", "llb", "patterns", "redaction", "values"}


def test_the_version_needs_neither_typer_nor_the_library(tmp_path: Path) -> None:
    loaded = loaded_by_command("--version", tmp_path)
    assert loaded & (HEAVY | {"enum", "re", "typing"}) == set()
    assert of_tarkit(loaded) == {"__main__"}


@pytest.mark.parametrize(
    ("arguments", "needless", "most"), COMMANDS, ids=[row[0] for row in COMMANDS]
)
def test_a_small_command_loads_only_what_it_needs(
    arguments: str, needless: set[str], most: int, images: Path
) -> None:
    loaded = loaded_by_command(arguments, images)
    needed = {"isal"} if arguments.startswith("copy docker-archive") else set()  # it compresses
    assert loaded & (HEAVY - floor()) == needed
    ours = of_tarkit(loaded)
    packages = {".".join(name.split(".")[:depth]) for name in ours for depth in (1, 2, 3)}
    assert packages & needless == set()
    assert len(ours) <= most, f"{len(ours)} modules of tarkit: {sorted(ours)}"


def test_typer_compiles_no_annotations() -> None:
    """typer evaluates each annotation that is a string; a command may have 30 of them."""
    from tarkit.cli.app import build_app

    for command in build_app([]).registered_commands:
        assert command.callback is not None
        annotations = command.callback.__annotations__
        assert [name for name, value in annotations.items() if isinstance(value, str)] == []
