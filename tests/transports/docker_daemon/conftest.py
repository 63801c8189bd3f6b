"""A fake daemon for every test, isolated from this machine's Docker configuration."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tarkit.transports.docker_daemon.daemon import Daemon
from tests.transports.docker_daemon.fake_daemon import FakeDaemon, fake_daemon

if os.name == "nt":
    collect_ignore_glob = ["test_*.py"]  # Python does not support Unix sockets there


@pytest.fixture(autouse=True)
def no_daemon_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOST", "CONTEXT", "CONFIG", "TLS_VERIFY", "CERT_PATH"):
        monkeypatch.delenv(f"DOCKER_{name}", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def socket_path() -> Iterator[Path]:
    """A path for a socket, which may have at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="tarkit-") as directory:
        yield Path(directory) / "docker.sock"


@pytest.fixture
def daemon(socket_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDaemon]:
    """An empty daemon; DOCKER_HOST is its address."""
    with fake_daemon(socket_path) as server:
        monkeypatch.setenv("DOCKER_HOST", server.host)
        yield server


@pytest.fixture
def hasty(daemon: FakeDaemon) -> Daemon:
    """The daemon with short timeouts."""
    return Daemon(daemon.host, connect_timeout=5, answer_timeout=1, work_timeout=1)
