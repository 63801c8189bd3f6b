"""The repositories of a registry (distribution's HTTP API V2, "Listing Repositories")."""

from __future__ import annotations

from collections.abc import Iterator

from tarkit.errors import UnsupportedError
from tarkit.transports.registry.authfile import find_credentials
from tarkit.transports.registry.client import RegistryClient
from tarkit.transports.registry.credentials import Credentials
from tarkit.transports.registry.messages import Request
from tarkit.transports.registry.options import RegistryOptions
from tarkit.transports.registry.pages import PAGE, list_pages

_SCOPE = "registry:catalog:*"


def list_repositories(host: str, registry: RegistryOptions | None = None) -> Iterator[str]:
    """Yield the path of every repository at the registry *host*, in its order; a generator.

    Parameters:

    - *host*: the host of the registry, with its port if it has one.
    - *registry*: connection options and credentials.

    Many public registries do not support this. Raises
    :class:`~tarkit.errors.UnsupportedError` or :class:`~tarkit.errors.AuthenticationError` in that
    case, :class:`~tarkit.errors.LimitExceededError` if the list is too long, and
    :class:`~tarkit.errors.TransportError` if the registry does not answer.

    >>> with tarkit.RegistryServer.open("fixtures/hello.tar") as server:
    ...     list(tarkit.list_repositories(server.address))
    ['hello']
    """
    options = registry or RegistryOptions()

    def credentials() -> Credentials | None:
        return options.credentials or find_credentials(host, options.authfile)

    with RegistryClient(host, options, credentials=credentials) as client:
        first = Request("GET", f"/v2/_catalog?n={PAGE}", host, (_SCOPE,))
        try:
            yield from list_pages(client, first, "repositories", UnsupportedError)
        except UnsupportedError as error:
            error.hint = error.hint or "the registry does not list its repositories"
            raise
