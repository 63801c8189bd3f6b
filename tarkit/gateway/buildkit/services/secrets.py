"""Secrets of a build: ``moby.buildkit.secrets.v1.Secrets``."""

from __future__ import annotations

from collections.abc import Mapping

from tarkit.gateway.buildkit.messages.session import GetSecretRequest, GetSecretResponse
from tarkit.gateway.buildkit.peer import Call, Handler
from tarkit.gateway.buildkit.status import Code, StatusError


def secret_handlers(secrets: Mapping[str, bytes]) -> dict[str, Handler]:
    """Return the handler that gives the daemon *secrets*, by ID."""

    def handle(call: Call) -> None:
        request = call.receive(GetSecretRequest)
        name = request.id if request is not None else ""
        if name not in secrets:
            raise StatusError(Code.NOT_FOUND, f"secret {name[:200]}: not found")
        call.send(GetSecretResponse(data=secrets[name]))

    return {"/moby.buildkit.secrets.v1.Secrets/GetSecret": handle}
