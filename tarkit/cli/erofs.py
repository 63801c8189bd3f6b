"""``tarkit erofs SRC OUT``."""

from tarkit.cli.mkfs import mkfs_command
from tarkit.rootfs.output.mkfs import write_erofs

erofs_command = mkfs_command(
    write_erofs, "Write the files of an image as an erofs image, using mkfs.erofs."
)
