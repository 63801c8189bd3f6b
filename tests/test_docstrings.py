"""The docstrings of the public names have examples, and the examples run."""

from __future__ import annotations

import doctest
import enum
import inspect
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tarkit

NO_EXAMPLE = {
    # made by tarkit, and shown in the examples of what makes them
    "Artifact", "BuildResponse", "BuildResult", "CopyResult", "Difference", "Entry", "Finding", "History",
    "ImageEntry", "ImageInfo", "LayerInfo", "ManifestItem", "Preflight", "Profile", "Progress",
    "Report", "RootfsResult", "SourcePosition",
    # need a server
    "DockerDaemonReader", "DockerDaemonWriter", "RegistryReader", "RegistryWriter",
}  # fmt: skip
METHODS = ("OpenImage", "ImageBuilder")  # whose public methods have examples too


def is_exempt(name: str) -> bool:
    value = getattr(tarkit, name)
    return name in NO_EXAMPLE or (
        inspect.isclass(value)
        and (issubclass(value, BaseException | enum.Enum) or getattr(value, "_is_protocol", False))
    )


def documented() -> Iterator[tuple[str, Any]]:
    for name in tarkit.__all__:
        value = getattr(tarkit, name)
        if not is_exempt(name):
            yield name, value
        if name in METHODS:
            for method, function in inspect.getmembers(value, inspect.isfunction):
                if not method.startswith("_") and method != "close":
                    yield f"{name}.{method}", function


@pytest.mark.parametrize(("name", "value"), list(documented()), ids=lambda value: str(value)[:40])
def test_the_example_runs(
    name: str,
    value: Any,
    fixtures: Path,
    corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fixtures").mkdir()
    shutil.copy(fixtures / "hello.tar", tmp_path / "fixtures")
    shutil.copytree(corpus, tmp_path / "alpha")
    example = doctest.DocTestParser().get_doctest(
        inspect.getdoc(value) or "", {"tarkit": tarkit}, name, None, None
    )
    assert example.examples, f"{name} has no example"
    report: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=report.append)
    assert not report, "".join(report)


def test_functions_state_their_errors() -> None:
    for name in tarkit.__all__:
        value = getattr(tarkit, name)
        if inspect.isfunction(value) and name != "chain_ids":  # it cannot fail
            text = inspect.getdoc(value) or ""
            assert "rror" in text or "see :func:" in text, name
