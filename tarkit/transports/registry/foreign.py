"""Non-distributable layers, from the URLs in their descriptors (descriptor.md, "urls")."""

from __future__ import annotations

from collections.abc import Mapping

from tarkit.errors import (
    AuthenticationError,
    BlobNotFoundError,
    CancelledError,
    TarkitError,
    TransportError,
    UnsupportedError,
)
from tarkit.image.descriptor import Descriptor
from tarkit.transports.registry.client import RegistryClient
from tarkit.transports.registry.download import BlobStream
from tarkit.transports.registry.messages import Payload, Request
from tarkit.transports.registry.options import RegistryOptions
from tarkit.transports.registry.repository import Repository
from tarkit.transports.registry.urls import parse_url, quoted
from tarkit.values import replace


def fetch_layer(layer: Descriptor, registry: RegistryOptions | None = None) -> BlobStream:
    """Open *layer* at the first of its URLs that works; the caller verifies the bytes.

    *registry* has the connection settings; its credentials are not sent to these hosts. Raises the
    error of the last URL if all URLs fail.

    >>> foreign = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
    >>> layer = tarkit.Descriptor(foreign, tarkit.Digest.of(b""), 0, urls=("ftp://host/layer",))
    >>> try:
    ...     tarkit.fetch_layer(layer)
    ... except tarkit.TarkitError as error:
    ...     print(type(error).__name__)
    UnsupportedError
    """
    failure: TarkitError = BlobNotFoundError(f"layer {layer.digest} has no URL")
    for url in layer.urls:
        try:
            return _ForeignBlob(_Address(url, registry or RegistryOptions()), layer)
        except CancelledError:
            raise
        except AuthenticationError as error:
            error.hint = "credentials are not sent to the hosts of layer URLs"
            failure = error
        except TarkitError as error:
            failure = error
    raise failure


class _Address(Repository):
    """A repository that contains only the blob at *url*."""

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
        """Return a request for the URL; *tail* is ignored."""
        return Request(method, self._url, where or self.name, (), headers or {}, body)


class _ForeignBlob(BlobStream):
    """A blob whose client is closed with it."""

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
    """Return the base URL and host of *url*; raise :class:`UnsupportedError` if not HTTP."""
    try:
        parts = parse_url(url)
    except TransportError:
        raise UnsupportedError(f"a layer with the URL {quoted(url)}, which is not HTTP") from None
    if "@" in parts.netloc:
        raise UnsupportedError(f"a layer with a user name in the URL {quoted(url)}")
    return f"{parts.scheme}://{parts.netloc}", parts.netloc
