"""Registry options shared by the commands, and password prompts."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tarkit.cli.combinations import check_reading
from tarkit.cli.common import selected_store
from tarkit.errors import RefusedError, UsageError
from tarkit.image.reference import Reference
from tarkit.protocols import Source
from tarkit.streams.standard import is_terminal
from tarkit.transports.location import Location, Transport, open_source

if TYPE_CHECKING:
    from tarkit.transports.registry.credentials import Credentials
    from tarkit.transports.registry.options import RegistryOptions

Host = Annotated[str, typer.Argument(metavar="HOST[:PORT]", help="Registry.")]
Creds = Annotated[
    str | None,
    typer.Option(
        metavar="USER[:PASSWORD]",
        help="Registry credentials; prompts if the password is omitted.",
    ),
]
SourceCreds = Annotated[
    str | None,
    typer.Option(metavar="USER[:PASSWORD]", help="Credentials for the source only."),
]
DestinationCreds = Annotated[
    str | None,
    typer.Option(metavar="USER[:PASSWORD]", help="Credentials for the destination only."),
]
AuthFile = Annotated[Path | None, typer.Option(help="Credentials file.")]
TlsVerify = Annotated[
    bool,
    typer.Option(
        "--tls-verify/--no-tls-verify",
        help="Require TLS with a trusted certificate.",
    ),
]
CertDir = Annotated[
    Path | None,
    typer.Option(
        help="Directory with CA (*.crt) and client (*.cert, *.key) certificates.",
    ),
]


def registry_options(
    location: Location,
    creds: str | None,
    authfile: Path | None,
    tls_verify: bool,
    cert_dir: Path | None,
) -> RegistryOptions | None:
    """Return the registry options of a command, or None if *location* is not in a registry."""
    if location.transport is not Transport.REGISTRY:
        return None
    from tarkit.transports.registry.options import RegistryOptions

    return RegistryOptions(
        credentials=_credentials(creds) if creds else None,
        authfile=authfile,
        tls_verify=tls_verify,
        cert_dir=cert_dir,
    )


def any_registry(
    creds: str | None, authfile: Path | None, tls_verify: bool, cert_dir: Path | None
) -> RegistryOptions | None:
    """Return the registry options for locations that may be in registries."""
    anywhere = Location(Transport.REGISTRY, "")
    return registry_options(anywhere, creds, authfile, tls_verify, cert_dir)


def open_image(
    source: str,
    creds: str | None,
    authfile: Path | None,
    tls_verify: bool,
    cert_dir: Path | None,
    *,
    follow_links: bool = False,
    output: Path | None = None,
    other: str | None = None,
) -> AbstractContextManager[Source]:
    """Open the image at *source*, through the selected store; a context manager.

    *output* must not be the same file. The options may apply to *other* instead, a second source of
    the command.
    """
    location = Location.parse(source)
    check_reading(
        location,
        *([Location.parse(other)] if other else []),
        creds=creds,
        authfile=authfile,
        tls_verify=tls_verify,
        cert_dir=cert_dir,
        follow_links=follow_links,
    )
    if str(output) == "-":
        raise UsageError("a filesystem image cannot go to standard output")
    if output and output.exists() and os.path.realpath(location.path) == os.path.realpath(output):
        raise RefusedError("the output is the source image itself", where=str(output))
    registry = registry_options(location, creds, authfile, tls_verify, cert_dir)
    return stored_source(
        open_source(location, follow_links=follow_links, registry=registry), location
    )


@contextmanager
def stored_source(opened: AbstractContextManager[Source], location: Location) -> Iterator[Source]:
    """Open a source at *location* and read it through the store that was selected, if any."""
    root = selected_store()
    with opened as source:
        if root is None or location.transport is Transport.STORE:
            yield source
            return
        from tarkit.transports.store.caching import caching

        with caching(source, root) as cached:
            yield cached


def ask_password(username: str) -> str:
    """Prompt for the password of *username*; raise :class:`UsageError` without a terminal."""
    import getpass

    if not is_terminal():
        raise UsageError(
            "no password given, and no terminal to prompt for it",
            hint="use --creds USER:PASSWORD, or login --password-stdin",
        )
    return getpass.getpass(f"Password of {username}: ", stream=sys.stderr)


def registry_domain(host: str) -> str:
    """Return the domain in image names for *host*; raise :class:`UsageError` if it is invalid."""
    domain = host.removeprefix("docker://").removeprefix("https://").rstrip("/")
    # The path stays "x" only if the whole domain was recognized as one.
    if "/" in domain or Reference.parse(f"{domain}/x").path != "x":
        raise UsageError(f"{host[:200]!r} is not a registry", hint="use HOST[:PORT]")
    return domain


def _credentials(text: str) -> Credentials:
    from tarkit.transports.registry.credentials import Credentials

    if ":" in text:
        return Credentials.parse(text)
    return Credentials(text, ask_password(text), origin="the command line")
