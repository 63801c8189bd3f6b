"""Convert operating system errors to tarkit errors."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

from tarkit.errors import NoSpaceError, PathNotFoundError, TarkitError, TransportError


@contextlib.contextmanager
def os_errors(where: object) -> Iterator[None]:
    """Convert an :class:`OSError` raised in the block with :func:`from_os_error`.

    *where* is the path or stream for the error message.
    """
    try:
        yield
    except OSError as error:
        raise from_os_error(error, where) from error


def from_os_error(error: OSError, where: object) -> TarkitError:
    """Convert *error* to a :class:`TarkitError` with the system's message.

    Returns a :class:`NoSpaceError`, a :class:`PathNotFoundError` or, for all other errors, a
    :class:`TransportError`.
    """
    reason = error.strerror or str(error)
    # EFBIG: the filesystem cannot store a file of this size.
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return NoSpaceError(f"no space left ({reason})", where=str(where))
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return PathNotFoundError(reason, where=str(where))
    return TransportError(reason, where=str(where))
