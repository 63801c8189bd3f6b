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


@contextlib.contextmanager
def creation_errors(directory: object) -> Iterator[None]:
    """Convert an :class:`OSError` raised by creating a file in *directory*, which exists.

    The system's own message would be misleading: /proc reports "No such file or directory".
    """
    try:
        yield
    except OSError as error:
        if error.errno in _NOT_CREATED:
            message = f"cannot create files there ({error.strerror})"
            raise TransportError(message, where=str(directory)) from error
        raise from_os_error(error, directory) from error


_NOT_CREATED = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EOPNOTSUPP)


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
