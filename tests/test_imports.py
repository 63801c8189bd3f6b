"""Imports only go down: between packages, and between the modules of a package."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "tarkit"

STACK = (
    "values", "patterns", "redaction", "errors", "tracing", "findings", "image", "streams", "progress", "tar", "blobs", "protocols",
    "selection", "layout", "store",
)  # fmt: skip
BACKENDS = {
    f"transports.{path.stem}"
    for path in PACKAGE.glob("transports/*")
    if path.stem not in {"__init__", "__pycache__", "location", "sniff", "advice"}
}
LOCATION = {*STACK, *BACKENDS}
ROOTFS = {*STACK} - {"findings", "blobs", "layout", "store"}
CACHE = {*STACK, "rootfs"}
FRONT = {"transports", "transports.location", "transports.sniff", "transports.advice"}
VERIFYING = {*LOCATION, *FRONT}
ARTIFACTS = {*ROOTFS, *FRONT, "rootfs", "ext4"}
MANAGING = {*VERIFYING, "copying"}
SYNCING = {*LOCATION, *FRONT, "copying"}
LIBRARY = {*VERIFYING, "copying", "verifying", "rootfs"}
EXPORTERS = {*VERIFYING, "copying", "rootfs", "cache"}
SOLVER = {*CACHE, "cache", "llb", "executor", "transports.registry"}
ABOVE = {
    *("managing", "syncing", "artifacts", "library", "building", "filesystems", "serving"),
    *("llb", "cache", "executor", "solver", "exporters", "gateway", ""),
}
EVERYTHING = {*LIBRARY, "ext4", *ABOVE}

MAY_IMPORT: dict[str, set[str]] = {
    **{package: set(STACK[:height]) for height, package in enumerate(STACK)},
    **{backend: set(STACK) for backend in BACKENDS},
    # a daemon speaks in docker archives
    "transports.docker_daemon": {*STACK, "transports.docker_archive"},
    "transports.sniff": LOCATION,  # the transport of a location that names none
    "transports.advice": {*LOCATION, "transports.sniff"},
    "transports.location": {*LOCATION, "transports.sniff", "transports.advice", "rootfs", "cache"},
    "transports": {*LOCATION, "transports.location"},
    "copying": set(STACK),
    "managing": MANAGING,
    "syncing": SYNCING,
    "verifying": VERIFYING,
    "rootfs": ROOTFS,
    "llb": {"values", "patterns", "redaction", "errors", "image"},
    "ext4": {"values", "errors", "streams"},
    "artifacts": ARTIFACTS,
    "cache": CACHE,
    "executor": {*ROOTFS, "rootfs"},
    # files from the web come through the client for registries
    "solver": SOLVER,
    "exporters": EXPORTERS,
    "gateway": {*EXPORTERS, *SOLVER, "exporters", "solver"},
    "serving": {*LOCATION, *FRONT},
    "testing": {"serving"},
    "library": LIBRARY,
    "building": {*LIBRARY, "library"},
    "filesystems": {*LIBRARY, "library"},
    "": EVERYTHING - {""},  # tarkit/__init__.py, the library's front
    "cli": EVERYTHING,
    "__main__": {"cli", ""},
}

CODECS = {"bz2", "gzip", "isal", "lzma", "zlib", "zstandard"}
CHECKSUMS = {"zlib.adler32"}  # what a codec's module has besides
TOP_LEVEL = {
    "cli": {"typer", "rich", "click"},
    "testing": {"pytest"},
    "filesystems": {"fsspec"},
}  # third parties a package may import at its top


@dataclass(frozen=True, slots=True)
class Import:
    """One imported name, in the module that imports it."""

    module: Path
    line: int
    name: str
    at_top: bool

    def __str__(self) -> str:
        return f"{self.module.relative_to(ROOT)}:{self.line} imports {self.name}"


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def dotted(path: Path) -> tuple[str, ...]:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


def package_of(name: str) -> str:
    """The package a dotted name lives in; names the package front exports itself are in package ''."""
    inner = name.split(".")[1:]
    depth = 2 if inner[:1] == ["transports"] else 1
    while depth and not is_module(inner[:depth]):
        depth -= 1
    return ".".join(inner[:depth])


def is_module(inner: list[str]) -> bool:
    path = PACKAGE.joinpath(*inner)
    return len(inner) > 0 and (path.is_dir() or path.with_suffix(".py").is_file())


def imports_of(path: Path) -> Iterator[Import]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = dotted(path) if path.name == "__init__.py" else dotted(path)[:-1]
    top = {id(node) for node in executed_on_import(tree.body)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            origin = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{origin}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            yield Import(path, node.lineno, name, id(node) in top)


def executed_on_import(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Every statement that runs when the module is imported: outside functions and type checking."""
    for node in body:
        yield node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from executed_on_import(node.orelse)
            continue
        for field in ("body", "orelse", "finalbody", "handlers"):
            for child in getattr(node, field, []):
                yield from executed_on_import([child])


def is_codec(found: Import) -> bool:
    return found.name.split(".")[0] in CODECS and found.name not in CHECKSUMS


IMPORTS = [found for path in modules() for found in imports_of(path)]


def test_every_package_has_its_place_in_the_order() -> None:
    packages = {package_of(".".join(dotted(path))) for path in modules()}
    assert packages <= MAY_IMPORT.keys(), "a new package: say here what it may import"


def test_imports_only_go_down() -> None:
    wrong = []
    for found in IMPORTS:
        if found.name.split(".")[0] != "tarkit":
            continue
        importer, imported = package_of(".".join(dotted(found.module))), package_of(found.name)
        if imported != importer and imported not in MAY_IMPORT[importer]:
            wrong.append(f"{found}: {importer or 'tarkit'} knows nothing of {imported or 'tarkit'}")
    assert not wrong, "\n".join(wrong)


def test_modules_do_not_import_each_other_in_a_circle() -> None:
    names = {".".join(dotted(path)) for path in modules()}
    below: dict[str, set[str]] = {name: set() for name in names}
    for found in IMPORTS:
        imported = found.name if found.name in names else found.name.rpartition(".")[0]
        if imported in names:
            below[".".join(dotted(found.module))].add(imported)
    try:
        TopologicalSorter({name: found - {name} for name, found in below.items()}).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(error.args[1]))


def test_only_streams_imports_codecs() -> None:
    wrong = [
        str(found)
        for found in IMPORTS
        if is_codec(found) and package_of(".".join(dotted(found.module))) != "streams"
    ]
    assert not wrong, "\n".join(wrong)


def test_third_parties_and_codecs_are_imported_where_they_are_used() -> None:
    wrong = []
    for found in IMPORTS:
        origin = found.name.split(".")[0]
        outside = origin not in sys.stdlib_module_names and origin != "tarkit"
        allowed = TOP_LEVEL.get(package_of(".".join(dotted(found.module))), set())
        if found.at_top and (outside or is_codec(found)) and origin not in allowed:
            wrong.append(str(found))
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import a.b", [("a.b", True)]),
        ("from ..errors import TarkitError", [("tarkit.errors.TarkitError", True)]),
        ("from . import sniff", [("tarkit.transports.sniff", True)]),
        ("def f() -> None:\n    import typer", [("typer", False)]),
        ("class C:\n    import typer", [("typer", True)]),
        ("if TYPE_CHECKING:\n    import typer\nelse:\n    import rich", [("typer", False), ("rich", True)]),
        ("try:\n    import a\nexcept E:\n    import b", [("a", True), ("b", True)]),
    ],
)  # fmt: skip
def test_the_reading_of_imports_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, expected: list[tuple[str, bool]]
) -> None:
    module = tmp_path / "tarkit" / "transports" / "location.py"
    module.parent.mkdir(parents=True)
    module.write_text(source)
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    assert [(found.name, found.at_top) for found in imports_of(module)] == expected
