"""Every error tarkit raises on purpose, in one tree.

::

    TarkitError
    ├── UsageError                     what was asked cannot be read (a location, a reference, an option)
    ├── NotFoundError                  what was named is not there
    │   ├── ImageNotFoundError         no such image in the archive, layout or repository
    │   └── PathNotFoundError          no such path: on this machine, or inside an image
    ├── VerificationError              bytes from outside are not what they should be
    │   ├── DigestMismatchError
    │   ├── SizeMismatchError
    │   ├── TruncatedError             the input ends before it should
    │   ├── MalformedError             a header or document breaks its format
    │   │   ├── LimitExceededError     larger, deeper or more than tarkit is willing to read
    │   │   ├── LayerCountError        layers and diff IDs differ in number
    │   │   ├── SharedLayerError       one layer path stands for two different diff IDs
    │   │   └── MissingRootfsError     a config without ``rootfs.diff_ids``
    │   └── BlobNotFoundError          a manifest names content that is not there
    │       └── MemberNotFoundError    … an archive member, by its name
    ├── AuthenticationError            credentials are missing or refused
    ├── RefusedError                   understood, and not done
    │   ├── AmbiguousImageError        several images fit, none was named
    │   ├── UnsupportedError           a media type, algorithm or feature tarkit does not know
    │   │   ├── NotAnImageError        an artifact where an image is needed, or a file of another kind
    │   │   └── ManifestRejectedError  the destination cannot hold this manifest
    │   ├── CannotModifyError          the copy would have to change what was to be preserved
    │   ├── UnsafePathError            a path or link leads out of the archive, layout or image
    │   ├── ForeignLayerError          a layer that may not be distributed is only at its URLs
    │   ├── LockedError                another process holds the lock
    │   └── NoSpaceError               the output does not fit
    ├── CancelledError                 stopped: something else failed, or a listener raised it
    └── TransportError                 the machinery failed: network, daemon, device
        └── LostBlobError              the far end lost a blob half-way: it can be sent again

The message is one line: what, where, and, where there is something to be done, what to do.
Attributes carry the same facts for programs. No message ever holds a credential.
"""

from __future__ import annotations

from collections.abc import Sequence

from tarkit.redaction import hidden


class TarkitError(Exception):
    """Root of every error tarkit raises on purpose.

    ``message`` says what is wrong, ``where`` names the file, blob or image it is wrong in,
    and ``hint`` says what to do about it; the last two may be ``None``. None of them shows a secret
    in use.
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


_LONGEST = 1000  # characters of a message; names from outside can be of any length


def one_line(text: str) -> str:
    """*text* with every control, line-breaking or unencodable character escaped, so hostile names stay on one line."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )


class UsageError(TarkitError):
    """A location, reference or option that cannot be read."""


class NotFoundError(TarkitError):
    """What was named is not there."""


class ImageNotFoundError(NotFoundError):
    """No image of that name or position; ``available`` lists the names there are."""

    def __init__(
        self,
        message: str,
        *,
        where: str | None = None,
        hint: str | None = None,
        available: Sequence[str] = (),
    ) -> None:
        if hint is None and available:
            hint = f"it holds {listed(available)}"
        super().__init__(message, where=where, hint=hint)
        self.available = tuple(available)


class PathNotFoundError(NotFoundError):
    """No such path: on this machine, or inside an image."""


class VerificationError(TarkitError):
    """Bytes from outside are not what they should be."""


class DigestMismatchError(VerificationError):
    """Content that does not hash to the digest it was asked for by."""

    def __init__(self, expected: object, actual: object, *, where: str | None = None) -> None:
        super().__init__(f"digest mismatch: expected {expected}, got {actual}", where=where)
        self.expected = hidden(str(expected))
        self.actual = hidden(str(actual))


class SizeMismatchError(VerificationError):
    """Content longer or shorter (in bytes) than its descriptor says."""

    def __init__(self, expected: int, actual: int, *, where: str | None = None) -> None:
        got = "more" if actual > expected else f"only {actual}"
        super().__init__(f"size mismatch: expected {expected} bytes, got {got}", where=where)
        self.expected = expected
        self.actual = actual


class TruncatedError(VerificationError):
    """The input ends before it should."""


class MalformedError(VerificationError):
    """A header or document that breaks its format."""


class LimitExceededError(MalformedError):
    """Larger, deeper or more than tarkit is willing to read; ``limit`` is the bound that was hit."""

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
    """One layer path stands for two different diff IDs."""


class MissingRootfsError(MalformedError):
    """An image config without ``rootfs.diff_ids``."""


class BlobNotFoundError(VerificationError):
    """A manifest or index names content that is not there."""


class MemberNotFoundError(BlobNotFoundError):
    """A manifest names an archive member that is not there."""


class AuthenticationError(TarkitError):
    """Credentials are missing or were refused."""


class RefusedError(TarkitError):
    """Understood, and not done."""


class AmbiguousImageError(RefusedError):
    """Several images fit and none was named; ``available`` lists them."""

    def __init__(
        self, message: str, *, where: str | None = None, available: Sequence[str] = ()
    ) -> None:
        hint = f"name one of {listed(available)}" if available else None
        super().__init__(message, where=where, hint=hint)
        self.available = tuple(available)


class UnsupportedError(RefusedError):
    """A media type, algorithm or feature tarkit does not know."""


class NotAnImageError(UnsupportedError):
    """An artifact where an image is needed, or a file of another kind."""


class ManifestRejectedError(UnsupportedError):
    """The destination cannot hold a manifest of this kind."""


class CannotModifyError(RefusedError):
    """The copy would have to change what was to be preserved."""


class UnsafePathError(RefusedError):
    """A path or link that leads out of the archive, layout or image."""


class ForeignLayerError(RefusedError):
    """A layer that may not be distributed is not there, only at its URLs."""


class LockedError(RefusedError):
    """Another process holds the lock."""


class NoSpaceError(RefusedError):
    """The output does not fit where it was to go."""


class CancelledError(TarkitError):
    """Stopped: by a :class:`~tarkit.Cancellation`, by ``on_progress``, or because something else failed.

    A listener may raise it to stop a copy: that ends as after any failure, with nothing committed.
    """


class TransportError(TarkitError):
    """The machinery failed: a network, a daemon, a device."""


class LostBlobError(TransportError):
    """The far end lost what it had of a blob; sending the blob again from its first byte may work."""


def listed(names: Sequence[str], limit: int = 10) -> str:
    """Return *names* as a readable list of at most *limit*, short enough that a message shows all of it."""
    count, length = 0, 0
    for name in names[:limit]:
        length += len(name) + 2
        if count and length > _LONGEST // 2:
            break
        count += 1
    shown = ", ".join(names[:count])
    return f"{shown} and {len(names) - count} more" if len(names) > count else shown
