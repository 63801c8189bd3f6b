"""The messages of the services that a session offers."""

from __future__ import annotations

from collections.abc import Mapping

from tarkit.llb.wire import Message, mapping, raw_bytes, string


class CredentialsRequest(Message):
    """The registry whose credentials are wanted."""

    host: str = string(1, name="Host")


class CredentialsResponse(Message):
    """Credentials; a secret without user is an identity token."""

    username: str = string(1, name="Username")
    secret: str = string(2, name="Secret")


class GetSecretRequest(Message):
    """The secret that is wanted."""

    id: str = string(1, name="ID")
    annotations: Mapping[str, str] = mapping(2, string)


class GetSecretResponse(Message):
    """A secret."""

    data: bytes = raw_bytes(1)


class CheckAgentRequest(Message):
    """The agent that is wanted."""

    id: str = string(1, name="ID")
