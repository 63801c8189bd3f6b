"""Answers to requests that write (distribution-spec, "Push", "Content Management")."""

from __future__ import annotations

from collections.abc import Mapping

from tarkit.errors import MalformedError, UnsupportedError
from tarkit.image.digest import Digest
from tarkit.image.document import METADATA_LIMIT
from tarkit.image.manifest import RawManifest
from tarkit.serving.catalogue import require_manifest
from tarkit.serving.messages import Request, Response
from tarkit.serving.names import Place
from tarkit.serving.problems import Problem
from tarkit.serving.ranges import uploaded
from tarkit.serving.uploads import Upload
from tarkit.serving.writable import WritableLayout


def begin_upload(layout: WritableLayout, request: Request, name: str) -> Response:
    """Answer ``POST /v2/<name>/blobs/uploads/``: begin an upload, mount a blob or store a whole one."""
    mount, digest = request.query.get("mount"), request.query.get("digest")
    if mount and layout.blob(parse_digest(mount)) is not None:
        return _stored(name, parse_digest(mount))
    wanted = parse_digest(digest) if digest else None
    upload = layout.uploads.begin()
    if wanted is None:
        return _accepted(name, upload)
    try:
        with upload.lock:
            upload.append(request.body)
            upload.finish(wanted)
    finally:
        layout.uploads.end(upload)
    return _stored(name, wanted)


def append_chunk(layout: WritableLayout, request: Request, name: str, identifier: str) -> Response:
    """Answer ``PATCH /v2/<name>/blobs/uploads/<id>``: add a chunk, or the whole blob as a stream."""
    upload = layout.uploads.find(identifier)
    with upload.lock:
        _receive(upload, request)
        return _accepted(name, upload)


def finish_upload(layout: WritableLayout, request: Request, name: str, identifier: str) -> Response:
    """Answer ``PUT /v2/<name>/blobs/uploads/<id>?digest=…``: add the last chunk, which may be empty."""
    digest = parse_digest(request.query.get("digest", ""))
    upload = layout.uploads.find(identifier)
    with upload.lock:
        _receive(upload, request)
        try:
            upload.finish(digest)
        finally:
            layout.uploads.end(upload)
    return _stored(name, digest)


def get_upload(layout: WritableLayout, request: Request, name: str, identifier: str) -> Response:
    """Answer ``GET /v2/<name>/blobs/uploads/<id>`` with the range received so far."""
    accepted = _accepted(name, layout.uploads.find(identifier))
    return Response(204, accepted.headers)


def cancel_upload(layout: WritableLayout, request: Request, name: str, identifier: str) -> Response:
    """Answer ``DELETE /v2/<name>/blobs/uploads/<id>``."""
    upload = layout.uploads.find(identifier)
    with upload.lock:
        layout.uploads.end(upload)
    return Response(204)


def put_manifest(
    layout: WritableLayout, request: Request, name: str, reference: Place | Digest
) -> Response:
    """Answer ``PUT /v2/<name>/manifests/<reference>``."""
    data = request.body.read_document(METADATA_LIMIT)
    media_type = request.headers.get("Content-Type", "").partition(";")[0].strip()
    if isinstance(reference, Digest) and not reference.matches(data):
        raise Problem("DIGEST_INVALID", f"the manifest does not have the digest {reference}")
    try:
        raw = RawManifest.of(data, media_type)
        if isinstance(reference, Digest):
            raw = RawManifest(data, raw.media_type, reference)
        subject = layout.put_manifest(reference, raw)
    except (MalformedError, UnsupportedError) as error:
        raise Problem.of_manifest(error) from None
    headers = {"OCI-Subject": str(subject)} if subject else {}
    shown = reference.tag if isinstance(reference, Place) else reference
    return _created(f"/v2/{name}/manifests/{shown}", raw.digest, headers)


def delete_manifest(
    layout: WritableLayout, request: Request, name: str, reference: Place | Digest
) -> Response:
    """Answer ``DELETE /v2/<name>/manifests/<reference>``: remove a tag or, by digest, an image."""
    if isinstance(reference, Place):
        require_manifest(layout.catalogue.manifest(reference.repository, reference.tag), reference)
        layout.delete_tag(reference)
    else:
        require_manifest(layout.manifest_at(reference), reference)
        layout.delete_manifest(name, reference)
    return Response(202)


def delete_blob(layout: WritableLayout, request: Request, name: str, digest: Digest) -> Response:
    """Answer ``DELETE /v2/<name>/blobs/<digest>``."""
    if layout.blob(digest) is None:
        raise Problem("BLOB_UNKNOWN", f"no blob {digest}")
    layout.delete_blob(digest)
    return Response(202)


def parse_digest(text: str) -> Digest:
    """Parse a digest in a request; raises :class:`Problem`."""
    try:
        return Digest.parse(text)
    except (MalformedError, UnsupportedError) as error:
        raise Problem("DIGEST_INVALID", error.message) from None


def _receive(upload: Upload, request: Request) -> None:
    """Add the body of *request* to *upload*; a stated range must follow the bytes received before."""
    stated = request.headers.get("Content-Range")
    expected = uploaded(stated) if stated else None
    if expected is not None and expected.start != upload.size:
        message = f"the upload has {upload.size} bytes; continue there"
        raise Problem("BLOB_UPLOAD_INVALID", message, status=416)
    before = upload.size
    upload.append(request.body)
    if expected is not None and upload.size - before != len(expected):
        raise Problem("SIZE_INVALID", "the body and its Content-Range differ in length")


def _accepted(name: str, upload: Upload) -> Response:
    headers = {
        "Location": f"/v2/{name}/blobs/uploads/{upload.id}",
        "Range": f"0-{max(upload.size - 1, 0)}",
        "Docker-Upload-UUID": upload.id,
    }
    return Response(202, headers)


def _stored(name: str, digest: Digest) -> Response:
    return _created(f"/v2/{name}/blobs/{digest}", digest, {})


def _created(path: str, digest: Digest, headers: Mapping[str, str]) -> Response:
    return Response(201, {"Location": path, "Docker-Content-Digest": str(digest), **headers})
