"""The status of a call in gRPC, and the errors that tarkit raises for it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import Any

from tarkit.errors import (
    AuthenticationError,
    BuildError,
    CancelledError,
    NotFoundError,
    PathNotFoundError,
    SourcePosition,
    TarkitError,
    TransportError,
    UnsupportedError,
    UsageError,
    VerificationError,
)
from tarkit.gateway.buildkit.messages.status import Any as Detail
from tarkit.gateway.buildkit.messages.status import Status

_PREFIX = re.compile(r"^(failed to solve: |rpc error: code = \w+ desc = |forwarding \w+: )+")
_MISSING = ("no such file or directory", ": not found")
_MOST = 4000  # characters of a daemon's message


class Code(IntEnum):
    """The codes of gRPC."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class StatusError(TarkitError):
    """A call failed with this ``code``; ``details`` are messages such as the failed step.

    Handlers of calls raise it, too.
    """

    def __init__(self, code: int, message: str, details: Sequence[Detail] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.details = tuple(details)

    @classmethod
    def of(cls, status: Status) -> StatusError:
        """Return the error for a *status* that is not OK."""
        return cls(status.code, status.message[:_MOST], status.details)

    def documents(self, kind: str) -> Iterator[dict[str, Any]]:
        """Yield the details whose type ends with *kind*; their values are JSON."""
        for each in self.details:
            if each.type_url.endswith(f"{kind}+json"):
                try:
                    found = json.loads(each.value)
                except ValueError:
                    continue
                if isinstance(found, dict):
                    yield found

    @property
    def stack(self) -> tuple[dict[str, Any], ...]:
        """The stack traces of the daemon, for reports of its bugs."""
        return tuple(self.documents("stack.Stack"))


def translated(error: StatusError, where: str | None = None) -> TarkitError:
    """Return tarkit's error for a failed call; *where* names a daemon or file."""
    message = _PREFIX.sub("", error.message) or Code(error.code).name.lower()
    if any(True for _ in error.documents("errdefs.Vertex")):
        return _step_error(error, message)
    match error.code:
        case Code.CANCELLED:
            return CancelledError(message)
        case Code.UNAVAILABLE | Code.DEADLINE_EXCEEDED | Code.INTERNAL | Code.DATA_LOSS:
            return TransportError(message, where=where)
        case Code.UNIMPLEMENTED:
            return UnsupportedError(message, where=where, hint="update the engine")
        case Code.UNAUTHENTICATED | Code.PERMISSION_DENIED:
            return AuthenticationError(message, where=where)
        case Code.INVALID_ARGUMENT:
            return UsageError(message, where=where)
        case Code.NOT_FOUND:
            return NotFoundError(message, where=where)
    return _step_error(error, message)


def file_error(error: StatusError, path: str) -> TarkitError:
    """Return tarkit's error for a request for the file *path* of a result."""
    found = translated(error)
    if isinstance(found, BuildError) and not found.vertex and error.message.endswith(_MISSING):
        return PathNotFoundError("no such file or directory", where=path[:200])
    return found


def _step_error(error: StatusError, message: str) -> BuildError:
    vertex = next((each.get("digest", "") for each in error.documents("errdefs.Vertex")), "")
    code = next((each.get("Code") for each in error.documents("gatewayapi.ExitMessage")), None)
    return BuildError(
        message,
        reason=error,
        vertex=vertex if isinstance(vertex, str) else "",
        positions=tuple(_positions(error)),
        exit_code=code if isinstance(code, int) else None,
    )


def _positions(error: StatusError) -> Iterator[SourcePosition]:
    import base64

    for each in error.documents("errdefs.Source"):
        try:
            info = each["info"]
            data = base64.b64decode(info.get("data", ""))
            for span in each.get("ranges", ()):
                first = int(span["start"]["line"])
                last = int(span.get("end", {}).get("line", first))
                yield SourcePosition(str(info["filename"]), first, max(first, last), data)
        except (KeyError, TypeError, ValueError, AttributeError):
            continue  # a daemon of another version; the message still tells the failure


def status_of(error: BaseException) -> Status:
    """Return the status that tells the other side of *error*."""
    if isinstance(error, StatusError):
        return Status(code=error.code, message=error.message, details=error.details)
    if isinstance(error, BuildError) and isinstance(error.reason, StatusError):
        return status_of(error.reason)
    codes: tuple[tuple[type[BaseException], Code], ...] = (
        (CancelledError, Code.CANCELLED),
        (NotFoundError, Code.NOT_FOUND),
        (UnsupportedError, Code.UNIMPLEMENTED),
        (AuthenticationError, Code.PERMISSION_DENIED),
        (VerificationError, Code.INVALID_ARGUMENT),
    )
    code = next((code for kind, code in codes if isinstance(error, kind)), Code.UNKNOWN)
    return Status(code=code, message=str(error)[:_MOST] or type(error).__name__)
