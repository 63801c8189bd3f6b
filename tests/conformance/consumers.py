"""Tools that load an image, with one interface that reports how they see it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from tests.conformance.tools import (
    Tool,
    find_tool,
    running_containerd,
    running_dockerd,
    scratch_directory,
)

NAME = "example.org/hello:1"

# the default limits exceed those of some machines, even for root; crun refuses hybrid cgroups
_CONFIG = """
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""


@dataclass(frozen=True, slots=True)
class Loaded:
    """An image as a tool reports it after loading; None for a fact that the tool does not report."""

    name: str | None = None
    config: str | None = None
    manifest: str | None = None
    output: str | None = None


class Consumer(Protocol):
    """A tool with its own empty store."""

    def version(self) -> str:
        """Return the tool's version."""
        ...

    def load(self, location: str) -> Loaded:
        """Load the image at *location* (``transport:path[:name]``), run it, and remove it.

        Fails the test if the tool refuses the image.
        """
        ...


def path_of(location: str) -> str:
    """Return the path in ``transport:path[:name]``."""
    return location.split(":")[1]


def pulled(tool: Tool, location: str) -> str:
    """Pull the image at *location*; return its ID.

    The path is relative, because podman and buildah make a name of it, which must be lower case.
    """
    path = Path(path_of(location))
    relative = location.replace(str(path), path.name, 1)
    return tool("pull", "--quiet", relative, cwd=path.parent).split()[-1]


@dataclass(frozen=True, slots=True)
class Docker:
    """A daemon. The containerd store identifies an image by its manifest, the classic one by its config."""

    docker: Tool
    by_manifest: bool

    def version(self) -> str:
        return self.docker("version", "--format", "{{.Server.Version}}").strip()

    def load(self, location: str) -> Loaded:
        self.docker("load", "--input", path_of(location))
        return self.inspect_and_forget(NAME)

    def pull(self, reference: str) -> Loaded:
        """Pull *reference* from a registry."""
        self.docker("pull", reference)
        return self.inspect_and_forget(reference)

    def push(self, archive: str, reference: str) -> None:
        """Load the *archive* of hello:latest and push it to *reference*."""
        self.docker("load", "--input", path_of(archive))
        self.docker("tag", "hello:latest", reference)
        self.docker("push", reference)
        self.docker("rmi", "--force", "hello:latest", reference)

    def inspect_and_forget(self, name: str) -> Loaded:
        """Inspect the image *name*, run it, and remove it."""
        found = json.loads(self.docker("image", "inspect", name))[0]
        output = self.docker("run", "--rm", "--network", "none", name)
        self.docker("rmi", "--force", name)
        manifest, config = (found["Id"], None) if self.by_manifest else (None, found["Id"])
        return Loaded(found["RepoTags"][0], config, manifest, output)


@dataclass(frozen=True, slots=True)
class Containerd:
    """containerd through ``ctr``."""

    ctr: Tool

    def version(self) -> str:
        return self.ctr("version").partition("Server:")[2].split()[1]

    def load(self, location: str) -> Loaded:
        self.ctr("images", "import", "--snapshotter", "native", path_of(location))
        row = self.ctr("images", "list").splitlines()[1].split()
        self.ctr("images", "remove", "--sync", row[0])
        return Loaded(name=row[0], manifest=row[2])


@dataclass(frozen=True, slots=True)
class Podman:
    """podman, which loads files and pulls everything else."""

    podman: Tool

    def version(self) -> str:
        return self.podman("version", "--format", "{{.Client.Version}}").strip()

    def load(self, location: str) -> Loaded:
        if Path(path_of(location)).is_dir():
            image = pulled(self.podman, location)
        else:
            self.podman("load", "--input", path_of(location))
            image = NAME
        return self.inspect_and_forget(image)

    def pull(self, reference: str) -> Loaded:
        """Pull *reference* from a registry without TLS."""
        self.podman("pull", "--quiet", "--tls-verify=false", reference)
        return self.inspect_and_forget(reference)

    def push(self, archive: str, reference: str) -> None:
        """Load the *archive* of hello:latest and push it to *reference*."""
        self.podman("load", "--input", path_of(archive))
        self.podman("push", "--tls-verify=false", "hello:latest", f"docker://{reference}")
        self.podman("rmi", "--force", "hello:latest")

    def inspect_and_forget(self, image: str) -> Loaded:
        """Inspect *image*, run it, and remove it."""
        found = json.loads(self.podman("image", "inspect", image))[0]
        output = self.podman("run", "--rm", "--network", "none", image)
        self.podman("rmi", "--force", image)
        name = next(iter(found["RepoTags"] or []), None)
        return Loaded(name, f"sha256:{found['Id']}", found["Digest"], output)


@dataclass(frozen=True, slots=True)
class Buildah:
    """buildah, which runs in a chroot and needs no support from the machine."""

    buildah: Tool

    def version(self) -> str:
        return self.buildah("version", "--json").partition('"version": "')[2].partition('"')[0]

    def load(self, location: str) -> Loaded:
        image = pulled(self.buildah, location)
        found = json.loads(self.buildah("inspect", "--type", "image", image))
        container = self.buildah("from", image).split()[-1]
        command = found["OCIv1"]["config"]["Cmd"]
        output = self.buildah("run", "--isolation", "chroot", container, *command)
        self.buildah("rm", container)
        self.buildah("rmi", "--force", image)
        return Loaded(None, f"sha256:{image.removeprefix('sha256:')}", None, output)


@dataclass(frozen=True, slots=True)
class Skopeo:
    """skopeo, which reads an image but cannot run it."""

    skopeo: Tool

    def version(self) -> str:
        return self.skopeo("--version").split()[2]

    def load(self, location: str) -> Loaded:
        with scratch_directory() as directory:
            self.skopeo("copy", location, f"dir:{directory}/copy")
            manifest = json.loads((directory / "copy/manifest.json").read_text())
        digest = json.loads(self.skopeo("inspect", location))["Digest"]
        return Loaded(config=manifest["config"]["digest"], manifest=digest)


@dataclass(frozen=True, slots=True)
class Umoci:
    """umoci, which unpacks a layout; the files run in a chroot."""

    umoci: Tool

    def version(self) -> str:
        return self.umoci("--version").split()[2]

    def load(self, location: str) -> Loaded:
        path, _, name = location.split(":", 1)[1].partition(":")
        index = json.loads(self.umoci("stat", "--json", "--image", f"{path}:{name}"))
        assert index["history"]
        with scratch_directory() as directory:
            self.umoci("unpack", "--image", f"{path}:{name}", directory / "bundle")
            config = json.loads((directory / "bundle/config.json").read_text())
            output = subprocess.check_output(
                ["chroot", directory / "bundle/rootfs", *config["process"]["args"]], text=True
            )
        return Loaded(name=name, output=output)


@contextmanager
def docker_classic() -> Iterator[Docker]:
    """Start dockerd with its classic image store."""
    with running_dockerd() as docker:
        yield Docker(docker, by_manifest=False)


@contextmanager
def docker_containerd() -> Iterator[Docker]:
    """Start dockerd with the containerd image store (Docker 24 and later)."""
    version = find_tool("dockerd")("--version").split()[2].rstrip(",")
    if int(version.partition(".")[0]) < 24:
        pytest.skip(f"Docker {version} has no containerd image store")
    with scratch_directory() as directory:
        config = directory / "daemon.json"
        config.write_text('{"features": {"containerd-snapshotter": true}}')
        with running_dockerd("--config-file", config, storage="native") as docker:
            yield Docker(docker, by_manifest=True)


@contextmanager
def containerd() -> Iterator[Containerd]:
    """Start containerd."""
    with running_containerd() as ctr:
        yield Containerd(ctr)


@contextmanager
def _stored(name: str) -> Iterator[Tool]:
    """Return the program *name*, which uses containers/storage, with an empty store."""
    program = find_tool(name)
    with scratch_directory() as directory:
        config = directory / "containers.conf"
        config.write_text(_CONFIG)
        yield program.with_options(
            "--root", directory / "root", "--runroot", directory / "run", "--storage-driver=vfs",
            CONTAINERS_CONF=str(config), PODMAN_IGNORE_CGROUPSV1_WARNING="1",
        )  # fmt: skip


@contextmanager
def podman() -> Iterator[Podman]:
    """Return podman with an empty store."""
    with _stored("podman") as tool:
        yield Podman(tool)


@contextmanager
def buildah() -> Iterator[Buildah]:
    """Return buildah with an empty store."""
    with _stored("buildah") as tool:
        yield Buildah(tool)


@contextmanager
def skopeo() -> Iterator[Skopeo]:
    """Return skopeo, which has no store."""
    yield Skopeo(find_tool("skopeo").with_options("--insecure-policy"))


@contextmanager
def umoci() -> Iterator[Umoci]:
    """Return umoci, which has no store."""
    yield Umoci(find_tool("umoci"))
