"""Layers that may not be distributed, from the URLs that a manifest has for them (descriptor.md, "urls")."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urlsplit

from tarkit.errors import (
    AuthenticationError,
    BlobNotFoundError,
    CancelledError,
    TarkitError,
    UnsupportedError,
)
from tarkit.image.descriptor import Descriptor
from tarkit.transports.registry.client import RegistryClient
from tarkit.transports.registry.download import BlobStream
from tarkit.transports.registry.messages import Payload, Request
from tarkit.transports.registry.options import RegistryOptions
from tarkit.transports.registry.repository import Repository
from tarkit.transports.registry.urls import shown


def fetch_layer(layer: Descriptor, registry: RegistryOptions | None = None) -> BlobStream:
    """Open *layer* at the first of its URLs that has it. Whoever reads it verifies it.

    *registry* says how to connect; its credentials are not for these hosts, and are not sent.
    Raises what the last URL failed with.
    """
    failure: TarkitError = BlobNotFoundError(f"layer {layer.digest} has no URL")
    for url in layer.urls:
        try:
            return _ForeignBlob(_Address(url, registry or RegistryOptions()), layer)
        except CancelledError:
            raise
        except AuthenticationError as error:
            error.hint = "credentials do not go to the hosts of layers' URLs"
            failure = error
        except TarkitError as error:
            failure = error
    raise failure


class _Address(Repository):
    """A repository of one blob, at *url*."""

    def __init__(self, url: str, options: RegistryOptions) -> None:
        base, host = _base_of(url)
        anonymous = replace(options, credentials=None, authfile=None, base_url=base)
        client = RegistryClient(host, anonymous, credentials=lambda: None)
        super().__init__(client, host, "", "pull")
        self.name = host
        self._url = url

    def request(
        self,
        method: str,
        tail: str,
        *,
        where: str = "",
        headers: Mapping[str, str] | None = None,
        body: Payload | None = None,
    ) -> Request:
        """Return a request for the URL, whatever *tail* is."""
        return Request(method, self._url, where or self.name, (), headers or {}, body)


class _ForeignBlob(BlobStream):
    """A blob that has a client of its own."""

    def __init__(self, address: _Address, layer: Descriptor) -> None:
        self._client = address.client
        try:
            super().__init__(address, layer)
        except BaseException:
            self._client.close()
            raise

    def close(self) -> None:
        """Close the stream and its connection."""
        super().close()
        self._client.close()


def _base_of(url: str) -> tuple[str, str]:
    """Split *url* into scheme and host, and the host alone; raise :class:`UnsupportedError` if it is not HTTP."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for one that there cannot be
    except ValueError:
        raise UnsupportedError("a layer with a malformed URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise UnsupportedError(
            f"a layer with the URL {shown(url)[:200]!r}, which is not http or https without a user"
        )
    return f"{parts.scheme}://{parts.netloc}", parts.netloc
