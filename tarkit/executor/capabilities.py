"""The capabilities of processes (capabilities(7))."""

from __future__ import annotations

import re
from pathlib import Path

# in the order of their numbers, from 0
_NAMES = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
]
_SANDBOX = 0xA80425FB  # as in BuildKit and Docker


def capabilities(*, all_of_them: bool) -> list[str]:
    """Return the names of the sandbox's capabilities, or of *all_of_them* that this process has."""
    mask = _own() if all_of_them else _SANDBOX
    return [f"CAP_{name.upper()}" for bit, name in enumerate(_NAMES) if mask >> bit & 1]


def _own() -> int:
    """Return the capabilities that this process could give to others."""
    status = Path("/proc/self/status")
    found = (
        re.search(r"^CapPrm:\s*([0-9a-f]+)$", status.read_text(), re.M) if status.exists() else None
    )
    return int(found[1], 16) if found else -1
