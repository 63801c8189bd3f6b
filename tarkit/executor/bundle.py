"""The configuration of a container for an OCI runtime (runtime-spec, config.md and config-linux.md)."""

from __future__ import annotations

from typing import Any

from tarkit.executor.capabilities import capabilities
from tarkit.executor.container import PATH, Bind, Container, Network, Process, Tmpfs
from tarkit.executor.seccomp import FILTER

_MASKED = [
    "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
    "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
    "/sys/devices/virtual/powercap",
]  # fmt: skip
_READONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
_PIDS = 32768  # so that a process that forks without end leaves some for others

SECRET_MODE = 0o600
Document = dict[str, Any]


def config(
    container: Container, process: Process, *, network_path: str = "", cgroup: str = ""
) -> Document:
    """Return ``config.json`` for *container* with *process* as its first process.

    *network_path* is the network namespace to enter, a new one by default. Without *cgroup*, the
    path of a new one, the container has no limits: that is all that users other than root can do.
    """
    document: Document = {
        "ociVersion": "1.0.2",
        "process": process_config(process, insecure=container.insecure, has_all_users=bool(cgroup)),
        "root": {"path": str(container.root.absolute()), "readonly": container.readonly},
        "hostname": container.hostname,
        "mounts": [
            *_system_mounts(container, cgroup),
            *(_mount(each) for each in container.mounts if isinstance(each, Bind | Tmpfs)),
        ],
        "linux": {"namespaces": _namespaces(container, network_path)},
    }
    linux = document["linux"]
    if cgroup:
        linux["cgroupsPath"] = cgroup
        linux["resources"] = {"pids": {"limit": _PIDS}}
        if not container.insecure:
            linux["resources"]["devices"] = [{"allow": False, "access": "rwm"}]
    if not container.insecure:
        linux |= {"maskedPaths": _MASKED, "readonlyPaths": _READONLY, "seccomp": FILTER}
    return document


def process_config(process: Process, *, insecure: bool, has_all_users: bool) -> Document:
    """Return the part of ``config.json`` that describes a process.

    Unless *has_all_users*, the container has one user, and no groups can be set.
    """
    names = capabilities(all_of_them=insecure)
    user: Document = {"uid": process.user.uid, "gid": process.user.gid}
    if has_all_users:
        # with the primary group, files that belong to it stay accessible if a program changes its ID
        user["additionalGids"] = sorted({process.user.gid, *process.user.groups})
    return {
        "terminal": process.terminal,
        "user": user,
        "args": list(process.args),
        "env": environment(process),
        "cwd": process.cwd,
        "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), names),
        "rlimits": [
            {"type": f"RLIMIT_{each.name.upper()}", "soft": each.soft, "hard": each.hard}
            for each in process.ulimits
        ],
        "noNewPrivileges": False,
    }


def environment(process: Process) -> list[str]:
    """Return the variables of a process with PATH, and TERM for a terminal, if they are missing."""
    names = {text.partition("=")[0] for text in process.env}
    defaults = {"PATH": PATH, **({"TERM": "xterm"} if process.terminal else {})}
    missing = [f"{name}={value}" for name, value in defaults.items() if name not in names]
    return [*missing, *process.env]


def _namespaces(container: Container, network_path: str) -> list[Document]:
    found: list[Document] = [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "cgroup")]
    if container.network is not Network.HOST:
        found.append({"type": "network", **({"path": network_path} if network_path else {})})
    return found


def _system_mounts(container: Container, cgroup: str) -> list[Document]:
    writable = "rw" if container.insecure else "ro"
    plain = ["nosuid", "noexec", "nodev"]
    mounts: list[Document] = [
        _of("proc", "/proc", "proc", plain),
        _of("tmpfs", "/dev", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        _of("devpts", "/dev/pts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666",
            "mode=0620", *(["gid=5"] if cgroup else [])]),
        _of("tmpfs", "/dev/shm", "shm", [*plain, "mode=1777", "size=65536k"]),
        _of("mqueue", "/dev/mqueue", "mqueue", plain),
    ]  # fmt: skip
    if container.network is Network.HOST and not cgroup:
        # the namespace of the network is not ours, so sysfs cannot be mounted
        mounts.append(_of("bind", "/sys", "/sys", ["rbind", *plain, "ro"]))
        return mounts
    mounts.append(_of("sysfs", "/sys", "sysfs", [*plain, writable]))
    if cgroup:
        mounts.append(_of("cgroup", "/sys/fs/cgroup", "cgroup", [*plain, writable]))
    return mounts


def _mount(mount: Bind | Tmpfs) -> Document:
    if isinstance(mount, Tmpfs):
        size = [f"size={mount.size}"] if mount.size else []
        return _of("tmpfs", mount.dest, "tmpfs", ["nosuid", "nodev", "mode=0755", *size])
    access = "ro" if mount.readonly else "rw"
    return _of(
        "bind", mount.dest, str(mount.source.absolute()), ["bind", "nosuid", "nodev", access]
    )


def _of(kind: str, dest: str, source: str, options: list[str]) -> Document:
    return {"destination": dest, "type": kind, "source": source, "options": options}
