"""``tarkit squashfs SRC OUT``."""

from tarkit.cli.mkfs import mkfs_command
from tarkit.rootfs.output.mkfs import write_squashfs

squashfs_command = mkfs_command(
    write_squashfs, "Write the files of an image as a squashfs image, using mksquashfs."
)
