"""Registry options shared by the commands, and password prompts."""

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tarkit.cli.bundles import Bundle
from tarkit.cli.combinations import check_reading
from tarkit.cli.common import selected_store
from tarkit.errors import RefusedError, UsageError
from tarkit.image.reference import Reference
from tarkit.protocols import Source
from tarkit.streams.standard import is_terminal
from tarkit.transports.location import Location, Transport, open_source
from tarkit.values import dataclass, replace

if TYPE_CHECKING:
    from tarkit.transports.registry.credentials import Credentials
    from tarkit.transports.registry.options import RegistryOptions

Host = Annotated[str, typer.Argument(metavar="HOST[:PORT]", help="Registry.")]

_PANEL = "Registry"
_LOGIN = "USER[:PASSWORD]"

AuthFile = Annotated[Path | None, typer.Option(help="Credentials file.", rich_help_panel=_PANEL)]
TlsVerify = Annotated[
    bool,
    typer.Option(
        "--tls-verify/--no-tls-verify",
        help="Require TLS with a trusted certificate.",
        rich_help_panel=_PANEL,
    ),
]
CertDir = Annotated[
    Path | None,
    typer.Option(
        help="Directory with CA (*.crt) and client (*.cert, *.key) certificates.",
        rich_help_panel=_PANEL,
    ),
]


@dataclass(frozen=True, slots=True)
class Access(Bundle):
    """The options for reaching a registry. The hidden ones are skopeo's."""

    creds: Annotated[
        str | None,
        typer.Option(
            metavar=_LOGIN,
            help="Registry credentials; prompts if the password is omitted.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    authfile: AuthFile = None
    tls_verify: TlsVerify = True
    cert_dir: CertDir = None
    no_creds: Annotated[bool, typer.Option("--no-creds", hidden=True)] = False
    registry_token: Annotated[str | None, typer.Option(metavar="TOKEN", hidden=True)] = None
    retry_times: Annotated[int | None, typer.Option(min=0, max=100, hidden=True)] = None

    def registry(self, location: Location) -> "RegistryOptions | None":
        """Return the options for *location*, or None if it is not in a registry.

        Raises :class:`~tarkit.errors.TransportError` if the credentials file is missing, even if it
        has no effect.
        """
        _require_file(self.authfile)
        return self.anywhere() if location.transport is Transport.REGISTRY else None

    def of(self, location: Location, *, follow_links: bool = False) -> "RegistryOptions | None":
        """Return the options for *location*; raise :class:`UsageError` if they do not apply to it."""
        check_reading(location, given=self.given(), follow_links=follow_links)
        return self.registry(location)

    def anywhere(self) -> "RegistryOptions":
        """Return the options for locations that may be in registries."""
        from tarkit.transports.registry.options import RegistryOptions, RetryPolicy

        _require_file(self.authfile)
        policy = RetryPolicy()
        if self.retry_times is not None:
            policy = replace(policy, attempts=self.retry_times + 1)
        return RegistryOptions(
            credentials=self._credentials(),
            authfile=self.authfile,
            tls_verify=self.tls_verify,
            cert_dir=self.cert_dir,
            retry=policy,
        )

    def _credentials(self) -> "Credentials | None":
        from tarkit.transports.registry.credentials import Credentials

        ways = (self.creds is not None, self.no_creds, self.registry_token is not None)
        if sum(ways) > 1:
            raise UsageError("--creds, --no-creds and --registry-token are mutually exclusive")
        origin = "the command line"
        if self.registry_token is not None:
            return Credentials(registry_token=self.registry_token, origin=origin)
        if self.no_creds:
            return Credentials()
        if not self.creds:
            return None
        if ":" in self.creds:
            return Credentials.parse(self.creds)
        return Credentials(self.creds, ask_password(self.creds), origin=origin)

    def given(self) -> dict[str, bool]:
        """Return which options are given, by their names. skopeo's own may be without effect."""
        return {
            "--creds": self.creds is not None,
            "--authfile": self.authfile is not None,
            "--no-tls-verify": not self.tls_verify,
            "--cert-dir": self.cert_dir is not None,
        }


@dataclass(frozen=True, slots=True)
class Side(Bundle):
    """The options for the registry at one end of a copy. The hidden ones are skopeo's."""

    prefixed = True

    creds: Annotated[
        str | None,
        typer.Option(
            metavar=_LOGIN, help="Registry credentials for this end only.", rich_help_panel=_PANEL
        ),
    ] = None
    authfile: Annotated[Path | None, typer.Option(hidden=True)] = None
    tls_verify: Annotated[bool | None, typer.Option(hidden=True)] = None
    cert_dir: Annotated[Path | None, typer.Option(hidden=True)] = None
    no_creds: Annotated[bool | None, typer.Option(hidden=True)] = None
    registry_token: Annotated[str | None, typer.Option(metavar="TOKEN", hidden=True)] = None

    def over(self, shared: Access) -> Access:
        """Return *shared* with these options instead of its own."""
        _require_file(self.authfile)
        login = self if self.creds or self.no_creds or self.registry_token else shared
        return replace(
            shared,
            creds=login.creds,
            no_creds=bool(login.no_creds),
            registry_token=login.registry_token,
            authfile=self.authfile or shared.authfile,
            tls_verify=shared.tls_verify if self.tls_verify is None else self.tls_verify,
            cert_dir=self.cert_dir or shared.cert_dir,
        )


def _require_file(authfile: Path | None) -> None:
    if authfile is not None:
        from tarkit.transports.registry.authfile import require_file

        require_file(authfile)


def open_image(
    source: str,
    access: Access,
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
        given=access.given(),
        follow_links=follow_links,
    )
    if str(output) == "-":
        raise UsageError("a filesystem image cannot go to standard output")
    if output and output.exists() and os.path.realpath(location.path) == os.path.realpath(output):
        raise RefusedError("the output is the source image itself", where=str(output))
    return stored_source(
        open_source(location, follow_links=follow_links, registry=access.registry(location)),
        location,
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
