"""Images as squashfs or erofs, made by the programs that exist for it.

mksquashfs, and mkfs.erofs from 1.7 on, read the tar that :mod:`tarkit.rootfs.tarball` makes; an
older mkfs.erofs is given a directory, for which owners and devices take root.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from tarkit.copying.progress import Progress
from tarkit.errors import NoSpaceError, TransportError, UnsupportedError
from tarkit.image.platform import Platform
from tarkit.reading.select import select_image
from tarkit.rootfs.directory import RootfsResult, write_directory
from tarkit.rootfs.overlay import Overlay
from tarkit.rootfs.tarball import write_tar
from tarkit.streams.atomic import Output, mode_at, os_errors
from tarkit.streams.directory import Directory
from tarkit.streams.staging import staging_directory
from tarkit.tar.data import FileData
from tarkit.tar.epoch import source_date_epoch
from tarkit.tar.member import Member, MemberType
from tarkit.tar.reader import TarReader
from tarkit.tar.spool import new_spool
from tarkit.transports.base import Source

_IMAGE = "image"

_LAST_TIME = (1 << 32) - 1  # squashfs counts seconds in 32 bits
_LONGEST_TARGET = 100  # in bytes, that a tar's header holds


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
    with (
        Output.at(path) as place,
        staging_directory(place.directory) as staging,
        new_spool() as tar,
    ):
        result = write_tar(source, tar, platform, overlay, on_progress)
        members = list(TarReader(FileData(tar, "the spool").tape()))
        options = ["-tar", "-noappend", "-no-progress", "-quiet", *_root_options(members[0])]
        _run([program, "-", _path(staging), *options], staging, tar, time=_latest(members))
        _publish(staging, place)
    return replace(result, notes=(*result.notes, *_lost_in_squashfs(members)))


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
    with Output.at(path) as place, staging_directory(place.directory) as staging:
        if "--tar" in _run([program, "--help"]):
            with new_spool() as tar:
                result = write_tar(source, tar, platform, overlay, on_progress)
                _run([program, *options, "--tar=f", _path(staging)], staging, tar)
        else:
            root = staging.reference / "root"
            result = write_directory(
                source, root, platform=platform, overlay=overlay, on_progress=on_progress
            )
            note = "mkfs.erofs before 1.7 reads no tar and keeps no times: the image was unpacked first"
            result = replace(result, notes=(note, *result.notes))
            _run([program, *options, _path(staging), str(root)], staging)
        _publish(staging, place)
    return result


def _path(staging: Directory) -> str:
    """The path of the image while it is written."""
    return str(staging.reference / _IMAGE)


def _publish(staging: Directory, place: Output) -> None:
    """Write the image to the disk and put it at *place*, with the mode that every output has."""
    with os_errors(place.path), staging.open_file(_IMAGE) as file:
        os.fchmod(file.fileno(), mode_at(place.directory, place.name))
        os.fsync(file.fileno())
        made = os.fstat(file.fileno())
        staging.publish(_IMAGE, place.directory, place.name, expected=made)


def _lost_in_squashfs(members: Sequence[Member]) -> Iterator[str]:
    """What mksquashfs, of which 4.5 was tried, makes something else of."""
    links = [member for member in members if member.type is MemberType.SYMLINK]
    if count := sum(len(member.linkname) > _LONGEST_TARGET for member in links):
        yield f"{count} links have targets of more than {_LONGEST_TARGET} bytes, which mksquashfs may cut"
    if count := sum(not 0 <= member.mtime_ns // 10**9 <= _LAST_TIME for member in members):
        yield f"{count} entries have a time before 1970 or after 2106, which squashfs cannot tell"
    if members[0].uid or members[0].gid:
        yield "the root directory's owner may be another: mksquashfs does not take it from a tar"


def _root_options(root: Member) -> list[str]:
    """What mksquashfs does not take from the tar: its first entry, the root directory."""
    mode, uid, gid = f"{root.mode:o}", str(root.uid), str(root.gid)
    return ["-root-mode", mode, "-root-uid", uid, "-root-gid", gid]


def _latest(members: Sequence[Member]) -> int:
    """The time mksquashfs may use, in seconds: no later ones than this stay, so it is the latest."""
    asked = source_date_epoch()
    latest = max(member.mtime_ns for member in members) // 10**9
    return min(max(latest, 0), _LAST_TIME) if asked is None else asked


def _find(program: str, package: str) -> str:
    found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        raise UnsupportedError(f"{program} is not installed", hint=f"it comes with {package}")
    return found


def _run(
    command: Sequence[str],
    directory: Directory | None = None,
    stdin: BinaryIO | None = None,
    *,
    time: int | None = None,
) -> str:
    """Run *command*, which writes to *directory*, and return its output.

    It reads *stdin* from its start and takes *time* for now.
    """
    environment = {k: v for k, v in os.environ.items() if k != "SOURCE_DATE_EPOCH"}
    environment["LC_ALL"] = "C"  # one of its words is read here
    if time is not None:
        environment["SOURCE_DATE_EPOCH"] = str(time)
    if stdin is not None:
        stdin.seek(0)
    result = subprocess.run(
        command,
        pass_fds=[directory.fileno()] if directory else [],  # their paths lead through it
        stdin=stdin or subprocess.DEVNULL,
        capture_output=True,
        env=environment,
        text=True,
        errors="replace",
        check=False,
    )
    output = result.stdout + result.stderr
    if result.returncode:
        lines = [line for line in (result.stderr or output).splitlines() if line.strip()]
        reason = "; ".join(lines[-2:]) or f"exit code {result.returncode}"
        kind = NoSpaceError if os.strerror(errno.ENOSPC) in output else TransportError
        raise kind(reason, where=command[0])
    return output


def _uuid(hex_digest: str) -> str:
    """A UUID (RFC 9562, version 8: of one's own making) from a digest."""
    digits = f"{hex_digest[:12]}8{hex_digest[13:16]}8{hex_digest[17:32]}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
