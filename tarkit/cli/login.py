"""``tarkit login HOST``."""

from __future__ import annotations

from typing import Annotated

import typer

from tarkit.cli.common import Debug, Quiet
from tarkit.cli.messages import note
from tarkit.cli.registry import AuthFile, CertDir, Host, TlsVerify, ask_password, registry_domain
from tarkit.errors import UsageError
from tarkit.streams.standard import is_terminal, standard_text
from tarkit.transports.registry.credentials import Credentials
from tarkit.transports.registry.options import RegistryOptions

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

    domain = registry_domain(host)
    if username is None:
        if password_stdin or not is_terminal():
            raise UsageError("no user name", hint="write --username USER")
        username = typer.prompt("User name", err=True)
    password = _read_password() if password_stdin else ask_password(username)
    options = RegistryOptions(authfile=authfile, tls_verify=tls_verify, cert_dir=cert_dir)
    kept = login(domain, Credentials(username, password), options)
    if not quiet:
        note(f"logged in to {domain}; the credentials are kept in {kept}")


def _read_password() -> str:
    password = standard_text().readline(_LONGEST).rstrip("\r\n")
    if not password:
        raise UsageError("no password on standard input")
    return password
