"""Credentials for registries: ``moby.filesync.v1.Auth``."""

from __future__ import annotations

from tarkit.gateway.buildkit.messages.session import CredentialsRequest, CredentialsResponse
from tarkit.gateway.buildkit.peer import Call, Handler
from tarkit.transports.registry.authfile import find_credentials
from tarkit.transports.registry.options import RegistryOptions

_HUB = {"registry-1.docker.io": "docker.io", "index.docker.io": "docker.io"}


def auth_handlers(options: RegistryOptions | None) -> dict[str, Handler]:
    """Return the handler that gives the daemon the credentials of a registry that it asks for.

    The daemon gets no tokens, so it asks for credentials only.
    """

    def handle(call: Call) -> None:
        request = call.receive(CredentialsRequest)
        host = request.host if request is not None else ""
        found = options.credentials if options is not None else None
        if found is None and host:
            authfile = options.authfile if options is not None else None
            found = find_credentials(_HUB.get(host, host), authfile)
        if not found:
            call.send(CredentialsResponse())
        else:
            call.send(CredentialsResponse(username=found.username, secret=found.password))

    return {"/moby.filesync.v1.Auth/Credentials": handle}
