"""``tarkit erofs SRC OUT``."""

from __future__ import annotations

from tarkit.cli.mkfs import mkfs_command
from tarkit.rootfs.output.mkfs import write_erofs

erofs_command = mkfs_command(
    write_erofs, "Write an image's files as an erofs image, with mkfs.erofs."
)
