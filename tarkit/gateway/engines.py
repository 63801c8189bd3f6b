"""Engines by name."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from tarkit.exporters.outputs import Output
from tarkit.gateway.building import Builder
from tarkit.protocols import Source

if TYPE_CHECKING:
    from tarkit.transports.docker_daemon.daemon import TlsFiles
    from tarkit.transports.registry.options import RegistryOptions


def build_client(
    engine: str = "local",
    *,
    store: str | Path | None = None,
    registry: RegistryOptions | None = None,
    tls: TlsFiles | None = None,
) -> Builder:
    """Return a builder, a context manager, whose :meth:`~Builder.build` carries out builds.

    *engine* is "local": builds in this process, without a daemon or root. Its results stay in
    *store*, a directory, by default ``$TARKIT_STORE`` or else ``tarkit/store`` in the user's cache
    directory; *registry* has credentials and connection options for images.

    Other engines are BuildKit daemons: ``docker-daemon:`` is Docker's, found as for images, and
    ``unix:///path``, ``tcp://host:port``, ``docker-container://name``, ``podman-container://name``,
    ``kube-pod://name`` and ``ssh://host`` are those of ``buildctl``. *tls* are the certificates for
    ``tcp``. They need the package ``h2``: ``pip install 'tarkit[buildkit]'``.

    Raises :class:`~tarkit.errors.UsageError` for other names, the errors of opening a store, and
    :class:`~tarkit.errors.TransportError` if a daemon cannot be reached.

    >>> from tarkit import llb
    >>> state = llb.scratch().file(llb.mkfile("/greeting", "hello"))
    >>> with tarkit.build_client("local", store="store") as builder:
    ...     response = builder.build(state, output="type=oci,dest=hello.tar,name=hello")
    >>> response.exporter_response["image.name"]
    'docker.io/library/hello:latest'
    """
    from tarkit.transports.location import open_source

    def opened(location: str) -> AbstractContextManager[Source]:
        return open_source(location, registry=registry)

    if engine != "local":
        from tarkit.gateway.buildkit.builder import RemoteBuilder
        from tarkit.gateway.buildkit.dial import endpoint

        return RemoteBuilder(endpoint(engine, tls), opened, registry)
    from tarkit.cache.manager import CacheManager
    from tarkit.gateway.local.builder import LocalBuilder
    from tarkit.store.roots import store_root

    root = Path(store) if store is not None else store_root()
    return LocalBuilder(CacheManager.open(root, open_location=opened), opened)


def output_type(engine: str) -> type[Output]:
    """Return the class of outputs of *engine*, as that of :attr:`Builder.output_type`."""
    if engine == "local":
        return Output
    from tarkit.gateway.buildkit.outputs import RemoteOutput

    return RemoteOutput
