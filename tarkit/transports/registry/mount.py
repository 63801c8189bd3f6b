"""Mount blobs from another repository of the registry (distribution-spec, "Mounting a blob")."""

from __future__ import annotations

from urllib.parse import urlencode

from tarkit.errors import CancelledError, TarkitError
from tarkit.image.digest import Digest
from tarkit.transports.registry.messages import Answer
from tarkit.transports.registry.repository import Repository
from tarkit.values import replace


def mount_blob(repository: Repository, digest: Digest, origin: str) -> Answer | None:
    """Mount the blob *digest* of the repository with the path *origin* in *repository*.

    Returns the answer if its status is 201 (mounted) or 202 (an upload session was opened instead).
    Returns None otherwise, because registries refuse mounts in many ways.
    """
    query = urlencode({"mount": str(digest), "from": origin})
    request = repository.request("POST", f"blobs/uploads/?{query}")
    request = replace(request, scopes=(*request.scopes, f"repository:{origin}:pull"))
    try:
        answer = repository.client.try_send(request)
    except CancelledError:
        raise
    except TarkitError:  # the token server may refuse access to *origin*
        return None
    return answer if answer and answer.status in (201, 202) else None
