"""The options and reports that the commands for many images share."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tarkit.cli.common import print_json, size_text
from tarkit.cli.messages import note, reporting_success
from tarkit.cli.progress import progress_listener
from tarkit.copying.existing import Kept
from tarkit.errors import UsageError, one_line
from tarkit.image.platform import Platform
from tarkit.transports.location import Location, Transport
from tarkit.values import replace

if TYPE_CHECKING:
    from tarkit.copying.many import CopiedImage
    from tarkit.syncing.options import SyncOptions, SyncResult

SourceArguments = Annotated[
    list[str],
    typer.Argument(
        metavar="SRC...",
        default_factory=list,
        show_default=False,
        help="Image locations: TRANSPORT:PATH[:NAME|:@N] or a plain path; - for standard input.",
    ),
]
AllPlatforms = Annotated[
    bool,
    typer.Option(
        "--all",
        "-a",
        help="Copy the whole index with all platforms. In a docker archive, --platform selects "
        "the one for Docker without the containerd image store.",
    ),
]
KeepGoing = Annotated[
    bool, typer.Option("--keep-going", help="Publish the good images if others fail; exit with 1.")
]
Prefix = Annotated[
    str, typer.Option(metavar="NAME", help="Begin the new names of the images with NAME/.")
]
Scoped = Annotated[
    bool,
    typer.Option("--scoped", help="Keep the registry and path of an image in its new name."),
]


def is_prefix(destination: str) -> bool:
    """Return True if *destination* is a prefix in a registry rather than the name of an image."""
    return destination.startswith("docker://") and destination.endswith("/")


def destination_of(text: str) -> Location:
    """Parse the destination *text*, which may be a prefix in a registry."""
    return Location(Transport.REGISTRY, "") if is_prefix(text) else Location.parse(text)


def half_platform(destination: str, platforms: Sequence[Platform]) -> Platform | None:
    """Return the platform that ``--all --platform`` selects for the docker half of an archive.

    Raises :class:`UsageError` if the destination has no such half.
    """
    if not platforms:
        return None
    docker = (Transport.DOCKER_ARCHIVE, Transport.DOCKER_DAEMON)
    if len(platforms) > 1 or is_prefix(destination):
        raise UsageError("--all and --platform are mutually exclusive")
    if Location.parse(destination).transport not in docker:
        raise UsageError("--all and --platform are mutually exclusive")
    return platforms[0]


def copy_many(
    sources: Sequence[str], destination: str, options: SyncOptions, *, as_json: bool, quiet: bool
) -> int:
    """Copy *sources* to *destination*, print the result and return the exit code."""
    from tarkit.syncing.images import copy_images

    require_free_output(destination, as_json=as_json)
    with ExitStack() as stack:
        listener = stack.enter_context(progress_listener(as_json=as_json, quiet=quiet))
        options = replace(options, copy=replace(options.copy, on_progress=listener))
        result = copy_images(sources, destination, options)
    return report_images(result, destination, as_json=as_json, quiet=quiet)


def require_free_output(destination: str, *, as_json: bool) -> None:
    """Raise :class:`UsageError` if an archive would go to a terminal or mix with JSON."""
    if is_prefix(destination) or not Location.parse(destination).is_stream:
        return
    from tarkit.cli.files import require_no_terminal

    require_no_terminal("-", "the archive")
    if as_json:
        raise UsageError("--json and the archive cannot both use standard output")


def report_images(result: SyncResult, destination: str, *, as_json: bool, quiet: bool) -> int:
    """Print *result* and return the exit code: 1 if images failed."""
    with reporting_success():
        if as_json:
            print_json(as_document(result))
        else:
            if is_prefix(destination) or not Location.parse(destination).is_stream:
                _print_images(result.images)
            if not quiet:
                _note_result(result)
        for failed in result.failed:
            note(f"failed: {failed.error}")
    return 1 if result.failed else 0


def _print_images(images: Sequence[CopiedImage]) -> None:
    for image in images:
        if image.result:
            digest = image.result.descriptor.digest
            print(one_line(" ".join((str(digest), *(image.names or ("<none>",))))))


def _note_result(result: SyncResult) -> None:
    copied = [image.result for image in result.images if image.result]
    for image in result.images:
        for text in image.result.notes if image.result else ():
            note(one_line(f"{image.source}: {text}"))
    for text in result.notes:
        note(text)
    unchanged = len(result.images) - len(copied)
    counts = [f"{len(copied)} copied", f"{unchanged} unchanged", f"{len(result.failed)} failed"]
    note(
        f"images: {', '.join(counts)}; blobs: {sum(r.copied for r in copied)} copied, "
        f"{sum(r.recompressed for r in copied)} recompressed, "
        f"{sum(r.reused for r in copied)} reused; {size_text(result.bytes_read)} read, "
        f"{size_text(result.bytes_written)} written"
    )
    note_kept(result.kept)


def note_kept(kept: Kept) -> None:
    """Print a note about the images of an existing archive, if there were any."""
    if kept.images:
        note(
            f"kept {kept.images} images of the archive: {size_text(kept.bytes_moved)} moved by the "
            f"filesystem, {size_text(kept.bytes_copied)} read and written"
        )


def as_document(result: SyncResult) -> dict[str, Any]:
    """Return *result* for JSON output."""
    return {
        "images": [_image_document(image) for image in result.images],
        "failed": [
            {"source": failed.source, "error": str(failed.error)} for failed in result.failed
        ],
        "bytes": {"read": result.bytes_read, "written": result.bytes_written},
        "kept": kept_document(result.kept),
        "notes": list(result.notes),
    }


def kept_document(kept: Kept) -> dict[str, int]:
    """Return *kept* for JSON output."""
    return {
        "images": kept.images,
        "bytes_moved": kept.bytes_moved,
        "bytes_copied": kept.bytes_copied,
    }


def _image_document(image: CopiedImage) -> dict[str, Any]:
    document: dict[str, Any] = {
        "source": image.source,
        "names": list(image.names),
        "unchanged": image.result is None,
    }
    if image.result is None:
        return document
    result = image.result
    return document | {
        "digest": str(result.descriptor.digest),
        "media_type": result.descriptor.media_type,
        "blobs": {
            "copied": result.copied,
            "reused": result.reused,
            "recompressed": result.recompressed,
        },
        "bytes": {"read": result.bytes_read, "written": result.bytes_written},
        "notes": list(result.notes),
    }
