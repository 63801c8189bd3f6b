"""Errors of the operating system as tarkit's own."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

from tarkit.errors import NoSpaceError, PathNotFoundError, TarkitError, TransportError


@contextlib.contextmanager
def os_errors(where: object) -> Iterator[None]:
    """Turn what the operating system says about *where* into tarkit's errors."""
    try:
        yield
    except OSError as error:
        raise from_os_error(error, where) from error


def from_os_error(error: OSError, where: object) -> TarkitError:
    """*error* as one of tarkit's, in the system's words.

    :class:`NoSpaceError`, :class:`PathNotFoundError`, or :class:`TransportError` for all else.
    """
    reason = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return NoSpaceError(f"no space left to write it ({reason})", where=str(where))
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return PathNotFoundError(reason, where=str(where))
    return TransportError(reason, where=str(where))
