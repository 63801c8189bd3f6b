"""What commands share: their common options, and how they print."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tarkit.cli.messages import note, reporting_success
from tarkit.errors import one_line
from tarkit.image.descriptor import Descriptor
from tarkit.image.platform import Platform

if TYPE_CHECKING:
    from tarkit.rootfs.output.directory import RootfsResult

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress and no notes.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show where an error came from.")]
SourceArgument = Annotated[
    str,
    typer.Argument(
        metavar="SRC", help="transport:path[:name|:@N], or a plain path, or - for standard input."
    ),
]

FollowLinks = Annotated[
    bool,
    typer.Option(
        "--follow-links",
        help="Read files of a layout that are links out of it, as Bazel makes them.",
    ),
]

PlatformOption = Annotated[
    Platform | None,
    typer.Option(
        "--platform",
        parser=Platform.parse,
        metavar="OS/ARCH[/VARIANT]",
        help="The image of an index that is for this platform.",
    ),
]


def print_json(document: object) -> None:
    """One JSON document on standard output."""
    print(json.dumps(document, indent=2))


def size_text(size: int) -> str:
    """*size* bytes as people read them: ``1.5 MiB``."""
    amount = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def table(rows: Sequence[Sequence[str]]) -> str:
    """*rows* in columns; what could steer a terminal is escaped."""
    rows = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def described(descriptor: Descriptor) -> dict[str, Any]:
    """A descriptor's digest, size and media type."""
    return {
        "digest": str(descriptor.digest),
        "size": descriptor.size,
        "media_type": descriptor.media_type,
    }


def platform_text(platform: Platform | None) -> str | None:
    """*platform* in writing, or ``None``."""
    return str(platform) or None if platform else None


def report_files(result: RootfsResult, destination: str, *, as_json: bool, quiet: bool) -> None:
    """Say which of an image's files were written, and what was not."""
    with reporting_success():
        if as_json:
            print_json(
                {
                    "path": destination,
                    "entries": result.entries,
                    "size": result.size,
                    "notes": list(result.notes),
                }
            )
        elif not quiet:
            for text in result.notes:
                note(text)
            note(f"{result.entries} entries, {result.size} bytes in files, in {destination}")
