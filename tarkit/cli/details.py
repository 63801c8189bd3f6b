"""Print the requests and decisions of a command on standard error, for ``--verbose``."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from tarkit.cli.messages import note


class _Notes(logging.Handler):
    """Prints each record as a note."""

    def emit(self, record: logging.LogRecord) -> None:
        note(record.getMessage())


@contextmanager
def showing_details() -> Iterator[None]:
    """Print what the library logs during the block."""
    logger, handler = logging.getLogger("tarkit"), _Notes()
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
