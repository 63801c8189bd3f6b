"""Blobs from a neighbouring repository, without their bytes (distribution-spec, "Mounting a blob")."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlencode

from tarkit.errors import CancelledError, TarkitError
from tarkit.image.digest import Digest
from tarkit.transports.registry.messages import Answer
from tarkit.transports.registry.repository import Repository


def mount_blob(repository: Repository, digest: Digest, origin: str) -> Answer | None:
    """Ask the registry to make a blob of the repository *origin* (its path) part of *repository*.

    Return its answer if that is 201, mounted, or 202, an upload session opened instead. Return
    None for anything else: registries that cannot mount say so in many ways.
    """
    query = urlencode({"mount": str(digest), "from": origin})
    request = repository.request("POST", f"blobs/uploads/?{query}")
    request = replace(request, scopes=(*request.scopes, f"repository:{origin}:pull"))
    try:
        answer = repository.client.try_send(request)
    except CancelledError:
        raise
    except TarkitError:  # the token server may refuse to let us read from *origin*
        return None
    return answer if answer and answer.status in (201, 202) else None
