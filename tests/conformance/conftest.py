"""The real tools as fixtures. A missing tool skips the test, or fails it if ``TARKIT_REQUIRE_TOOLS=1``."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.conformance.tools import (
    Tool,
    find_tool,
    running_containerd,
    running_dockerd,
    running_registry,
    scratch_directory,
)


@pytest.fixture(scope="session")
def require_tool() -> Callable[[str], Tool]:
    """Return a function that finds any other program by name."""
    return find_tool


@pytest.fixture(scope="session")
def skopeo() -> Tool:
    """skopeo, independent of this machine's signature policy."""
    return find_tool("skopeo").with_options("--insecure-policy")


@pytest.fixture(scope="session")
def umoci() -> Tool:
    """umoci."""
    return find_tool("umoci")


@pytest.fixture
def podman() -> Iterator[Tool]:
    """podman with a new, empty store for each test."""
    program = find_tool("podman")
    with scratch_directory() as directory:
        yield program.with_options(
            "--root", directory / "root", "--runroot", directory / "run", "--storage-driver=vfs"
        )


@pytest.fixture(scope="session")
def docker() -> Iterator[Tool]:
    """A client of one daemon for the session, which skips layers it already has; see ``fresh_docker``."""
    with running_dockerd() as client:
        yield client


@pytest.fixture
def fresh_docker() -> Iterator[Tool]:
    """A client of a daemon started for this test, without any layers."""
    with running_dockerd() as client:
        yield client


@pytest.fixture(scope="session")
def ctr() -> Iterator[Tool]:
    """A client of one containerd for the session."""
    with running_containerd() as client:
        yield client


@pytest.fixture(scope="session")
def registry() -> Iterator[str]:
    """``host:port`` of a plain-HTTP registry on the loopback interface."""
    with running_registry() as address:
        yield address
