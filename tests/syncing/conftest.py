"""Fixtures: a registry in memory, the command line, and no credentials of this machine."""

from tests.cli.conftest import tarkit  # noqa: F401
from tests.transports.registry.conftest import (  # noqa: F401
    no_credentials_of_this_machine,
    registry,
)
