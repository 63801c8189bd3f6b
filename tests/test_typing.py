"""Type checkers know every public name, and reject a misspelt one."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SNIPPET = """\
import tarkit

with tarkit.open_image("app.tar") as image:
    reveal_type(image.files.read_text("/etc/hostname"))
tarkit.copyimage
"""


def test_mypy_rejects_a_misspelt_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    api = pytest.importorskip("mypy.api")
    snippet = tmp_path / "snippet.py"
    snippet.write_text(SNIPPET)
    monkeypatch.chdir(tmp_path)  # without the configuration of this repository
    monkeypatch.setenv("MYPYPATH", str(ROOT))
    # the bodies of tarkit's modules are not checked, which would take a minute
    output, errors, status = api.run(
        ["--follow-imports=silent", "--ignore-missing-imports", "snippet.py"]
    )
    assert 'Revealed type is "str"' in output.replace("builtins.", ""), output + errors
    assert 'snippet.py:5: error: Module has no attribute "copyimage"' in output
    assert status == 1
