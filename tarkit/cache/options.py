"""Options of new refs, and the handlers that provide missing blobs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from datetime import datetime
from typing import BinaryIO, Protocol, TypeAlias

from tarkit.cache.facts import CachePolicy, RecordType
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.progress import Progress
from tarkit.protocols import ResumingSource
from tarkit.values import dataclass


class BlobProvider(Protocol):
    """The part of a :class:`~tarkit.protocols.Source` that lazy refs need."""

    def open_blob(self, descriptor: Descriptor) -> BinaryIO:
        """Open the stored bytes of a layer, unverified."""
        ...


@dataclass(frozen=True, slots=True)
class DescHandler:
    """The origin of one blob: an open *provider*, or a *location* such as ``docker://alpine``, or both.

    The location is stored with the ref, without credentials, so that later processes need no handler.
    *on_progress* is called while the blob is fetched.

    >>> handler = tarkit.DescHandler(location="docker://registry.example/app:1")
    >>> handler.location
    'docker://registry.example/app:1'
    """

    provider: BlobProvider | None = None
    location: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)
    on_progress: Callable[[Progress], None] | None = None

    def open(self, descriptor: Descriptor, offset: int) -> BinaryIO:
        """Open the blob from *offset* on."""
        assert self.provider is not None
        if isinstance(self.provider, ResumingSource) and offset:
            return self.provider.open_blob_at(descriptor, offset)
        stream = self.provider.open_blob(descriptor)
        left = offset
        while left and (chunk := stream.read(min(left, 1 << 20))):
            left -= len(chunk)
        return stream


DescHandlers: TypeAlias = Mapping[Digest, DescHandler]
"""Handlers by the digest of the blob."""


@dataclass(frozen=True, slots=True)
class RefOptions:
    """Metadata of a new ref, and options for opening an existing one.

    - ``description``: a text for users.
    - ``created_at``: the time of creation, by default now.
    - ``image_ref``: the name of the image that the ref belongs to, added to those it has.
    - ``record_type``: the purpose of the ref.
    - ``policy``: keep or remove a mutable ref when it is released.
    - ``layer_type``: the media type that exporters should prefer for the layer.
    - ``update_last_used``: false if this use does not count.
    - ``handlers``: the origins of blobs that are not in the store.

    >>> options = tarkit.RefOptions("base image", policy=tarkit.CachePolicy.RETAIN)
    >>> with tarkit.CacheManager.open("store") as manager:
    ...     manager.new(options=options).description
    'base image'
    """

    description: str = ""
    created_at: datetime | None = None
    image_ref: str = ""
    record_type: RecordType | None = None
    policy: CachePolicy | None = None
    layer_type: str = ""
    update_last_used: bool = True
    handlers: DescHandlers = field(default_factory=dict)


DEFAULTS = RefOptions()
