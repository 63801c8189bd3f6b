"""Engines by name."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from tarkit.errors import UnsupportedError, UsageError
from tarkit.gateway.building import Builder
from tarkit.protocols import Source

if TYPE_CHECKING:
    from tarkit.transports.registry.options import RegistryOptions

_LATER = ("unix://", "tcp://", "docker-daemon:")


def build_client(
    engine: str = "local",
    *,
    store: str | Path | None = None,
    registry: RegistryOptions | None = None,
) -> Builder:
    """Return a builder, a context manager, whose :meth:`~Builder.build` carries out builds.

    *engine* is "local": builds in this process, without a daemon or root. Its results stay in
    *store*, a directory, by default ``$TARKIT_STORE`` or else ``tarkit/store`` in the user's cache
    directory; *registry* has credentials and connection options for images.

    Raises :class:`~tarkit.errors.UnsupportedError` for engines of later versions and UsageError for
    other names, and the errors of opening a store.

    >>> from tarkit import llb
    >>> state = llb.scratch().file(llb.mkfile("/greeting", "hello"))
    >>> with tarkit.build_client("local", store="store") as builder:
    ...     response = builder.build(state, output="type=oci,dest=hello.tar,name=hello")
    >>> response.exporter_response["image.name"]
    'docker.io/library/hello:latest'
    """
    if engine.startswith(_LATER):
        raise UnsupportedError(
            f"the engine {engine[:80]!r} is not available in this version", hint="use local"
        )
    if engine != "local":
        raise UsageError(f"unknown engine {engine[:80]!r}", hint="use local")
    from tarkit.cache.manager import CacheManager
    from tarkit.gateway.local.builder import LocalBuilder
    from tarkit.store.roots import store_root
    from tarkit.transports.location import open_source

    def opened(location: str) -> AbstractContextManager[Source]:
        return open_source(location, registry=registry)

    root = Path(store) if store is not None else store_root()
    return LocalBuilder(CacheManager.open(root, open_location=opened), opened)
