"""Credentials for registries: ``moby.filesync.v1.Auth``."""

from __future__ import annotations

from tarkit.errors import UsageError
from tarkit.gateway.buildkit.messages.session import CredentialsRequest, CredentialsResponse
from tarkit.gateway.buildkit.peer import Call, Handler
from tarkit.transports.registry.authfile import find_credentials
from tarkit.transports.registry.options import RegistryOptions

_HUB = {"registry-1.docker.io": "docker.io", "index.docker.io": "docker.io"}


def auth_handlers(options: RegistryOptions | None) -> dict[str, Handler]:
    """Return the handler that gives the daemon the credentials of a registry that it asks for.

    They come from the credentials file only. Credentials without a registry would go to any host
    that the daemon names, so this raises :class:`UsageError` if *options* have some. The daemon gets
    no access tokens, so it asks for credentials only.
    """
    if options is not None and options.credentials:
        raise UsageError(
            "a daemon could ask for these credentials for any registry",
            hint="tarkit login REGISTRY, or --authfile",
        )

    authfile = options.authfile if options is not None else None
    is_anonymous = options is not None and options.credentials is not None

    def handle(call: Call) -> None:
        request = call.receive(CredentialsRequest)
        host = request.host if request is not None else ""
        found = None
        if host and not is_anonymous:
            found = find_credentials(_HUB.get(host, host), authfile)
        if not found:
            call.send(CredentialsResponse())
        elif found.identity_token:
            call.send(CredentialsResponse(secret=found.identity_token))
        else:
            call.send(CredentialsResponse(username=found.username, secret=found.password))

    return {"/moby.filesync.v1.Auth/Credentials": handle}
