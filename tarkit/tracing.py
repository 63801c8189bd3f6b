"""Report requests and decisions to the logger ``tarkit`` of the standard library, at its level DEBUG."""

from __future__ import annotations

import sys

from tarkit.errors import one_line
from tarkit.redaction import hidden


def trace(message: str, *values: object) -> None:
    """Log *message* with *values*, formatted with ``%``; mask secrets and control characters.

    If nothing has imported the module logging, nothing listens, so it is not imported here either:
    that would take longer than a small command.
    """
    logging = sys.modules.get("logging")
    if logging is None:
        return
    logger = logging.getLogger("tarkit")
    if logger.isEnabledFor(logging.DEBUG):
        logger.debug("%s", one_line(hidden(message % values)))
