"""``tarkit index create|add|remove``."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Annotated

import typer

from tarkit.cli.combinations import check_reading
from tarkit.cli.common import Debug, Json, Quiet, print_json
from tarkit.cli.messages import note, reporting_success
from tarkit.cli.progress import progress_listener
from tarkit.cli.registry import Access, Side
from tarkit.copying.options import CopyOptions, CopyResult
from tarkit.transports.location import Location, open_source

index_group = typer.Typer(
    rich_markup_mode=None,
    help="Create and change multi-platform images in a layout, OCI archive or registry.",
)

_Destination = Annotated[
    str, typer.Argument(metavar="DST", help="Location of the multi-platform image.")
]
_Sources = Annotated[
    list[str],
    typer.Argument(metavar="SRC...", help="Image; if it has several platforms, all are added."),
]


@index_group.command("create")
def create(
    destination: _Destination,
    sources: _Sources,
    access: Access = Access(),
    src: Side = Side(),
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Write a new multi-platform image that consists of other images. Prints its digest."""
    from tarkit.managing.indexes import create_index

    _join(create_index, destination, sources, access, src, json_output, quiet)


@index_group.command("add")
def add(
    destination: _Destination,
    sources: _Sources,
    access: Access = Access(),
    src: Side = Side(),
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Add images to a multi-platform image, in place of those for the same platform."""
    from tarkit.managing.indexes import add_to_index

    _join(add_to_index, destination, sources, access, src, json_output, quiet)


@index_group.command("remove")
def remove(
    destination: _Destination,
    images: Annotated[
        list[str],
        typer.Argument(metavar="IMAGE...", help="OS/ARCH[/VARIANT] or digest of an image in it."),
    ],
    access: Access = Access(),
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Remove images from a multi-platform image. Prints the new digest."""
    from tarkit.managing.indexes import remove_from_index

    place = Location.parse(destination)
    registry = access.of(place)
    with progress_listener(as_json=json_output, quiet=quiet) as listener:
        options = CopyOptions(on_progress=listener)
        result = remove_from_index(place, *images, options=options, registry=registry)
    _report(result, as_json=json_output, quiet=quiet)


def _join(
    work: Callable[..., CopyResult],
    destination: str,
    sources: list[str],
    access: Access,
    src: Side,
    as_json: bool,
    quiet: bool,
) -> None:
    """Open *sources* and call *work* with them. Each registry gets only the credentials for it."""
    place = Location.parse(destination)
    locations = [Location.parse(source) for source in sources]
    check_reading(place, *locations, given=access.given())
    check_reading(*locations, given={"--src-creds": src.creds is not None})
    with ExitStack() as stack:
        listener = stack.enter_context(progress_listener(as_json=as_json, quiet=quiet))
        images = []
        for source in locations:
            registry = src.over(access).registry(source)
            images.append(stack.enter_context(open_source(source, registry=registry)))
        options = CopyOptions(on_progress=listener)
        registry = access.registry(place)
        result = work(place, *images, options=options, registry=registry)
    _report(result, as_json=as_json, quiet=quiet)


def _report(result: CopyResult, *, as_json: bool, quiet: bool) -> None:
    with reporting_success():
        if as_json:
            print_json(
                {
                    "digest": str(result.descriptor.digest),
                    "media_type": result.descriptor.media_type,
                    "bytes": {"read": result.bytes_read, "written": result.bytes_written},
                    "notes": list(result.notes),
                }
            )
            return
        print(result.descriptor.digest)
        for text in () if quiet else result.notes:
            note(text)
