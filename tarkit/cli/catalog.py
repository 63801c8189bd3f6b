"""``tarkit catalog HOST``."""

import json
from typing import Annotated

import typer

from tarkit.cli.common import Debug, Quiet
from tarkit.cli.registry import Access, Host, registry_domain
from tarkit.errors import one_line


def catalog_command(
    host: Host,
    access: Access = Access(),
    json_output: Annotated[
        bool, typer.Option("--json", help="Print a JSON object for each repository.")
    ] = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """List the repositories of a registry, if it supports that."""
    from tarkit.transports.registry.catalog import list_repositories

    domain = registry_domain(host)
    for name in list_repositories(domain, access.anywhere()):
        print(json.dumps({"name": f"{domain}/{name}"}) if json_output else one_line(name))
