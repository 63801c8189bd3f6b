"""``tarkit annotate SRC KEY=VALUE…``."""

from typing import Annotated

import typer

from tarkit.cli.common import Debug, Json, PlatformOption, Quiet, SourceArgument, print_json
from tarkit.cli.messages import reporting_success
from tarkit.cli.registry import Access
from tarkit.errors import UsageError
from tarkit.transports.location import Location


def annotate_command(
    source: SourceArgument,
    annotations: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE...", help="Annotation to set.")
    ] = None,
    remove: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="Annotation to remove; may be repeated."),
    ] = None,
    platform: PlatformOption = None,
    access: Access = Access(),
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Set annotations of an image's manifest or index. Prints its new digest.

    With --platform, the annotations of one platform's manifest change instead of those of the index.
    """
    from tarkit.managing.annotations import annotate_image

    changes: dict[str, str | None] = dict.fromkeys(remove or ())
    for text in annotations or ():
        key, mark, value = text.partition("=")
        if not mark:
            raise UsageError(f"{text[:100]!r} is not an annotation", hint="write KEY=VALUE")
        changes[key] = value
    if not changes:
        raise UsageError("nothing to change", hint="give KEY=VALUE or --remove KEY")
    location = Location.parse(source)
    registry = access.of(location)
    digest = annotate_image(location, changes, platform=platform, registry=registry)
    with reporting_success():
        if json_output:
            print_json({"digest": str(digest)})
        else:
            print(digest)
