"""``tarkit tag SRC NAME…``."""

from typing import Annotated

import typer

from tarkit.cli.common import Debug, Json, Quiet, SourceArgument, print_json
from tarkit.cli.messages import reporting_success
from tarkit.cli.registry import Access
from tarkit.transports.location import Location


def tag_command(
    source: SourceArgument,
    names: Annotated[
        list[str],
        typer.Argument(metavar="NAME...", help="Additional name; in a registry, a tag."),
    ],
    access: Access = Access(),
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Give an image additional names in place; no layer is moved. Prints its digest.

    Another image that has one of the names loses it. An archive is replaced by a new one when it is
    complete.
    """
    from tarkit.managing.tags import tag_image

    location = Location.parse(source)
    registry = access.of(location)
    digest = tag_image(location, *names, registry=registry)
    with reporting_success():
        if json_output:
            print_json({"digest": str(digest), "names": names})
        elif not quiet:
            print(digest)
