"""The files that an executor makes for a container: its hosts, name servers, secrets and sockets."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

from tarkit.executor.agent import forwarding
from tarkit.executor.container import Agent, Bind, Container, Mount, Network, SecretFile
from tarkit.executor.network import Sandbox
from tarkit.values import replace


def with_files(
    container: Container, directory: Path, network: Sandbox | None, stack: ExitStack
) -> Container:
    """Return *container* with all its mounts as files of *directory*, which *stack* keeps in use.

    ``/etc/hosts`` and ``/etc/resolv.conf`` are mounted, too, unless the container has its own.
    """
    taken = {mount.dest for mount in container.mounts}
    files = {
        "/etc/resolv.conf": _resolv_conf(container, network),
        "/etc/hosts": _hosts(container),
    }
    made = [
        Bind(_write(directory / dest.rpartition("/")[2], text.encode()), dest, readonly=True)
        for dest, text in files.items()
        if dest not in taken
    ]
    mounts = [
        _as_bind(mount, directory / f"mount-{number}", stack)
        for number, mount in enumerate(container.mounts)
    ]
    return replace(container, mounts=(*made, *mounts))


def _as_bind(mount: Mount, path: Path, stack: ExitStack) -> Mount:
    match mount:
        case SecretFile(dest, data):
            _write(path, data, mount.mode)
            _give(path, mount)
            return Bind(path, dest, readonly=True)
        case Agent(dest, socket):
            stack.enter_context(forwarding(path, socket))
            path.chmod(mount.mode)
            _give(path, mount)
            return Bind(path, dest)
    return mount


def _give(path: Path, mount: SecretFile | Agent) -> None:
    if os.geteuid() == 0:  # other users have one ID in the container
        os.chown(path, mount.uid, mount.gid)


def _write(path: Path, data: bytes, mode: int = 0o644) -> Path:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        os.fchmod(file.fileno(), mode)
    return path


def _resolv_conf(container: Container, network: Sandbox | None) -> str:
    if network is not None:
        return f"nameserver {network.nameserver}\n"
    path = Path("/etc/resolv.conf")
    return path.read_text() if container.network is Network.HOST and path.is_file() else ""


def _hosts(container: Container) -> str:
    lines = [
        f"127.0.0.1\tlocalhost {container.hostname}",
        "::1\tlocalhost ip6-localhost ip6-loopback",
        *(f"{address}\t{name}" for name, address in container.hosts),
    ]
    return "".join(f"{line}\n" for line in lines)
