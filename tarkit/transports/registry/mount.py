"""Blobs from a neighbouring repository, without their bytes (distribution-spec, "Mounting a blob")."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlencode

from tarkit.errors import AuthenticationError, NotFoundError, UnsupportedError
from tarkit.image.digest import Digest
from tarkit.transports.registry.repository import Repository
from tarkit.transports.registry.upload import cancel_upload


def mount_blob(repository: Repository, digest: Digest, origin: str) -> bool:
    """Make the blob of the repository *origin* (its path) part of *repository*; whether the registry did.

    A registry that does not know how, or does not let us read there, opens an upload instead.
    """
    query = urlencode({"mount": str(digest), "from": origin})
    request = repository.request("POST", f"blobs/uploads/?{query}")
    request = replace(request, scopes=(*request.scopes, f"repository:{origin}:pull"))
    try:
        answer = repository.client.send(request, {201, 202})
    except (AuthenticationError, NotFoundError, UnsupportedError):
        return False
    if answer.status == 202:
        cancel_upload(repository, repository.client.location(answer))
    return answer.status == 201
