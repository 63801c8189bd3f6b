"""``tarkit prune LAYOUT``."""

from typing import Annotated

import typer

from tarkit.cli.common import Debug, Json, Quiet, blobs_text, print_json
from tarkit.cli.messages import note, reporting_success
from tarkit.transports.location import Location, Transport


def prune_command(
    layout: Annotated[
        str, typer.Argument(metavar="LAYOUT", help="OCI layout: a directory, or oci:DIRECTORY.")
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="List the blobs without removing them.")
    ] = False,
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Remove the blobs of an OCI layout that nothing refers to, and list them.

    tarkit's own copies to the layout may run at the same time. Other programs must not.
    """
    from tarkit.managing.places import place_of
    from tarkit.transports.oci_layout.pruning import prune_layout

    place = place_of(Location.parse(layout), "prune", (Transport.OCI,))
    blobs = prune_layout(place.path, dry_run=dry_run)
    size = sum(blob.size for blob in blobs)
    with reporting_success():
        if json_output:
            listed = [{"digest": str(blob.digest), "size": blob.size} for blob in blobs]
            print_json({"removed": not dry_run, "bytes": size, "blobs": listed})
            return
        for blob in () if quiet else blobs:
            print(blob.digest)
        if not quiet:
            done = "would remove" if dry_run else "removed"
            note(f"{done} {blobs_text(len(blobs), size)}")
