"""Descriptions of containers and of the processes in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from enum import Enum
from pathlib import Path
from typing import TypeAlias

from tarkit.values import dataclass

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Network(Enum):
    """The network of a container."""

    SANDBOX = "sandbox"  # its own, with a way out through a process of the user
    HOST = "host"
    NONE = "none"  # only the loopback device


@dataclass(frozen=True, slots=True)
class User:
    """A numeric user with the primary group ``gid`` and supplementary ``groups``."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Ulimit:
    """A resource limit by its name without ``RLIMIT_``, such as ``nofile``."""

    name: str
    soft: int
    hard: int


@dataclass(frozen=True, slots=True)
class Process:
    """A process: ``args``, ``env`` as ``NAME=VALUE``, and ``cwd``, which must exist in the container."""

    args: Sequence[str]
    env: Sequence[str] = ()
    cwd: str = "/"
    user: User = User()
    ulimits: Sequence[Ulimit] = ()
    terminal: bool = False


@dataclass(frozen=True, slots=True)
class Bind:
    """The directory or file ``source`` of this machine at ``dest`` in a container."""

    source: Path
    dest: str
    readonly: bool = False


@dataclass(frozen=True, slots=True)
class Tmpfs:
    """Memory at ``dest``, of at most ``size`` bytes if that is not 0."""

    dest: str
    size: int = 0


@dataclass(frozen=True, slots=True)
class SecretFile:
    """The secret ``data`` as a file at ``dest``, for one user; it exists in memory only."""

    dest: str
    data: bytes = field(repr=False)
    uid: int = 0
    gid: int = 0
    mode: int = 0o400


@dataclass(frozen=True, slots=True)
class Agent:
    """A socket at ``dest`` that forwards connections to ``socket``, a listening Unix socket."""

    dest: str
    socket: Path
    uid: int = 0
    gid: int = 0
    mode: int = 0o600


Mount: TypeAlias = Bind | Tmpfs | SecretFile | Agent


@dataclass(frozen=True, slots=True)
class Container:
    """A container with the root filesystem in the directory ``root``.

    ``mounts`` are in the order in which they are made. ``hosts`` are names with their addresses.
    Without ``insecure``, processes have the capabilities of BuildKit's sandbox, and dangerous
    system calls are refused.
    """

    root: Path
    readonly: bool = False
    mounts: Sequence[Mount] = ()
    network: Network = Network.SANDBOX
    insecure: bool = False
    hostname: str = "buildkitsandbox"
    hosts: Sequence[tuple[str, str]] = ()
    cgroup_parent: str = ""
