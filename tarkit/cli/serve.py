"""``tarkit serve DIR|ARCHIVE``."""

from typing import TYPE_CHECKING, Annotated

import typer

from tarkit.cli.common import Debug, FollowLinks, Json, Quiet, print_json
from tarkit.cli.messages import flush_output, note, say
from tarkit.errors import listed

if TYPE_CHECKING:
    from tarkit.serving.server import RegistryServer


def serve_command(
    source: Annotated[
        str, typer.Argument(metavar="DIR|ARCHIVE", help="Layout, directory or archive to serve.")
    ],
    port: Annotated[
        int,
        typer.Option(
            min=0, max=65535, metavar="PORT", help="Port to listen on; 0 takes a free one."
        ),
    ] = 0,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Address to listen on.")
    ] = "127.0.0.1",
    name: Annotated[
        str | None, typer.Option(metavar="REPOSITORY", help="Repository of all images.")
    ] = None,
    writable: Annotated[
        bool, typer.Option("--writable", help="Accept pushes to a layout, or to a new one.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Print a line for each request.")
    ] = False,
    follow_links: FollowLinks = False,
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Serve images as a registry on this machine, until Ctrl-C.

    Prints the registry's address. Pull with any client: docker pull ADDRESS/NAME:TAG
    """
    from tarkit.serving.server import RegistryServer

    with RegistryServer.open(
        source,
        writable=writable,
        name=name,
        host=host,
        port=port,
        follow_links=follow_links,
        log=say if verbose else None,
    ) as server:
        if json_output:
            print_json(
                {
                    "address": server.address,
                    "url": server.url,
                    "writable": writable,
                    "references": list(server.references),
                }
            )
        else:
            print(server.address)
        flush_output()
        if not quiet:
            _explain(server, writable)
        server.wait()


def _explain(server: "RegistryServer", writable: bool) -> None:
    for text in server.notes:
        note(text)
    access = "accepting pushes" if writable else "read-only"
    note(f"serving {listed(server.references) or 'no images yet'} ({access}; Ctrl-C stops)")
