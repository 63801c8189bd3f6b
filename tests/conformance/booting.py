"""Boot an ext4 image in a virtual machine with Debian's kernel and an initrd of busybox and virtio."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from tests.conformance.tools import find_tool, unavailable

BUSYBOX = Path("/bin/busybox")
MODULES = ("virtio_pci", "virtio_blk")
INIT = """\
#!/bin/busybox sh
for module in /modules/*; do /bin/busybox insmod "$module"; done
/bin/busybox mount -t devtmpfs none /dev
/bin/busybox mount -t ext4 /dev/vda /image
exec /bin/busybox switch_root /image "$start"
"""
COMMAND_LINE = "console=ttyS0 quiet panic=-1 rdinit=/init start={start}"


def boot(image: Path, start: str) -> str:
    """Boot a machine with the disk *image* and return its console output from the program *start* on."""
    qemu = find_tool("qemu-system-x86_64")
    release = kernel_release()
    initrd = image.with_suffix(".initrd")
    initrd.write_bytes(build_initrd(release))
    return qemu(
        *("-accel", "tcg", "-m", "512"),  # three seconds on any machine; a nested KVM may hang
        *("-rtc", "base=2024-01-01T00:00:00"),  # e2fsck's clock must not be behind
        *("-nodefaults", "-no-reboot", "-display", "none", "-serial", "stdio"),
        *("-kernel", f"/boot/vmlinuz-{release}", "-initrd", initrd),
        *("-append", COMMAND_LINE.format(start=start)),
        *("-drive", f"file={image},format=raw,if=virtio"),
    )


def kernel_release() -> str:
    """Return the release of the newest installed kernel package."""
    kernels = sorted(Path("/boot").glob("vmlinuz-*"))
    if not kernels or not BUSYBOX.exists():
        unavailable("no kernel package, or no static busybox, is installed")
    return kernels[-1].name.removeprefix("vmlinuz-")


def build_initrd(release: str) -> bytes:
    """Return a cpio archive with everything needed to mount the image."""
    modules = [path.read_bytes() for path in modules_of(Path("/lib/modules", release))]
    directories = ("bin", "dev", "image", "modules")
    files = {f"modules/{number:02}.ko": data for number, data in enumerate(modules)}
    files |= {"bin/busybox": BUSYBOX.read_bytes(), "init": INIT.encode()}
    return b"".join(
        [
            *(cpio_member(name, stat.S_IFDIR | 0o755) for name in directories),
            *(cpio_member(name, stat.S_IFREG | 0o755, data) for name, data in files.items()),
            cpio_member("TRAILER!!!", 0),
        ]
    )


def modules_of(directory: Path) -> list[Path]:
    """Return the files of :data:`MODULES` and their dependencies in load order, except built-in ones."""
    needs = {}
    for line in (directory / "modules.dep").read_text().splitlines():
        name, _, rest = line.partition(":")
        needs[name] = rest.split()
    order: list[str] = []
    for wanted in MODULES:
        for name in (each for each in needs if Path(each).stem == wanted):
            order += [*reversed(needs[name]), name]
    return [directory / name for name in dict.fromkeys(order)]


def cpio_member(name: str, mode: int, data: bytes = b"") -> bytes:
    """Return a member of a cpio archive in the new ASCII format."""
    encoded = os.fsencode(name) + b"\0"
    fields = (0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(encoded), 0)
    head = b"070701" + b"".join(b"%08X" % value for value in fields) + encoded
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)
