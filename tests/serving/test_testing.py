"""The registry for the tests of users."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tarkit import open_source
from tarkit.testing import registry
from tests.builders import copy, docker_archive, make_image, read_files

ONE = make_image("base", "one")
ROOT = Path(__file__).parent.parent.parent


def test_a_registry_takes_and_returns_an_image(tmp_path: Path) -> None:
    archive = docker_archive(tmp_path / "save.tar", (ONE, ["one:1"]))
    with registry() as server:
        copy(f"docker-archive:{archive}", f"docker://{server.address}/team/one:1")
        assert server.references == (f"{server.address}/team/one:1",)
        with open_source(f"docker://{server.address}/team/one:1") as source:
            assert str(source.manifest().digest).startswith("sha256:")


def test_a_registry_keeps_its_images_in_a_directory(tmp_path: Path) -> None:
    archive = docker_archive(tmp_path / "save.tar", (ONE, ["one:1"]))
    with registry(tmp_path / "layout") as server:
        copy(f"docker-archive:{archive}", f"docker://{server.address}/one:1")
    assert "index.json" in read_files(tmp_path / "layout")
    with registry(tmp_path / "layout") as server:
        assert server.references == (f"{server.address}/one:1",)


def test_the_fixture_is_a_registry_for_each_test(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["tarkit.testing"]\n')
    (tmp_path / "test_it.py").write_text(
        "import urllib.request\n"
        "def test_first(tarkit_registry):\n"
        "    answer = urllib.request.urlopen(tarkit_registry.url + '/v2/_catalog')\n"
        "    assert answer.read() == b'{\"repositories\": []}'\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    result = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
    )
    assert "1 passed" in result.stdout, result.stdout + result.stderr


def test_pytest_is_optional() -> None:
    code = (
        "import sys\n"
        "sys.modules['pytest'] = None\n"
        "from tarkit.testing import registry\n"
        "with registry() as server: print(server.url)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=ROOT,
    )
    assert result.stdout.startswith("http://127.0.0.1:")
