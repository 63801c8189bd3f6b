"""``tarkit store`` and ``--store``: output, JSON and exit codes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tarkit.cli.app import run
from tests.builders import Layout, image_of, named, tar, write_files
from tests.cli.conftest import Tarkit

pytestmark = pytest.mark.usefixtures("root")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of the store that the environment selects."""
    root = tmp_path / "store"
    monkeypatch.setenv("TARKIT_STORE", str(root))
    return root


@pytest.fixture
def layout(tmp_path: Path) -> str:
    """The location of a layout with the images ``one`` and ``two``."""
    content = Layout()
    entries = [
        named(content.image(image_of([tar({name: name.encode() * 100})])), name)
        for name in ("one", "two")
    ]
    return f"oci:{write_files(tmp_path / 'in', content.finish(*entries))}"


def test_a_store_from_beginning_to_end(tarkit: Tarkit, root: Path, layout: str) -> None:
    assert tarkit("store", "list").code == 3
    assert tarkit("copy", f"{layout}:one", f"{layout}:two", "store:").code == 0
    listed = tarkit("store", "list", "--json").document["images"]
    assert [image["name"] for image in listed] == [
        "docker.io/library/one:latest", "docker.io/library/two:latest",
    ]  # fmt: skip
    assert tarkit("list", "store:").out == tarkit("store", "list").out
    assert tarkit("cat", "store:one", "one").out == "one" * 100
    assert tarkit("ls", "store:two").out == tarkit("ls", f"{layout}:two").out
    assert tarkit("verify", "store:one").code == 0
    assert tarkit("store", "verify", "--deep").out == "ok\n"
    assert tarkit("store", "verify", "--json").document == {"ok": True, "problems": []}

    removed = tarkit("store", "remove", "one", "--json").document
    assert removed["names"] == ["docker.io/library/one:latest"]
    assert (removed["blobs"], removed["layers"]) == (3, 1)
    result = tarkit("store", "remove", "one")
    assert (result.code, result.out) == (3, "")
    assert result.err.startswith(f"tarkit: {root}: no image 'one'; available: ")
    result = tarkit("store", "remove", "@0")
    assert result.code == 0
    assert "removed docker.io/library/two:latest with 3 blobs" in result.err
    assert tarkit("store", "list", "--json").document == {"images": []}


def test_verify_and_repair(tarkit: Tarkit, root: Path, layout: str) -> None:
    tarkit("copy", f"{layout}:one", "store:one")
    (root / "tarkit.db").write_bytes(b"damaged" * 1000)
    result = tarkit("store", "verify")
    assert result.code == 4
    assert result.out.startswith("tarkit.db: the database is damaged (")
    assert result.err == "tarkit: run: tarkit store repair\n"
    result = tarkit("store", "remove", "one")
    assert result.code == 4
    assert result.err.endswith("run: tarkit store repair\n")
    assert result.err.count("\n") == 1
    assert tarkit("cat", "store:one", "one").code == 0
    result = tarkit("store", "repair")
    assert (result.code, result.out) == (0, "")
    assert result.err == (
        "tarkit: rebuilt the database; the store has 3 blobs, 0 layers and 0 records\n"
    )
    assert tarkit("store", "verify").code == 0

    blob = max((root / "content" / "sha256").iterdir(), key=lambda path: path.stat().st_size)
    blob.write_bytes(b"corrupt")
    document = tarkit("store", "verify", "--deep", "--json").document
    assert not document["ok"]
    result = tarkit("store", "repair", "--json")
    assert result.code == 4
    assert {"subject": f"blob sha256:{blob.name}"}.items() <= result.document["lost"][0].items()


def test_migrate(tarkit: Tarkit, root: Path, layout: str) -> None:
    directory = layout.removeprefix("oci:")
    assert tarkit("store", "migrate", directory, "--json").document == {
        "migrated": True, "path": str(root),
    }  # fmt: skip
    assert tarkit("cat", "store:two", "two").out == "two" * 100
    assert tarkit("store", "verify", "--deep").code == 0
    result = tarkit("store", "migrate", directory)
    assert (result.code, result.err) == (0, f"tarkit: {root} exists; nothing done\n")
    assert tarkit("store", "migrate", directory + "x", "--store", f"{root}2").code == 3
    assert tarkit("store", "migrate", str(root / "content"), "--store", f"{root}2").code == 4
    assert not Path(f"{root}2").exists()


def test_the_option_selects_a_store_for_one_command(
    tarkit: Tarkit,
    root: Path,
    layout: str,
    tmp_path: Path,
) -> None:
    other = tmp_path / "other"
    assert tarkit("copy", "--store", other, f"{layout}:one", "store:one").code == 0
    assert os.environ["TARKIT_STORE"] == str(root)
    assert tarkit("store", "list").code == 3
    assert len(tarkit("store", "list", "--json", "--store", other).document["images"]) == 1
    assert tarkit("ls", "store:one", "--store", other).code == 0


def test_reading_a_local_image_keeps_its_layers(tarkit: Tarkit, root: Path, layout: str) -> None:
    first = tarkit("ls", f"{layout}:one")
    assert len(list((root / "layers").glob("*.idx"))) == 1
    assert tarkit("ls", f"{layout}:one").out == first.out


@pytest.mark.parametrize("command", ["list", "verify", "remove", "repair", "migrate"])
def test_help(capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert run(["store", command, "--help"]) == 0
    assert "--store" in capsys.readouterr().out


def test_delete_removes_from_a_store(tarkit: Tarkit, layout: str) -> None:
    tarkit("copy", f"{layout}:one", "store:one")
    assert tarkit("delete", "store:one").code == 0
    assert tarkit("delete", "store:one").code == 3
