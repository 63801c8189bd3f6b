"""Both commands of each row of "Coming from skopeo, crane, docker or umoci" do the same.

The other tool and tarkit get the same images in a directory, a registry and a daemon. Afterwards, the images and files
must be equal. If nothing changed, tarkit must print every digest and name that the other tool prints. crane is not in
Debian: only tarkit runs there.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest

import tarkit
from tests.conformance.tools import Tool, find_tool, running_registry
from tests.test_examples import ROOT

PAGE = (ROOT / "docs" / "guides" / "coming-from.md").read_text("utf-8")
ROWS = re.findall(r"^\| `(.+)` \| `(.+)` \|$", PAGE, re.MULTILINE)

NOT_RUN = ("skopeo login", "docker login", "crane auth", "crane registry", "docker buildx")
"""They ask for a password, do not end, or are in no Debian package."""

OTHER_FORM = {
    "skopeo sync --src docker --dest dir": "one directory for each image",
    "docker export": "has the files that Docker adds to a container",
}
"""Rows with the same content in different forms."""

THROUGH_THE_DAEMON = ("docker pull", "docker tag app:1 registry.example")
"""Rows in which Docker also keeps the image in its own store."""

FACT = re.compile(r"sha256:[0-9a-f]{64}|\b(?:app|hello)\b")


def starts(row: tuple[str, str], *beginnings: str) -> bool:
    return row[0].startswith(beginnings)


COMPARED = [row for row in ROWS if not starts(row, "crane", *NOT_RUN)]
AS_THEY_ARE = [
    theirs
    for theirs, _ in COMPARED
    if theirs.startswith(("skopeo copy", "skopeo inspect", "skopeo delete"))
    and "--config --raw" not in theirs
]
ALONE = [row for row in ROWS if starts(row, "crane") and not starts(row, *NOT_RUN)]


@dataclass(frozen=True, slots=True)
class World:
    """A directory with images, a registry that holds them too, and a client of a daemon."""

    directory: Path
    address: str
    daemon: Tool | None

    def run(self, command: str) -> str:
        """Return the output of *command*; fail the test if it fails."""
        environment = {
            **os.environ,
            "HOME": str(self.directory / ".home"),
            "PATH": f"{self.directory / '.bin'}:/usr/bin:{os.environ['PATH']}",
        }
        if self.daemon:
            environment |= {"DOCKER_HOST": self.daemon.command[-1], **self.daemon.env}
        result = subprocess.run(
            ["sh", "-c", self.filled(command)],
            cwd=self.directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert result.returncode == 0, f"$ {command}\n{result.stdout}{result.stderr}"
        return result.stdout

    def filled(self, command: str) -> str:
        """Return *command* with the registry's address and a digest of its image."""
        if "sha256:…" in command:
            with tarkit.open_source(f"docker://{self.address}/app:1") as source:
                raw = source.manifest()
            is_blob = " blob " in command
            digest = tarkit.Manifest.parse(raw).config.digest if is_blob else raw.digest
            command = command.replace("sha256:…", str(digest))
        return command.replace("\\|", "|").replace("registry.example", self.address)

    def state(self) -> dict[str, object]:
        """Return the images, files and tags."""
        state: dict[str, object] = {}
        for path in self.directory.iterdir():
            if not path.name.startswith("."):
                state[path.name] = contents(path)
        if self.address:
            for repository in tarkit.list_repositories(self.address):
                state[repository] = images_at(f"docker://{self.address}/{repository}")
        if self.daemon:
            listed = self.daemon(
                "images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"
            )
            state["daemon"] = sorted(listed.replace(self.address, "").split("\n"))
        return state


def contents(path: Path) -> object:
    """Return the images of an archive, layout or directory, or else the files."""
    try:
        return images_at(path)
    except tarkit.TarkitError:
        files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
        return sorted((str(each.relative_to(path)), each.read_bytes().strip()) for each in files)


def images_at(place: str | Path) -> object:
    with tarkit.open_reader(place) as reader:
        sources = [(image.names, reader.source(index=image.index)) for image in reader.images()]
        return sorted(
            (sorted(map(short, names)), image_of(source, source.manifest()))
            for names, source in sources
        )


def short(name: str) -> str:
    return re.sub(r"^(127\.0\.0\.1:\d+/|docker\.io/(library/)?)", "", name)


def image_of(source: tarkit.Source, raw: tarkit.RawManifest) -> list[object]:
    """Return the platform, diff IDs, labels and annotations of every image of *source*.

    skopeo and umoci write configs anew, so their digests may differ.
    """
    if not raw.is_index:
        manifest = tarkit.Manifest.parse(raw)
        config = tarkit.ImageConfig.parse(tarkit.read_config(source, manifest))
        marks = sorted(config.labels.items()), sorted(manifest.annotations.items())
        return [str(config.platform), config.diff_ids, *marks]
    children = tarkit.Index.parse(raw).manifests
    return [image_of(source, source.manifest(child.digest)) for child in children]


Row = tuple[str, str]
Worlds = Callable[[Row, str], AbstractContextManager[World]]


@pytest.fixture
def worlds(corpus: Path, fixtures: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Worlds:
    """Return a function that makes a world for one side of a row."""

    @contextmanager
    def world(row: Row, side: str) -> Iterator[World]:
        directory = tmp_path / side
        fill_directory(directory, fixtures)
        needs_registry = any("registry.example" in command for command in row)
        with running_registry() if needs_registry else nullcontext("") as address:
            if address:
                fill_registry(directory, address, corpus)
            daemon = None
            if any("docker-daemon:" in command for command in row) or starts(row, "docker"):
                daemon = request.getfixturevalue("docker")
                fill_daemon(daemon, directory)
            yield World(directory, address, daemon)

    return world


def fill_directory(directory: Path, fixtures: Path) -> None:
    (directory / ".home/.config/containers").mkdir(parents=True)
    (directory / ".bin").mkdir()
    hello = fixtures / "hello.tar"
    copy(str(hello), f"docker-archive:{directory / 'app.tar'}:app:1")
    copy(str(hello), f"docker-archive:{directory / '.other.tar'}:other:1")
    copy(str(hello), f"docker-archive:{directory / 'new-app.tar'}:new-app:1")
    copy(str(hello), f"oci:{directory / 'layout'}:app")
    skopeo = find_tool("skopeo").command[0]
    program(directory / ".bin/skopeo", f'{skopeo} --insecure-policy "$@"')
    program(directory / ".bin/tarkit", f'{sys.executable} -m tarkit "$@"')


def program(path: Path, command: str) -> None:
    path.write_text(f"#!/bin/sh\nexec {command}\n")
    path.chmod(0o755)


def fill_registry(directory: Path, address: str, corpus: Path) -> None:
    many = str(corpus / "crane-oci-multiarch")
    copy(str(directory / "app.tar"), f"docker://{address}/app:1")
    copy(f"oci:{many}", f"docker://{address}/many:1", tarkit.CopyOptions(all=True))
    for name, architecture in ("a", "amd64"), ("b", "arm64"):
        options = tarkit.CopyOptions(platforms=(tarkit.Platform("linux", architecture),))
        copy(f"oci:{many}", f"docker://{address}/{name}:1", options)
    (directory / ".home/.config/containers/registries.conf").write_text(
        f'[[registry]]\nlocation = "{address}"\ninsecure = true\n'
    )
    (directory / "list.yaml").write_text(
        f'"{address}":\n  images:\n    app: ["1"]\n  tls-verify: false\n'
    )


def fill_daemon(docker: Tool, directory: Path) -> None:
    docker("container", "prune", "--force")
    if images := docker("images", "--quiet", "--all").split():
        docker("rmi", "--force", *dict.fromkeys(images))
    docker("load", "--input", directory / "app.tar")
    docker("load", "--input", directory / ".other.tar")


def copy(source: str, destination: str, options: tarkit.CopyOptions | None = None) -> None:
    location = tarkit.Location.parse(destination)
    with tarkit.open_source(source) as image, tarkit.open_writer(location) as writer:
        names = (location.name,) if location.name else ()
        tarkit.copy_image(image, writer.destination(*names), options)


@pytest.mark.parametrize("row", COMPARED, ids=lambda row: row[0])
def test_both_commands_do_the_same(worlds: Worlds, row: Row) -> None:
    compare(worlds, row)


@pytest.mark.parametrize("command", AS_THEY_ARE)
def test_a_command_of_skopeo_works_if_tarkit_replaces_skopeo(worlds: Worlds, command: str) -> None:
    compare(worlds, (command, command.replace("skopeo", "tarkit", 1)))


def compare(worlds: Worlds, row: Row) -> None:
    outputs, states = [], []
    changed = False
    for side, command in zip(("theirs", "ours"), row, strict=True):
        with worlds(row, side) as world:
            before = world.state()
            outputs.append(world.run(command))
            states.append(world.state())
            changed = states[-1] != before
    theirs, ours = states
    if starts(row, *OTHER_FORM):
        assert theirs != ours
    else:
        for name in ["list.yaml"] + ["daemon"] * starts(row, *THROUGH_THE_DAEMON):
            for state in states:
                state.pop(name, None)
        assert theirs == ours
    if not changed:
        facts = set(FACT.findall(outputs[0]))
        assert facts <= set(FACT.findall(outputs[1])), outputs


@pytest.mark.parametrize("row", ALONE, ids=lambda row: row[0])
def test_the_equivalent_of_a_command_of_crane_works(worlds: Worlds, row: Row) -> None:
    with worlds(("", row[1]), "ours") as world:
        before = world.state()
        assert world.run(row[1]) or world.state() != before


def test_every_row_is_run_or_listed() -> None:
    assert len(ROWS) == len(re.findall(r"^\| `", PAGE, re.MULTILINE)) > 50
    left = [row for row in ROWS if row not in COMPARED + ALONE]
    assert len(left) == len(NOT_RUN)
    assert all(any(starts(row, name) for row in ROWS) for name in [*NOT_RUN, *OTHER_FORM])
