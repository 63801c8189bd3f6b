"""A registry for the tests of other projects.

Without pytest, or for tests that need several registries, use :func:`registry`. With pytest, write
``pytest_plugins = ["tarkit.testing"]`` in ``conftest.py``; the fixture ``tarkit_registry`` is then
a new, empty :class:`~tarkit.serving.server.RegistryServer` for each test.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tarkit.serving.server import RegistryServer


@contextmanager
def registry(directory: Path | str | None = None) -> Iterator[RegistryServer]:
    """Run a registry that accepts pushes on a free port of the loopback interface for the block.

    Images are in the OCI layout *directory*, or in a temporary one that is removed afterwards.

    >>> with registry() as server:
    ...     server.address.startswith("127.0.0.1:")
    True
    """
    with (
        tempfile.TemporaryDirectory(prefix="tarkit-registry-") as temporary,
        RegistryServer.open(directory or temporary, writable=True) as server,
    ):
        yield server


try:
    import pytest
except ImportError:
    pass
else:

    @pytest.fixture
    def tarkit_registry() -> Iterator[RegistryServer]:
        """An empty registry that accepts pushes, on the loopback interface."""
        with registry() as server:
            yield server
