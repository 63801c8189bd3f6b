"""Options that change the files of an image in the output."""

from pathlib import Path
from typing import Annotated

import typer

from tarkit.errors import MalformedError, UsageError
from tarkit.rootfs.overlay.overlay import Overlay
from tarkit.streams.files import read_file

_CERTIFICATE_LIMIT = 1 << 20  # bytes

AddOption = Annotated[
    list[str] | None,
    typer.Option(metavar="SRC:DEST", help="Add a local file or directory; may be repeated."),
]
RemoveOption = Annotated[
    list[str] | None,
    typer.Option(metavar="PATH", help="Remove a file or directory; may be repeated."),
]
CertificateOption = Annotated[
    list[Path] | None,
    typer.Option(metavar="PEM", help="Add CA certificates to the trust stores; may be repeated."),
]


def overlay_of(
    add: list[str] | None, remove: list[str] | None, certificates: list[Path] | None
) -> Overlay:
    """Return the overlay for the options: removals first, then additions, then certificates."""
    overlay = Overlay()
    for path in remove or ():
        overlay.remove(path)
    for text in add or ():
        # A colon in DEST is unlikely, but SRC may contain some.
        source, colon, destination = text.rpartition(":")
        if not colon or not source or not destination:
            raise UsageError(f"--add takes SRC:DEST, not {text!r}")
        overlay.add(source, destination)
    for file in certificates or ():
        try:
            overlay.add_certificate(read_file(file, _CERTIFICATE_LIMIT))
        except MalformedError as error:
            error.where = str(file)
            raise
    return overlay
