"""``tarkit login HOST`` and ``tarkit logout HOST``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from tarkit.cli.common import Debug, Quiet, note
from tarkit.cli.registry import AuthFile, CertDir, TlsVerify, ask_password
from tarkit.errors import UsageError
from tarkit.image.reference import Reference
from tarkit.transports.registry.credentials import Credentials
from tarkit.transports.registry.options import RegistryOptions

Host = Annotated[str, typer.Argument(metavar="HOST[:PORT]", help="The registry.")]
_LONGEST = 64 << 10


def login_command(
    host: Host,
    username: Annotated[str | None, typer.Option("--username", "-u")] = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
    authfile: AuthFile = None,
    tls_verify: TlsVerify = True,
    cert_dir: CertDir = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Try credentials at a registry, and keep them where containers' tools look for them."""
    from tarkit.transports.registry.login import login

    domain = _domain(host)
    if username is None:
        if password_stdin or not sys.stdin.isatty():
            raise UsageError("no user name", hint="write --username USER")
        username = typer.prompt("User name", err=True)
    password = _read_password() if password_stdin else ask_password(username)
    options = RegistryOptions(authfile=authfile, tls_verify=tls_verify, cert_dir=cert_dir)
    kept = login(domain, Credentials(username, password), options)
    if not quiet:
        note(f"logged in to {domain}; the credentials are kept in {kept}")


def logout_command(
    host: Host, authfile: AuthFile = None, quiet: Quiet = False, debug: Debug = False
) -> None:
    """Forget the credentials for a registry."""
    from tarkit.transports.registry.login import logout

    domain = _domain(host)
    kept = logout(domain, authfile)
    if not quiet:
        note(f"logged out of {domain}; the credentials were kept in {kept}")


def _domain(host: str) -> str:
    """The registry's name, as it stands before the first slash of an image's name."""
    domain = host.removeprefix("docker://").removeprefix("https://").rstrip("/")
    if "/" in domain or Reference.parse(f"{domain}/x").path != "x":
        raise UsageError(f"{host[:200]!r} is not a registry", hint="write HOST[:PORT]")
    return domain


def _read_password() -> str:
    password = sys.stdin.readline(_LONGEST).rstrip("\r\n")
    if not password:
        raise UsageError("no password on standard input")
    return password
