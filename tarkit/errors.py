"""All exceptions raised by tarkit, as one tree.

::

    TarkitError
    ├── UsageError                     invalid location, reference or option
    ├── NotFoundError
    │   ├── ImageNotFoundError         no such image in the archive, layout or repository
    │   └── PathNotFoundError          no such path on this machine or inside an image
    ├── VerificationError              input is corrupt or incomplete
    │   ├── DigestMismatchError
    │   ├── SizeMismatchError
    │   ├── TruncatedError             input ends too early
    │   ├── MalformedError             header or document violates its format
    │   │   ├── LimitExceededError     input exceeds a size, depth or count limit
    │   │   ├── LayerCountError        number of layers differs from number of diff IDs
    │   │   ├── SharedLayerError       one layer path has two different diff IDs
    │   │   └── MissingRootfsError     config has no ``rootfs.diff_ids``
    │   └── BlobNotFoundError          manifest or index refers to missing content
    │       └── MemberNotFoundError    manifest refers to a missing archive member
    ├── AuthenticationError            credentials missing or rejected
    ├── RefusedError                   valid request that tarkit will not carry out
    │   ├── AmbiguousImageError        several images match
    │   ├── UnsupportedError           unknown media type, algorithm or feature
    │   │   ├── NotAnImageError        artifact or other file instead of an image
    │   │   └── ManifestRejectedError  destination cannot store this kind of manifest
    │   ├── CannotModifyError          copying would change content that must be preserved
    │   ├── UnsafePathError            path or link leads outside the archive, layout or image
    │   ├── ForeignLayerError          non-distributable layer available only from its URLs
    │   ├── LockedError                another process holds the lock, or a mutable ref is in use
    │   ├── NeedsRemoteProviderError   content is not here and nothing provides it
    │   ├── NoBlobsError               a ref has no blobs yet
    │   └── NoSpaceError               output does not fit
    ├── BuildError                     step of a build failed; it has the reason and the source line
    ├── ProcessError                   process of a build failed; it has the exit code
    ├── CancelledError                 operation cancelled
    └── TransportError                 network, daemon or device failed
        └── LostBlobError              server lost a partial upload; retry from the first byte

A message is one line: what failed, in which file or image, and a hint if there is a remedy.
Attributes carry the same facts for programs. Messages never contain credentials.
"""

from __future__ import annotations

from collections.abc import Sequence

from tarkit.redaction import hidden
from tarkit.values import dataclass


class TarkitError(Exception):
    """Base class of all tarkit errors.

    ``message`` describes the problem, ``where`` names the affected file, blob or image, and
    ``hint`` suggests a remedy; ``where`` and ``hint`` may be None. Credentials in use are masked in
    all three.
    """

    def __init__(self, message: str, *, where: str | None = None, hint: str | None = None) -> None:
        message = hidden(message)
        super().__init__(message)
        self.message = message
        self.where = hidden(where) if where else where
        self.hint = hidden(hint) if hint else hint

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        if self.hint:
            text = f"{text}; {self.hint}"
        return one_line(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…")


_LONGEST = 1000  # characters of a message, since names in untrusted input can have any length


def one_line(text: str) -> str:
    """Return *text* with unprintable characters escaped, so that untrusted text stays on one line.

    This includes control characters, line breaks and lone surrogates.
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )


class UsageError(TarkitError):
    """Invalid location, reference or option."""


class NotFoundError(TarkitError):
    """The named object does not exist."""


class ImageNotFoundError(NotFoundError):
    """No image has the requested name, position or platform; ``available`` lists alternatives."""

    def __init__(
        self,
        message: str,
        *,
        where: str | None = None,
        hint: str | None = None,
        available: Sequence[str] = (),
    ) -> None:
        if hint is None and available:
            hint = f"available: {listed(available)}"
        super().__init__(message, where=where, hint=hint)
        self.available = tuple(available)


class PathNotFoundError(NotFoundError):
    """No such path on this machine or inside an image."""


class VerificationError(TarkitError):
    """Input is corrupt or incomplete."""


class DigestMismatchError(VerificationError):
    """Content does not match the ``expected`` digest."""

    def __init__(self, expected: object, actual: object, *, where: str | None = None) -> None:
        super().__init__(f"digest mismatch: expected {expected}, got {actual}", where=where)
        self.expected = hidden(str(expected))
        self.actual = hidden(str(actual))


class SizeMismatchError(VerificationError):
    """Content is longer or shorter than the ``expected`` size in bytes.

    Reading stops as soon as the content is too long; ``actual`` is then a lower bound.
    """

    def __init__(self, expected: int, actual: int, *, where: str | None = None) -> None:
        got = "more" if actual > expected else f"only {actual}"
        super().__init__(f"size mismatch: expected {expected} bytes, got {got}", where=where)
        self.expected = expected
        self.actual = actual


class TruncatedError(VerificationError):
    """Input ends too early."""


class MalformedError(VerificationError):
    """A header or document violates its format."""


class LimitExceededError(MalformedError):
    """Input exceeds a size, depth or count limit; ``limit`` is its value."""

    def __init__(
        self, message: str, *, limit: int, where: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message, where=where, hint=hint)
        self.limit = limit


class LayerCountError(MalformedError):
    """The number of layers differs from the number of diff IDs in the config."""

    def __init__(self, layers: int, diff_ids: int, *, where: str | None = None) -> None:
        super().__init__(f"{layers} layers but {diff_ids} diff IDs in the config", where=where)
        self.layers = layers
        self.diff_ids = diff_ids


class SharedLayerError(MalformedError):
    """One layer path has two different diff IDs."""


class MissingRootfsError(MalformedError):
    """An image config has no ``rootfs.diff_ids``."""


class BlobNotFoundError(VerificationError):
    """A manifest or index refers to missing content."""


class MemberNotFoundError(BlobNotFoundError):
    """A manifest refers to a missing archive member."""


class AuthenticationError(TarkitError):
    """Credentials are missing or were rejected."""


class RefusedError(TarkitError):
    """The request is valid, but tarkit will not carry it out."""


class AmbiguousImageError(RefusedError):
    """Several images match; ``available`` lists names that select one."""

    def __init__(
        self, message: str, *, where: str | None = None, available: Sequence[str] = ()
    ) -> None:
        hint = f"name one of {listed(available)}" if available else None
        super().__init__(message, where=where, hint=hint)
        self.available = tuple(available)


class UnsupportedError(RefusedError):
    """Unknown media type, algorithm or feature."""


class NotAnImageError(UnsupportedError):
    """An artifact or another kind of file was given instead of an image."""


class ManifestRejectedError(UnsupportedError):
    """The destination cannot store this kind of manifest."""


class CannotModifyError(RefusedError):
    """Copying would change content that must be preserved."""


class UnsafePathError(RefusedError):
    """A path or link leads outside the archive, layout or image."""


class ForeignLayerError(RefusedError):
    """A non-distributable layer is missing from the source and available only from its URLs."""


class LockedError(RefusedError):
    """Another process holds the lock, or a mutable ref is in use."""


class NeedsRemoteProviderError(RefusedError):
    """Blobs are missing and nothing provides them; ``digests`` lists all of them."""

    def __init__(self, digests: Sequence[object], *, where: str | None = None) -> None:
        names = [str(digest) for digest in digests]
        super().__init__(
            f"nothing provides the missing blobs {listed(names)}", where=where,
            hint="pass a handler for each",
        )  # fmt: skip
        self.digests = tuple(digests)


class NoBlobsError(RefusedError):
    """A ref has no blobs yet, and none may be created."""


class NoSpaceError(RefusedError):
    """The output does not fit at its destination."""


@dataclass(frozen=True, slots=True)
class SourcePosition:
    """Lines of a source file, counted from 1; ``data`` is the file's content if the build has it."""

    filename: str
    first: int
    last: int
    data: bytes = b""

    def __str__(self) -> str:
        return f"{self.filename}:{self.first}"


class ProcessError(TarkitError):
    """A process of a build failed; ``exit_code`` is 128 and the signal if a signal ended it."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class BuildError(TarkitError):
    """A step of a build failed.

    - ``reason``: the error of the step, None if only its text is known.
    - ``vertex``: the digest of the step, or an empty text.
    - ``positions``: the lines that made the step, for example of the user's Python file.
    - ``exit_code``: that of the step's process, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: TarkitError | None = None,
        vertex: str = "",
        positions: Sequence[SourcePosition] = (),
        exit_code: int | None = None,
    ) -> None:
        super().__init__(message, where=str(positions[0]) if positions else None)
        self.reason = reason
        self.vertex = vertex
        self.positions = tuple(positions)
        self.exit_code = exit_code


class CancelledError(TarkitError):
    """The operation was cancelled.

    Causes: a :class:`~tarkit.streams.cancellation.Cancellation`, a progress callback, or the
    failure of another task of the same operation. A callback may raise this error to stop a copy;
    nothing is then committed.
    """


class TransportError(TarkitError):
    """A network, daemon or device failed."""


class LostBlobError(TransportError):
    """The server lost a partially uploaded blob; retrying from the first byte may succeed."""


def listed(names: Sequence[str], limit: int = 10) -> str:
    """Return up to *limit* of *names*, separated by commas, and the number of names left out.

    The text is short enough to fit into an error message.
    """
    count, length = 0, 0
    for name in names[:limit]:
        length += len(name) + 2  # with the separator
        if count and length > _LONGEST // 2:  # leave room for the rest of the message
            break
        count += 1
    shown = ", ".join(names[:count])
    return f"{shown} and {len(names) - count} more" if len(names) > count else shown
