"""What commands that may speak to a registry share: their options, and asking for a password."""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated

import typer

from tarkit.errors import RefusedError, UsageError
from tarkit.image.reference import Reference
from tarkit.protocols import Source
from tarkit.streams.standard import is_terminal
from tarkit.transports.location import Location, Transport, open_source
from tarkit.transports.registry.credentials import Credentials
from tarkit.transports.registry.options import RegistryOptions

Host = Annotated[str, typer.Argument(metavar="HOST[:PORT]", help="The registry.")]
Creds = Annotated[
    str | None,
    typer.Option(
        metavar="USER[:PASSWORD]",
        help="Who to be at the registry; the password is asked for where it is left out.",
    ),
]
AuthFile = Annotated[Path | None, typer.Option(help="The file of credentials.")]
TlsVerify = Annotated[
    bool,
    typer.Option(
        "--tls-verify/--no-tls-verify",
        help="Whether to insist on TLS and a certificate to trust.",
    ),
]
CertDir = Annotated[
    Path | None,
    typer.Option(
        help="A directory of *.crt to trust, and *.cert with *.key to present.",
    ),
]


def registry_options(
    location: Location,
    creds: str | None,
    authfile: Path | None,
    tls_verify: bool,
    cert_dir: Path | None,
) -> RegistryOptions | None:
    """How to reach the registry at *location*, from a command's options; ``None`` where it is none."""
    if location.transport is not Transport.REGISTRY:
        return None
    return RegistryOptions(
        credentials=_credentials(creds) if creds else None,
        authfile=authfile,
        tls_verify=tls_verify,
        cert_dir=cert_dir,
    )


def open_image(
    source: str,
    creds: str | None,
    authfile: Path | None,
    tls_verify: bool,
    cert_dir: Path | None,
    *,
    follow_links: bool = False,
    output: Path | None = None,
) -> AbstractContextManager[Source]:
    """The image at *source*, wherever that is, open as long as the block lasts; *output* must not be it."""
    location = Location.parse(source)
    if str(output) == "-":
        raise UsageError("a filesystem image cannot go to standard output")
    if output and output.exists() and os.path.realpath(location.path) == os.path.realpath(output):
        raise RefusedError("is the image that is to be read", where=str(output))
    registry = registry_options(location, creds, authfile, tls_verify, cert_dir)
    return open_source(location, follow_links=follow_links, registry=registry)


def ask_password(username: str) -> str:
    """The password of *username*, typed unseen; raises :class:`UsageError` where nobody can type."""
    import getpass

    if not is_terminal():
        raise UsageError(
            "no password, and no terminal to ask for it",
            hint="write --creds USER:PASSWORD, or use login's --password-stdin",
        )
    return getpass.getpass(f"Password of {username}: ", stream=sys.stderr)


def registry_domain(host: str) -> str:
    """The registry's name, as it stands before the first slash of an image's name."""
    domain = host.removeprefix("docker://").removeprefix("https://").rstrip("/")
    if "/" in domain or Reference.parse(f"{domain}/x").path != "x":
        raise UsageError(f"{host[:200]!r} is not a registry", hint="write HOST[:PORT]")
    return domain


def _credentials(text: str) -> Credentials:
    if ":" in text:
        return Credentials.parse(text)
    return Credentials(text, ask_password(text), origin="the command line")
