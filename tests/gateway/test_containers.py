"""Test the contract of containers, which engines implement."""

from __future__ import annotations

import io

import pytest

from tarkit.errors import BuildError
from tarkit.gateway import (
    Container,
    ContainerProcess,
    Mount,
    NewContainerRequest,
    StartRequest,
    WinSize,
)
from tarkit.llb.messages import MountType, NetMode, SecurityMode


class Process(ContainerProcess):
    """A process that prints its arguments and fails when it is told to."""

    def __init__(self, request: StartRequest) -> None:
        self.request = request
        self.size: WinSize | None = None

    def wait(self) -> None:
        if self.request.args == ["false"]:
            raise BuildError("exit code: 1", exit_code=1)
        assert self.request.stdout is not None
        self.request.stdout.write(" ".join(self.request.args).encode())

    def resize(self, size: WinSize) -> None:
        self.size = size

    def signal(self, number: int) -> None:
        self.request = StartRequest(args=["false"])


class Engine(Container):
    """A container of an engine for tests."""

    released = 0

    def __init__(self, request: NewContainerRequest) -> None:
        assert request.mounts[0].dest == "/"

    def start(self, request: StartRequest) -> Process:
        return Process(request)

    def release(self) -> None:
        self.released += 1


def test_a_container_is_released_at_the_end_of_its_block() -> None:
    output = io.BytesIO()
    with Engine(NewContainerRequest(mounts=[Mount(dest="/")])) as container:
        process = container.start(StartRequest(args=["echo", "a"], stdout=output))
        process.resize(WinSize(rows=40, cols=90))
        process.wait()
        process.signal(9)
        with pytest.raises(BuildError) as caught:
            process.wait()
    assert caught.value.exit_code == 1
    assert (container.released, output.getvalue()) == (1, b"echo a")
    assert process.size == WinSize(40, 90)


def test_requests_have_the_defaults_of_buildkit() -> None:
    start = StartRequest(args=["a"])
    assert (start.cwd, start.tty, start.env, start.user) == ("/", False, (), "")
    assert (start.stdin, start.security_mode) == (None, SecurityMode.SANDBOX)
    mount = Mount(dest="/")
    assert (mount.mount_type, mount.readonly, mount.selector) == (MountType.BIND, False, "")
    request = NewContainerRequest(mounts=[mount])
    assert (request.net_mode, request.extra_hosts) == (NetMode.UNSET, ())
