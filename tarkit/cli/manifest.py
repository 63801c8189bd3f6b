"""``tarkit manifest get|put``."""

from pathlib import Path
from typing import Annotated

import typer

from tarkit.cli.common import (
    Debug,
    FollowLinks,
    Json,
    PlatformOption,
    Quiet,
    SourceArgument,
    print_json,
)
from tarkit.cli.files import OutputFile, opened_input, written_output
from tarkit.cli.messages import reporting_success
from tarkit.cli.registry import Access
from tarkit.transports.location import Location, open_source

manifest_group = typer.Typer(rich_markup_mode=None, help="Read and store single manifests.")


@manifest_group.command("get")
def get(
    source: SourceArgument,
    output: OutputFile = Path("-"),
    platform: PlatformOption = None,
    follow_links: FollowLinks = False,
    access: Access = Access(),
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Write the manifest or index of an image byte for byte."""
    from tarkit.selection.select import select_image

    location = Location.parse(source)
    registry = access.of(location, follow_links=follow_links)
    with open_source(
        location, metadata_only=True, follow_links=follow_links, registry=registry
    ) as image:
        raw = select_image(image, platform) if platform else image.manifest()
    written_output(output, [raw.data])


@manifest_group.command("put")
def put(
    destination: Annotated[
        str, typer.Argument(metavar="DST", help="Image in an OCI layout or registry.")
    ],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File; - for standard input.")],
    media_type: Annotated[
        str, typer.Option(help="Media type, unless the file states it.", metavar="TYPE")
    ] = "",
    access: Access = Access(),
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Store a manifest or index byte for byte; its content must be there. Prints its digest."""
    from tarkit.image.document import METADATA_LIMIT
    from tarkit.managing.content import put_manifest
    from tarkit.streams.chunks import read_bounded

    location = Location.parse(destination)
    registry = access.of(location)
    with opened_input(file) as stream:
        data = read_bounded(stream, METADATA_LIMIT, where=str(file))
    stored = put_manifest(location, data, media_type=media_type, registry=registry)
    with reporting_success():
        if json_output:
            document = {"digest": str(stored.digest), "media_type": stored.media_type}
            print_json(document | {"size": stored.size})
        else:
            print(stored.digest)
