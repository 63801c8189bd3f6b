"""The filter of system calls for processes without privileges.

It refuses the calls that container engines refuse: those that change the machine, or create
namespaces. All others are allowed, so that new calls of the kernel work.
"""

from __future__ import annotations

import platform

_REFUSED = [
    "acct", "add_key", "adjtimex", "bpf", "clock_adjtime", "clock_settime", "create_module",
    "delete_module", "finit_module", "fsconfig", "fsmount", "fsopen", "fspick",
    "get_kernel_syms", "init_module", "ioperm", "iopl", "kexec_file_load", "kexec_load", "keyctl",
    "lookup_dcookie", "mount", "mount_setattr", "move_mount", "nfsservctl", "open_by_handle_at",
    "open_tree", "perf_event_open", "pivot_root", "query_module", "quotactl", "quotactl_fd",
    "reboot", "request_key", "setdomainname", "sethostname", "setns", "settimeofday", "stime",
    "swapoff", "swapon", "syslog", "umount", "umount2", "unshare", "uselib", "userfaultfd",
    "ustat", "vhangup", "vm86", "vm86old",
]  # fmt: skip
_NEW_NAMESPACES = 0x7E020000  # CLONE_NEW* but time, flags of clone(2)
_ENOSYS = 38

_ARCHITECTURES = {
    "x86_64": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    "aarch64": ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
}

FILTER = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "architectures": _ARCHITECTURES.get(platform.machine(), []),
    "syscalls": [
        {"names": _REFUSED, "action": "SCMP_ACT_ERRNO", "errnoRet": 1},
        # its flags are in memory, which a filter cannot read: libraries then use clone
        {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": _ENOSYS},
        *(
            {
                "names": ["clone"],
                "action": "SCMP_ACT_ERRNO",
                "errnoRet": 1,
                "args": [{"index": 0, "value": flag, "valueTwo": flag, "op": "SCMP_CMP_MASKED_EQ"}],
            }
            for flag in (1 << bit for bit in range(64) if _NEW_NAMESPACES >> bit & 1)
        ),
    ],
}
