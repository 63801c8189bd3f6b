"""Images at locations, which the daemon reads as OCI layouts: ``containerd.services.content.v1``."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import closing
from typing import BinaryIO

from tarkit.errors import BlobNotFoundError, TarkitError
from tarkit.gateway.buildkit.messages.content import (
    Info,
    InfoRequest,
    InfoResponse,
    ReadContentRequest,
    ReadContentResponse,
)
from tarkit.gateway.buildkit.peer import Call, Handler
from tarkit.gateway.buildkit.status import Code, StatusError
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import Index, Manifest
from tarkit.protocols import Source
from tarkit.solver.operations.opened import OpenedImages

_STORE = "buildkit-attachable-store-id"
_PREFIX = "oci:"
_CHUNK = 256 << 10


def content_handlers(images: OpenedImages) -> dict[str, Handler]:
    """Return the handlers that read blobs of the *images* that the build's definitions name."""

    def info(call: Call) -> None:
        source = _source(call, images)
        request = call.receive(InfoRequest) or InfoRequest()
        size = _sized(source, Digest.parse(request.digest))
        call.send(InfoResponse(info=Info(digest=request.digest, size=size)))

    def read(call: Call) -> None:
        source = _source(call, images)
        request = call.receive(ReadContentRequest) or ReadContentRequest()
        with closing(_opened(source, Digest.parse(request.digest))) as stream:
            _send(call, stream, request)

    service = "/containerd.services.content.v1.Content"
    return {f"{service}/Info": info, f"{service}/Read": read}


def _source(call: Call, images: OpenedImages) -> Source:
    store = next(iter(call.values(_STORE)), "")
    if not store:
        raise StatusError(Code.INVALID_ARGUMENT, "no store was named")
    location = images.layouts.get(store.removeprefix(_PREFIX))
    if location is None or not store.startswith(_PREFIX):
        raise StatusError(Code.NOT_FOUND, f"unknown store {store[:200]}")
    return images.open(location)


def _send(call: Call, stream: BinaryIO, request: ReadContentRequest) -> None:
    _skip(stream, request.offset)
    offset, left = request.offset, request.size or None
    while data := stream.read(_CHUNK if left is None else min(_CHUNK, left)):
        call.send(ReadContentResponse(offset=offset, data=data))
        offset += len(data)
        left = None if left is None else left - len(data)


def _skip(stream: BinaryIO, size: int) -> None:
    if stream.seekable():
        stream.seek(size)
        return
    while size and (data := stream.read(min(size, _CHUNK))):
        size -= len(data)


def _sized(source: Source, digest: Digest) -> int:
    for each in _blobs(source):
        if isinstance(each, Descriptor) and each.digest == digest:
            return each.size
        if not isinstance(each, Descriptor) and each[0] == digest:
            return len(each[1])
    raise StatusError(Code.NOT_FOUND, f"content {digest}: not found")


def _opened(source: Source, digest: Digest) -> BinaryIO:
    for each in _blobs(source):
        if isinstance(each, Descriptor) and each.digest == digest:
            try:
                return source.open_blob(each)
            except BlobNotFoundError as error:
                raise StatusError(Code.NOT_FOUND, str(error)) from error
        if not isinstance(each, Descriptor) and each[0] == digest:
            return io.BytesIO(each[1])
    raise StatusError(Code.NOT_FOUND, f"content {digest}: not found")


def _blobs(source: Source) -> Iterator[Descriptor | tuple[Digest, bytes]]:
    """Yield the manifests of an image, with their bytes, and the descriptors of its blobs."""
    pending: list[Digest | None] = [None]
    while pending:
        try:
            raw = source.manifest(pending.pop())
        except TarkitError as error:
            if isinstance(error, BlobNotFoundError):
                continue  # an index may name manifests that its layout lacks
            raise
        yield raw.digest, raw.data
        if raw.is_index:
            pending += [each.digest for each in Index.parse(raw).manifests]
        else:
            manifest = Manifest.parse(raw)
            yield manifest.config
            yield from manifest.layers
