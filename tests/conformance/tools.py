"""Run other programs in tests, with readable failures."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import pytest

TIMEOUT = 120  # time limit in seconds for one call of a tool
PATIENCE = 60  # time limit in seconds for a daemon to answer
SYSTEM_PATH = f"/usr/bin:/usr/sbin:{os.environ['PATH']}"  # prefer the distribution's builds
LISTENING = re.compile(r"listening on (127\.0\.0\.1:\d+)")


@dataclass(frozen=True, slots=True)
class Tool:
    """A program and its leading arguments; call it to run it."""

    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str | Path, cwd: Path | None = None) -> str:
        """Run it and return its standard output; if it fails, fail the test with its standard error."""
        result = self.attempt(*arguments, cwd=cwd)
        if result.returncode:
            command = " ".join(map(str, (*self.command, *arguments)))
            pytest.fail(f"$ {command}\nexit code {result.returncode}\n{result.stderr}")
        return result.stdout

    def attempt(
        self, *arguments: str | Path, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run it and return its result, for calls that may fail."""
        return subprocess.run(
            [*self.command, *map(str, arguments)],
            cwd=cwd,
            env={**os.environ, **self.env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )

    def with_options(self, *options: str | Path, **env: str) -> Tool:
        """Return the same program with *options* added to every call."""
        return Tool((*self.command, *map(str, options)), {**self.env, **env})


def find_tool(name: str) -> Tool:
    """Return the program *name*; if it is missing, skip the test, or fail it if all tools are required."""
    path = shutil.which(name, path=SYSTEM_PATH)
    if path is None:
        unavailable(f"{name} is not installed")
    return Tool((path,))


def unavailable(reason: str) -> NoReturn:
    """Skip the test, or fail it if ``TARKIT_REQUIRE_TOOLS=1``."""
    if os.environ.get("TARKIT_REQUIRE_TOOLS") == "1":
        pytest.fail(f"{reason}, and TARKIT_REQUIRE_TOOLS=1")
    pytest.skip(reason)


@contextmanager
def running_dockerd(*more: str | Path, storage: str = "vfs") -> Iterator[Tool]:
    """Start a daemon with an empty store and *more* options; yield a ``docker`` client bound to it."""
    client, daemon = find_tool("docker"), find_tool("dockerd")
    if os.geteuid() != 0:
        unavailable("dockerd needs root")
    with scratch_directory() as directory:
        socket = f"unix://{directory}/docker.sock"
        options = (
            "--iptables=false",
            "--ip6tables=false",
            "--bridge=none",
            f"--storage-driver={storage}",
            f"--data-root={directory}/data",
            f"--exec-root={directory}/exec",
            f"--pidfile={directory}/pid",
            f"--host={socket}",
            *more,
        )
        docker = client.with_options("--host", socket, DOCKER_CONFIG=f"{directory}/config")
        with background(daemon.with_options(*options), directory / "log") as process:
            wait_until(
                lambda: docker.attempt("version").returncode == 0, process, directory / "log"
            )
            yield docker


@contextmanager
def running_containerd() -> Iterator[Tool]:
    """Run a containerd with an empty store for the block; yield a ``ctr`` client bound to it."""
    client, daemon = find_tool("ctr"), find_tool("containerd")
    if os.geteuid() != 0:
        unavailable("containerd needs root")
    with scratch_directory() as directory:
        socket, config, log = directory / "ctr.sock", directory / "config.toml", directory / "log"
        config.write_text(
            "version = 2\n"
            f'root = "{directory}/root"\nstate = "{directory}/state"\n'
            'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
            f'[grpc]\naddress = "{socket}"\n'
        )
        ctr = client.with_options("--address", socket)
        with background(daemon.with_options("--config", config), log) as process:
            wait_until(lambda: ctr.attempt("version").returncode == 0, process, log)
            yield ctr


@contextmanager
def running_registry() -> Iterator[str]:
    """Run an empty registry on the loopback interface for the block; yield its ``host:port``."""
    program = find_tool("docker-registry")
    with scratch_directory() as directory:
        config, log = directory / "config.yml", directory / "log"
        config.write_text(
            "version: 0.1\n"
            f"storage: {{filesystem: {{rootdirectory: {directory}/data}}, delete: {{enabled: true}}}}\n"
            "http: {addr: '127.0.0.1:0'}\n"
        )
        with background(program.with_options("serve", config), log) as process:
            wait_until(lambda: LISTENING.search(log.read_text()) is not None, process, log)
            yield LISTENING.findall(log.read_text())[0]


@contextmanager
def scratch_directory() -> Iterator[Path]:
    """A directory with a short name: the path of a Unix socket has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="tarkit-", ignore_cleanup_errors=True) as name:
        yield Path(name)


@contextmanager
def background(program: Tool, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run *program* with its output in *log*; stop it after the block, or if the test run is killed."""
    reins = find_tool("setpriv").with_options("--pdeathsig", "TERM")
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [*reins.command, *program.command],
            env={**os.environ, **program.env},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        ) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()


def wait_until(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for a daemon to answer; if it exits or takes too long, fail the test with its log."""
    deadline = time.monotonic() + PATIENCE
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(
                f"{process.args!r} does not answer\n{log.read_text(errors='replace')[-4000:]}"
            )
        time.sleep(0.1)
