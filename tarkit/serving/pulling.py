"""Answers to requests that read (distribution-spec, "Pull", "Content Discovery")."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode

from tarkit.image import media_types
from tarkit.image.digest import Digest
from tarkit.image.manifest import Index
from tarkit.serving.catalogue import require_manifest
from tarkit.serving.contents import ServedImages
from tarkit.serving.messages import BlobPart, Request, Response
from tarkit.serving.names import Place
from tarkit.serving.problems import Problem
from tarkit.serving.ranges import page, requested


def get_base(contents: ServedImages, request: Request) -> Response:
    """Answer ``GET /v2/``, which clients send to recognize a registry."""
    return Response.of_json({})


def get_catalog(contents: ServedImages, request: Request) -> Response:
    """Answer ``GET /v2/_catalog``."""
    return _paged(request, "repositories", tuple(contents.catalogue.repositories))


def get_tags(contents: ServedImages, request: Request, name: str) -> Response:
    """Answer ``GET /v2/<name>/tags/list``."""
    tags = contents.catalogue.repositories.get(name)
    if tags is None:
        raise Problem("NAME_UNKNOWN", f"no repository {name}")
    return _paged(request, "tags", tuple(tags), name=name)


def get_manifest(
    contents: ServedImages, request: Request, name: str, reference: Place | Digest
) -> Response:
    """Answer ``GET /v2/<name>/manifests/<reference>`` with the stored bytes; ignore Accept."""
    if isinstance(reference, Digest):
        found = contents.manifest_at(reference)
    else:
        found = contents.catalogue.manifest(reference.repository, reference.tag)
    raw = require_manifest(found, reference)
    headers = {"Content-Type": raw.media_type, "Docker-Content-Digest": str(raw.digest)}
    return Response(200, headers, raw.data)


def get_blob(contents: ServedImages, request: Request, name: str, digest: Digest) -> Response:
    """Answer ``GET /v2/<name>/blobs/<digest>``, which may request one range."""
    blob = contents.blob(digest)
    if blob is None:
        raise Problem("BLOB_UNKNOWN", f"no blob {digest}")
    headers = {
        "Content-Type": "application/octet-stream",
        "Docker-Content-Digest": str(digest),
        "Accept-Ranges": "bytes",
    }
    part = requested(request.headers.get("Range"), blob.size)
    if part is None:
        return Response(200, headers, content=BlobPart(blob, 0, blob.size))
    if not part:
        problem = Problem("SIZE_INVALID", f"the blob has {blob.size} bytes", status=416)
        return Response(
            416,
            {"Content-Type": "application/json", "Content-Range": f"bytes */{blob.size}"},
            problem.body,
        )
    headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{blob.size}"
    return Response(206, headers, content=BlobPart(blob, part.start, part.stop))


def get_referrers(contents: ServedImages, request: Request, name: str, digest: Digest) -> Response:
    """Answer ``GET /v2/<name>/referrers/<digest>``, filtered by ``artifactType`` if given."""
    found = contents.catalogue.referrers(digest)
    headers = {"Content-Type": media_types.OCI_INDEX}
    if kind := request.query.get("artifactType"):
        found = [entry for entry in found if entry.artifact_type == kind]
        headers["OCI-Filters-Applied"] = "artifactType"
    index = Index(media_types.OCI_INDEX, tuple(found)).serialize()
    return Response(200, headers, index.data)


def _paged(request: Request, key: str, items: Sequence[str], **more: str) -> Response:
    count = request.query.get("n")
    chosen, follow = page(items, count, request.query.get("last"))
    headers = {}
    if follow:
        query = urlencode({"n": str(count), "last": chosen[-1]})
        headers["Link"] = f'<{request.path}?{query}>; rel="next"'
    return Response.of_json({**more, key: chosen}, headers)
