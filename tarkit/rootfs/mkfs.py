"""Images as squashfs or erofs, made by the programs that exist for it.

mksquashfs, and mkfs.erofs from 1.7 on, read the tar that :mod:`tarkit.rootfs.tarball` makes; an
older mkfs.erofs is given a directory, for which owners and devices take root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from tarkit.copying.progress import Progress
from tarkit.errors import TransportError, UnsupportedError
from tarkit.image.platform import Platform
from tarkit.reading.select import select_image
from tarkit.rootfs.directory import RootfsResult, write_directory
from tarkit.rootfs.epoch import source_date_epoch
from tarkit.rootfs.overlay import Overlay
from tarkit.rootfs.tarball import write_tar
from tarkit.streams.staging import staging_directory
from tarkit.tar.spool import new_spool
from tarkit.transports.base import Source


def write_squashfs(
    source: Source,
    path: Path,
    *,
    platform: Platform | None = None,
    overlay: Overlay | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> RootfsResult:
    """Write *source*'s image, with *overlay* on top, as the squashfs *path*, replacing what is there.

    Raises :class:`UnsupportedError` where mksquashfs is not installed, :class:`TransportError`
    with its own words where it fails, and whatever reading the image may bring.
    """
    program = _find("mksquashfs", "squashfs-tools")
    time = str(source_date_epoch() or 0)
    with staging_directory(path.absolute().parent) as staging, new_spool() as tar:
        result = write_tar(source, tar, platform, overlay, on_progress)
        output = staging / "image"
        options = ["-tar", "-noappend", "-no-progress", "-quiet", "-mkfs-time", time]
        _run([program, "-", str(output), *options], tar)
        output.replace(path)
    return result


def write_erofs(
    source: Source,
    path: Path,
    *,
    platform: Platform | None = None,
    overlay: Overlay | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> RootfsResult:
    """As :func:`write_squashfs`, with mkfs.erofs; its UUID derives from the image's digest."""
    program = _find("mkfs.erofs", "erofs-utils")
    digest = select_image(source, platform).digest.hex
    options = [f"-T{source_date_epoch() or 0}", "--preserve-mtime", f"-U{_uuid(digest)}"]
    with staging_directory(path.absolute().parent) as staging:
        output = staging / "image"
        if "--tar" in _run([program, "--help"]):
            with new_spool() as tar:
                result = write_tar(source, tar, platform, overlay, on_progress)
                _run([program, *options, "--tar=f", str(output)], tar)
        else:
            root = staging / "root"
            result = write_directory(
                source, root, platform=platform, overlay=overlay, on_progress=on_progress
            )
            note = "mkfs.erofs before 1.7 reads no tar, so the image was unpacked first"
            result = replace(result, notes=(note, *result.notes))
            _run([program, *options, str(output), str(root)])
        output.replace(path)
    return result


def _find(program: str, package: str) -> str:
    found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        raise UnsupportedError(f"{program} is not installed", hint=f"it comes with {package}")
    return found


def _run(command: Sequence[str], stdin: BinaryIO | None = None) -> str:
    """Run *command*, which reads *stdin* from its start; all it says."""
    environment = {k: v for k, v in os.environ.items() if k != "SOURCE_DATE_EPOCH"}
    if stdin is not None:
        stdin.seek(0)
    result = subprocess.run(
        command,
        stdin=stdin or subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,  # whose time would be put on every file
        check=False,
    )
    output = result.stdout.decode("utf-8", "replace")
    if result.returncode:
        lines = output.strip().splitlines() or [f"exit code {result.returncode}"]
        raise TransportError(lines[-1], where=command[0])
    return output


def _uuid(hex_digest: str) -> str:
    """A UUID (RFC 9562, version 8: of one's own making) from a digest."""
    digits = f"{hex_digest[:12]}8{hex_digest[13:16]}8{hex_digest[17:32]}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
