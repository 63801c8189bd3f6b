"""Options and output helpers shared by the commands."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tarkit.cli.messages import note, reporting_success
from tarkit.errors import one_line
from tarkit.image.descriptor import Descriptor
from tarkit.image.platform import Platform

if TYPE_CHECKING:
    from tarkit.rootfs.output.directory import RootfsResult

STORE_VARIABLE = "TARKIT_STORE"  # tarkit.store.roots.VARIABLE, without loading that

Json = Annotated[bool, typer.Option("--json", help="Print the result as a JSON object.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Hide progress and notes.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
SourceArgument = Annotated[
    str,
    typer.Argument(
        metavar="SRC",
        help="Image location: TRANSPORT:PATH[:NAME|:@N] or a plain path; - for standard input.",
    ),
]

FollowLinks = Annotated[
    bool,
    typer.Option(
        "--follow-links",
        help="Follow links that lead out of a layout, such as Bazel's.",
    ),
]

PlatformOption = Annotated[
    Platform | None,
    typer.Option(
        "--platform",
        parser=Platform.parse,
        metavar="OS/ARCH[/VARIANT]",
        help="Platform to select from an index.",
    ),
]


def _select_store(context: typer.Context, value: Path | None) -> Path | None:
    """Select the store for the rest of the command, as its environment variable does."""
    if value is not None:
        old = os.environ.get(STORE_VARIABLE)
        context.call_on_close(lambda: _set_variable(old))
        _set_variable(str(value))
    return value


def _set_variable(value: str | None) -> None:
    if value is None:
        os.environ.pop(STORE_VARIABLE, None)
    else:
        os.environ[STORE_VARIABLE] = value


StoreOption = Annotated[
    Path | None,
    typer.Option(
        "--store",
        metavar="DIR",
        callback=_select_store,
        help="Store that keeps content read from sources, and has the images of store: locations.",
    ),
]


def selected_store() -> Path | None:
    """Return the store that ``--store`` or the environment selects, to read sources through it."""
    named = os.environ.get(STORE_VARIABLE)
    return Path(named) if named else None


def print_json(document: object) -> None:
    """Print *document* as JSON."""
    print(json.dumps(document, indent=2))


def size_text(size: int) -> str:
    """Return *size* in bytes as text for people, such as ``1.5 MiB``."""
    amount = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def blobs_text(count: int, size: int) -> str:
    """Format a number of blobs and their total size: ``1 blob, 1.5 MiB``."""
    return f"{count} blob{'' if count == 1 else 's'}, {size_text(size)}"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Align *rows* in columns and escape control characters."""
    rows = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def described(descriptor: Descriptor) -> dict[str, Any]:
    """Return a descriptor's digest, size and media type for JSON output."""
    return {
        "digest": str(descriptor.digest),
        "size": descriptor.size,
        "media_type": descriptor.media_type,
    }


def platform_text(platform: Platform | None) -> str | None:
    """Return *platform* as text, or None if it is empty."""
    return str(platform) or None if platform else None


def report_files(result: RootfsResult, destination: str, *, as_json: bool, quiet: bool) -> None:
    """Print a summary of the files written to *destination*, and notes on omissions."""
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
            note(f"wrote {result.entries} entries with {result.size} bytes to {destination}")
