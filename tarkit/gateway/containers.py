"""Containers for processes during a build, and the requests that make them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import BinaryIO

from tarkit.gateway.reference import Reference
from tarkit.llb.messages import (
    CacheOpt,
    HostIP,
    MountType,
    NetMode,
    Platform,
    SecretOpt,
    SecurityMode,
    SSHOpt,
    WorkerConstraints,
)
from tarkit.streams.closeable import Closeable
from tarkit.values import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A filesystem of a container at ``dest``; ``selector`` is a directory in it.

    It is that of ``ref``, or of ``result_id``, which errors of steps have. Changes never reach it.
    """

    dest: str
    selector: str = ""
    result_id: str = ""
    ref: Reference | None = None
    readonly: bool = False
    mount_type: MountType = MountType.BIND
    cache_opt: CacheOpt | None = None
    secret_opt: SecretOpt | None = None
    ssh_opt: SSHOpt | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewContainerRequest:
    """The parts of a new container; a mount at ``/`` is its root filesystem."""

    mounts: Sequence[Mount] = ()
    net_mode: NetMode = NetMode.UNSET
    extra_hosts: Sequence[HostIP] = ()
    platform: Platform | None = None
    constraints: WorkerConstraints | None = None
    hostname: str = ""


@dataclass(frozen=True, slots=True)
class WinSize:
    """The size of a terminal."""

    rows: int
    cols: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRequest:
    """A process: its arguments, surroundings, and streams; None is an empty stream."""

    args: Sequence[str]
    env: Sequence[str] = ()
    user: str = ""
    cwd: str = "/"
    tty: bool = False
    stdin: BinaryIO | None = None
    stdout: BinaryIO | None = None
    stderr: BinaryIO | None = None
    security_mode: SecurityMode = SecurityMode.SANDBOX


class ContainerProcess(ABC):
    """A running process."""

    @abstractmethod
    def wait(self) -> None:
        """Wait for the end; raise BuildError, which has the exit code, unless it is 0."""

    @abstractmethod
    def resize(self, size: WinSize) -> None:
        """Set the size of the process's terminal."""

    @abstractmethod
    def signal(self, number: int) -> None:
        """Send a signal."""


class Container(Closeable):
    """A container, released at the end of a ``with`` block.

    The first process is its init: when it ends, all others do, and none can be started.
    """

    @abstractmethod
    def start(self, request: StartRequest) -> ContainerProcess:
        """Start a process."""

    @abstractmethod
    def release(self) -> None:
        """End all processes and remove the container; raise the error of one that has failed."""

    def close(self) -> None:
        """Release the container."""
        self.release()
