"""``tarkit catalog HOST``."""

import json
from typing import Annotated

import typer

from tarkit.cli.common import Debug, Quiet
from tarkit.cli.registry import AuthFile, CertDir, Creds, Host, TlsVerify, registry_domain
from tarkit.errors import one_line
from tarkit.transports.location import Location, Transport


def catalog_command(
    host: Host,
    creds: Creds = None,
    authfile: AuthFile = None,
    tls_verify: TlsVerify = True,
    cert_dir: CertDir = None,
    json_output: Annotated[
        bool, typer.Option("--json", help="Print a JSON object for each repository.")
    ] = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """List the repositories of a registry, if it supports that."""
    from tarkit.cli.registry import registry_options
    from tarkit.transports.registry.catalog import list_repositories

    domain = registry_domain(host)
    place = Location(Transport.REGISTRY, domain)
    registry = registry_options(place, creds, authfile, tls_verify, cert_dir)
    for name in list_repositories(domain, registry):
        print(json.dumps({"name": f"{domain}/{name}"}) if json_output else one_line(name))
