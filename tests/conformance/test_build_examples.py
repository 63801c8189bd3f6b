"""The programs in ``examples/`` build images that work."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import tarkit
from tests.conformance.tools import Tool, find_tool

EXAMPLES = Path(__file__).parents[2] / "examples"
DEMO = {
    "demo/__init__.py": "print('the demo runs')\n",
    "demo-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: demo\nVersion: 1\n",
    "demo-1.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "demo-1.dist-info/RECORD": "",
}

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with ``tools/busybox``, in which the test runs."""
    find_tool("runc")
    busybox = find_tool("busybox").command[0]
    (tmp_path / "tools").mkdir()
    shutil.copy(busybox, tmp_path / "tools" / "busybox")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TARKIT_STORE", str(tmp_path / "store"))
    return tmp_path


def build(program: str, *arguments: str) -> str:
    tarkit_command = Tool((sys.executable, "-m", "tarkit"))
    return tarkit_command("build", EXAMPLES / program, *arguments)


def test_a_site_is_compressed_and_served(place: Path) -> None:
    (place / "pages" / "sub").mkdir(parents=True)
    (place / "pages" / "sub" / "index.html").write_text("<p>hello</p>")
    output = "type=oci,dest=site.tar,name=site"
    build("static_site.py", "--local", "tools=tools", "--local", "site=pages", "--output", output)
    with tarkit.open_image("site.tar") as image:
        paths = {entry.path for entry in image.files.walk("/srv")}
        assert {"/srv/sub/index.html", "/srv/sub/index.html.gz"} <= paths
        assert "httpd" in image.config.document["config"]["Entrypoint"]


def test_an_application_is_installed_without_a_network(place: Path) -> None:
    root = place / "root"
    python_root(root)
    wheels = place / "wheels"
    wheels.mkdir()
    (pip,) = sorted(Path("/usr/share/python-wheels").glob("pip-*.whl"))[:1]
    shutil.copy(pip, wheels)
    with zipfile.ZipFile(wheels / "demo-1-py3-none-any.whl", "w") as wheel:
        for name, text in DEMO.items():
            wheel.writestr(name, text)
    build(
        "python_app.py", "--local", "python=root", "--local", "wheels=wheels",
        "--build-arg", "APP=demo", "--output", "type=oci,dest=app.tar,name=app",
    )  # fmt: skip
    with tarkit.open_image("app.tar") as image:
        assert image.files.read_text("/app/demo/__init__.py") == DEMO["demo/__init__.py"]


def python_root(root: Path) -> None:
    """Make a root filesystem of this system's shell and Python, with their libraries only."""
    programs = [Path("/bin/sh").resolve(), Path("/usr/bin/python3").resolve()]
    files = set(programs)
    for program in [*programs, *Path("/usr/lib").glob("python3*/lib-dynload/*.so")]:
        listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
        words = (word for line in listed.stdout.splitlines() for word in line.split())
        files |= {Path(word) for word in words if word.startswith("/")}
    certificates = Path(
        "/etc/ssl/certs/ca-certificates.crt"
    )  # Debian's pip loads them at its start
    if certificates.exists():
        files.add(certificates)
    for file in files:
        target = root / file.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    (library,) = [path for path in Path("/usr/lib").glob("python3.*") if path.is_dir()][:1]
    skipped = shutil.ignore_patterns("test", "__pycache__", "config-*", "idlelib", "tkinter")
    shutil.copytree(library, root / "usr" / "lib" / library.name, ignore=skipped)
    for directory in ("bin", "usr/bin", "tmp"):
        (root / directory).mkdir(parents=True, exist_ok=True)
    for name, program in zip(("bin/sh", "usr/bin/python3"), programs, strict=True):
        if not (root / name).exists():
            (root / name).symlink_to(program)


def test_stages_are_merged_without_copies(place: Path) -> None:
    output = "type=oci,dest=tools.tar,name=tools"
    build("stages.py", "--local", "tools=tools", "--output", output)
    with tarkit.open_image("tools.tar") as image:
        assert image.files.readlink("/bin/ls") == "/bin/busybox"
        assert "httpd" in image.files.read_text("/doc/commands")
        assert len(image.layers) == 3
    assert place.is_dir()
