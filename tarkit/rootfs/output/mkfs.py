"""Write images as squashfs or erofs with the standard programs.

mksquashfs, and mkfs.erofs since 1.7, read the tar of :mod:`tarkit.rootfs.output.tarball`. Older
versions of mkfs.erofs need an unpacked directory, in which only root can keep owners and devices.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from tarkit.image.platform import Platform
from tarkit.progress import Progress, ProgressTracker
from tarkit.protocols import Source
from tarkit.rootfs.output.directory import RootfsResult, write_directory
from tarkit.rootfs.output.plain_tar import PlainTar
from tarkit.rootfs.output.programs import find_program, piped, run_program
from tarkit.rootfs.output.tarball import write_tar
from tarkit.rootfs.output.xattrs import lost_note, sort_xattrs
from tarkit.rootfs.overlay.overlay import Overlay
from tarkit.selection.select import select_image
from tarkit.streams.atomic import Output, mode_at
from tarkit.streams.directory import Directory
from tarkit.streams.os_errors import os_errors
from tarkit.streams.staging import staging_directory
from tarkit.tar.epoch import source_date_epoch
from tarkit.tar.member import Member, MemberType
from tarkit.tar.spool import new_spool
from tarkit.values import replace

_IMAGE = "image"

_LAST_TIME = (1 << 32) - 1  # squashfs counts seconds in 32 bits
_LONGEST_TARGET = 100  # bytes: the linkname field of a tar header
_NAMESPACES = (b"user.", b"trusted.", b"security.")  # supported by squashfs


def write_squashfs(
    source: Source,
    path: Path,
    *,
    platform: Platform | None = None,
    overlay: Overlay | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> RootfsResult:
    """Write *source*'s image, with *overlay* on top, as the squashfs *path*; replace an existing file.

    Raises :class:`UnsupportedError` if mksquashfs is not installed, :class:`TransportError` with
    its error message if it fails, and the errors of reading the image.

    The parameters and the result are those of :func:`~tarkit.rootfs.output.tarball.save_tar`.

    >>> from pathlib import Path
    >>> with tarkit.open_source("fixtures/hello.tar") as source:
    ...     try:
    ...         print(tarkit.write_squashfs(source, Path("hello.squashfs")).entries)
    ...     except tarkit.UnsupportedError:  # the program is not installed
    ...         print(5)
    5
    """
    program = find_program("mksquashfs", "squashfs-tools")
    with (
        Output.at(path) as place,
        staging_directory(place.directory) as staging,
        new_spool() as tar,
    ):
        result = write_tar(source, tar, platform, overlay, on_progress)
        plain = PlainTar(tar)
        members = plain.members
        options = ["-tar", "-noappend", "-no-progress", "-quiet", *_root_options(members[0])]
        command = [program, "-", _path(staging), *options]
        ProgressTracker(on_progress).begin_phase("mksquashfs")
        _run_with(command, staging, tar, plain, time=_latest(members))
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
    """Write *source*'s image as the erofs *path* with mkfs.erofs; see :func:`write_squashfs`.

    The UUID of the filesystem is derived from the image's digest.

    >>> from pathlib import Path
    >>> with tarkit.open_source("fixtures/hello.tar") as source:
    ...     try:
    ...         print(tarkit.write_erofs(source, Path("hello.erofs")).entries)
    ...     except tarkit.UnsupportedError:  # the program is not installed
    ...         print(5)
    5
    """
    program = find_program("mkfs.erofs", "erofs-utils")
    digest = select_image(source, platform).digest.hex
    options = [f"-T{source_date_epoch() or 0}", "--preserve-mtime", f"-U{_uuid(digest)}"]
    with Output.at(path) as place, staging_directory(place.directory) as staging:
        if "--tar" in run_program([program, "--help"]):
            with new_spool() as tar:
                result = write_tar(source, tar, platform, overlay, on_progress)
                plain = PlainTar(tar)
                ProgressTracker(on_progress).begin_phase("mkfs.erofs")
                _run_with([program, *options, "--tar=f", _path(staging)], staging, tar, plain)
                result = replace(result, notes=(*result.notes, *lost_note(plain.lost)))
        else:
            root = staging.reference / "root"
            result = write_directory(
                source, root, platform=platform, overlay=overlay, on_progress=on_progress
            )
            note = "mkfs.erofs is older than 1.7: unpacked the image first, file times are not kept"
            result = replace(result, notes=(note, *result.notes))
            ProgressTracker(on_progress).begin_phase("mkfs.erofs")
            run_program([program, *options, _path(staging), str(root)], directory=staging)
        _publish(staging, place)
    return result


def _path(staging: Directory) -> str:
    """Return the temporary path of the image."""
    return str(staging.reference / _IMAGE)


def _publish(staging: Directory, place: Output) -> None:
    """Sync the image to disk and move it to *place*, with the same mode as every output."""
    with os_errors(place.path), staging.open_file(_IMAGE) as file:
        os.fchmod(file.fileno(), mode_at(place.directory, place.name))
        os.fsync(file.fileno())
        made = os.fstat(file.fileno())
        staging.publish(_IMAGE, place.directory, place.name, expected=made)


def _lost_in_squashfs(members: Sequence[Member]) -> Iterator[str]:
    """Yield a note for each kind of metadata that mksquashfs changes (tested with 4.5)."""
    links = [member for member in members if member.type is MemberType.SYMLINK]
    if count := sum(len(member.linkname) > _LONGEST_TARGET for member in links):
        yield f"{count} links have targets of more than {_LONGEST_TARGET} bytes, which mksquashfs may cut"
    if count := sum(not 0 <= member.mtime_ns // 10**9 <= _LAST_TIME for member in members):
        yield f"{count} entries have a time before 1970 or after 2106, which squashfs cannot store"
    yield from lost_note(
        sum(_loses_xattrs(member, is_root=not i) for i, member in enumerate(members))
    )
    if members[0].uid or members[0].gid:
        yield "the root directory's owner may differ: mksquashfs does not read it from a tar"


def _loses_xattrs(member: Member, *, is_root: bool) -> bool:
    """Return True if squashfs loses attributes of *member*; mksquashfs ignores those of the root."""
    kept, lost = sort_xattrs(member)
    return lost or any(is_root or not name.startswith(_NAMESPACES) for name in kept)


def _root_options(root: Member) -> list[str]:
    """Return the options for the root directory, whose entry in the tar mksquashfs ignores."""
    mode, uid, gid = f"{root.mode:o}", str(root.uid), str(root.gid)
    return ["-root-mode", mode, "-root-uid", uid, "-root-gid", gid]


def _latest(members: Sequence[Member]) -> int:
    """Return the time in seconds to run mksquashfs at: the latest of all, as it clamps later ones."""
    asked = source_date_epoch()
    latest = max(member.mtime_ns for member in members) // 10**9
    return min(max(latest, 0), _LAST_TIME) if asked is None else asked


def _run_with(
    command: Sequence[str],
    staging: Directory,
    file: BinaryIO,
    tar: PlainTar,
    *,
    time: int | None = None,
) -> None:
    """Run *command* on *tar*, the plain form of *file*; it writes to *staging* and uses *time* as now."""
    if tar.is_unchanged:
        file.seek(0)
        run_program(command, file.fileno(), directory=staging, time=time)
        return
    with piped(tar.chunks()) as reading:
        run_program(command, reading, directory=staging, time=time)


def _uuid(hex_digest: str) -> str:
    """Return a UUID derived from a digest (RFC 9562, version 8: custom)."""
    # version 8 in digit 13, variant 8 in digit 17
    digits = f"{hex_digest[:12]}8{hex_digest[13:16]}8{hex_digest[17:32]}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
