"""The command line, for tests of archives as users see them."""

from tests.cli.conftest import tarkit

__all__ = ["tarkit"]
