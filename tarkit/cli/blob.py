"""``tarkit blob get|put``."""

from pathlib import Path
from typing import Annotated

import typer

from tarkit.cli.common import Debug, Json, Quiet, print_json
from tarkit.cli.files import (
    OutputFile,
    digest_argument,
    opened_input,
    require_no_terminal,
    written_output,
)
from tarkit.cli.messages import reporting_success
from tarkit.cli.registry import Access
from tarkit.transports.location import Location

blob_group = typer.Typer(rich_markup_mode=None, help="Read and store single blobs.")


@blob_group.command("get")
def get(
    source: Annotated[
        str,
        typer.Argument(metavar="SRC", help="Container of images, or an image, that has the blob."),
    ],
    digest: Annotated[str, typer.Argument(metavar="DIGEST", help="Digest of the blob.")],
    output: OutputFile = Path("-"),
    access: Access = Access(),
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Write a blob byte for byte, and verify its digest."""
    from tarkit.managing.content import open_blob
    from tarkit.streams.chunks import chunks_of

    require_no_terminal(output, "the blob")
    location = Location.parse(source)
    registry = access.of(location)
    with open_blob(location, digest_argument(digest), registry=registry) as blob:
        written_output(output, chunks_of(blob))


@blob_group.command("put")
def put(
    destination: Annotated[
        str, typer.Argument(metavar="DST", help="OCI layout, or repository of a registry.")
    ],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File; - for standard input.")],
    access: Access = Access(),
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Store a file as a blob. Prints its digest."""
    from tarkit.managing.content import put_blob

    location = Location.parse(destination)
    registry = access.of(location)
    with opened_input(file) as stream:
        blob = put_blob(location, stream, registry=registry)
    with reporting_success():
        if json_output:
            print_json({"digest": str(blob.digest), "size": blob.size})
        else:
            print(blob.digest)
