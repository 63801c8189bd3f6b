"""``tarkit login HOST``."""

from typing import Annotated

import typer

from tarkit.cli.common import Debug, Quiet
from tarkit.cli.messages import note
from tarkit.cli.registry import AuthFile, CertDir, Host, TlsVerify, ask_password, registry_domain
from tarkit.errors import UsageError
from tarkit.streams.standard import is_terminal, standard_text
from tarkit.transports.registry.credentials import Credentials
from tarkit.transports.registry.options import RegistryOptions

_PASSWORD_LIMIT = 64 << 10  # characters; some registries use long tokens as passwords


def login_command(
    host: Host,
    username: Annotated[
        str | None, typer.Option("--username", "-u", help="User name; prompts if omitted.")
    ] = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
    authfile: AuthFile = None,
    tls_verify: TlsVerify = True,
    cert_dir: CertDir = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Check credentials with a registry and save them for this and other container tools."""
    from tarkit.transports.registry.login import login

    domain = registry_domain(host)
    if username is None:
        if password_stdin or not is_terminal():
            raise UsageError("no user name", hint="use --username USER")
        username = typer.prompt("User name", err=True)
    password = _read_password() if password_stdin else ask_password(username)
    options = RegistryOptions(authfile=authfile, tls_verify=tls_verify, cert_dir=cert_dir)
    path = login(domain, Credentials(username, password), options)
    if not quiet:
        note(f"logged in to {domain}; credentials saved in {path}")


def _read_password() -> str:
    password = standard_text().readline(_PASSWORD_LIMIT).rstrip("\r\n")
    if not password:
        raise UsageError("no password on standard input")
    return password
