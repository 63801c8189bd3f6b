"""Check ext4 images with e2fsck, and with the kernel if it allows mounts."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tarkit.ext4 import Ext4Profile
from tests.conformance.tools import find_tool, unavailable

MIB = 1024 * 1024
PROFILES: tuple[Ext4Profile, ...] = ("default", "ro", "compat")

CLEAN = re.compile(
    r"Pass 1: .*\nPass 2: .*\nPass 3: .*\nPass 4: .*\nPass 5: .*\n\S+: \d+/\d+ files .*blocks\n"
)


def check(image: Path) -> None:
    """Fail unless e2fsck finds no problem in *image*."""
    said = find_tool("e2fsck")("-fn", image)
    assert CLEAN.fullmatch(said), said


@contextmanager
def mounted(image: Path, *options: str) -> Iterator[Path]:
    """Mount *image* for the block and return the mount point."""
    if os.geteuid() != 0:
        unavailable("mounting needs root")
    place = image.with_suffix(".mounted")
    place.mkdir()
    find_tool("mount")("-o", ",".join(("loop", "noatime", *options)), image, place)
    try:
        yield place
    finally:
        find_tool("umount")(place)
        place.rmdir()
