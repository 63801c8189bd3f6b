"""Run recorded cases of BuildKit against tarkit.

Each file of cases has a module here with a function ``run(case)``: it raises AssertionError if
tarkit differs, and :class:`Skipped` if it cannot do yet what the case needs. If cases refer to each
other, the module has a function ``runner(cases)`` instead, which returns ``run``.
"""

from __future__ import annotations

import json
import lzma
import sys
import tarfile
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

Case = dict[str, Any]
Run = Callable[[Case], None]

FILES = {
    "cachekeys.jsonl": "cachekeys",
    "contenthash.jsonl": "contenthash",
    "dockerd-20.10.jsonl": "dockerd",
    "exporters.tar.xz": "exporters",
    "files.jsonl.xz": "files",
    "gateway.jsonl": "gateway",
    "llb.jsonl": "llb",
    "wire.jsonl": "wire",
}
"""The module that runs the cases of each file; its cases are skipped while there is no module."""


class Skipped(Exception):
    """The case needs something that tarkit cannot do yet."""


def cases(path: Path) -> Iterator[Case]:
    """Yield the cases in *path*: lines of JSON, plain, compressed, or in an archive."""
    if path.name.endswith(".tar.xz"):
        with tarfile.open(path) as archive:
            members = [member for member in archive if member.name.endswith("cases.jsonl")]
            for member in members:
                file = archive.extractfile(member)
                assert file is not None
                yield from map(json.loads, file.read().splitlines())
        return
    data = path.read_bytes()
    plain = lzma.decompress(data) if path.suffix == ".xz" else data
    yield from map(json.loads, plain.splitlines())


def run_of(module: str, recorded: Sequence[Case]) -> Run | None:
    """Return the function that runs the *recorded* cases, None if there is no such module yet."""
    name = f"tests.golden.{module}"
    try:
        found = import_module(name)
        run: Run = found.runner(recorded) if hasattr(found, "runner") else found.run
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return None
    return run


def main(arguments: list[str]) -> int:
    """Run every case of every known file in a directory; return the exit code."""
    if len(arguments) != 1 or not Path(arguments[0]).is_dir():
        print("usage: python -m tests.golden DIR", file=sys.stderr)
        return 2
    directory = Path(arguments[0])
    passed = failed = skipped = 0
    for name, module in FILES.items():
        if not (directory / name).exists():
            continue
        recorded = list(cases(directory / name))
        run = run_of(module, recorded)
        for case in recorded:
            try:
                if run is None:
                    raise Skipped(f"no module runs {name}")
                run(case)
                passed += 1
            except Skipped:
                skipped += 1
            except Exception as error:  # noqa: BLE001  a bug fails the case
                failed += 1
                title = case.get("name", case.get("kind", "case"))
                print(f"{name}: {title}: {type(error).__name__}: {error}")
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0
