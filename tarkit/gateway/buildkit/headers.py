"""The headers of gRPC: requests, responses, trailers, and statuses in them."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Iterable, Sequence
from urllib.parse import quote, unquote

from tarkit.errors import VerificationError
from tarkit.gateway.buildkit.messages.status import Status
from tarkit.gateway.buildkit.status import Code

Metadata = Sequence[tuple[str, str]]
"""Names in lower case and values; a name may occur several times."""

_TYPE = ("content-type", "application/grpc")
_DETAILS = "grpc-status-details-bin"
_LONGEST = 4096  # bytes of a message, or of details, that other implementations take
_PLAIN = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")
_HTTP = {
    401: Code.UNAUTHENTICATED,
    403: Code.PERMISSION_DENIED,
    404: Code.UNIMPLEMENTED,
    **dict.fromkeys((429, 502, 503, 504), Code.UNAVAILABLE),
}


def request_headers(
    method: str, authority: str, metadata: Metadata, timeout: float | None
) -> list[tuple[str, str]]:
    """Return the headers of a call; *timeout* in seconds is its deadline."""
    limit = [] if timeout is None else [("grpc-timeout", f"{max(1, math.ceil(timeout * 1000))}m")]
    return [
        (":method", "POST"), (":scheme", "http"), (":path", method), (":authority", authority),
        ("te", "trailers"), _TYPE, ("user-agent", "tarkit"), *limit, *metadata,
    ]  # fmt: skip


def response_headers() -> list[tuple[str, str]]:
    """Return the first headers of a response."""
    return [(":status", "200"), _TYPE]


def trailers(status: Status) -> list[tuple[str, str]]:
    """Return the headers that end a response."""
    headers = [("grpc-status", str(status.code))]
    if status.message:
        headers.append(("grpc-message", quote(status.message[:_LONGEST], safe=_PLAIN)))
    if status.details:
        encoded = base64.b64encode(status.encode()).decode("ascii").rstrip("=")
        if len(encoded) <= _LONGEST:
            headers.append((_DETAILS, encoded))
    return headers


def status_from(headers: Iterable[tuple[str, str]], *, ended: bool) -> Status | None:
    """Return the status in *headers*, None if the response goes on."""
    fields = dict(headers)
    if "grpc-status" in fields:
        return _status(fields)
    http = fields.get(":status", "200")
    if http != "200":
        code = _HTTP.get(int(http) if http.isdecimal() else 0, Code.UNKNOWN)
        return Status(code=code, message=f"HTTP status {http[:10]}")
    if not fields.get("content-type", _TYPE[1]).startswith(_TYPE[1]):
        return Status(code=Code.UNKNOWN, message="the response is not gRPC")
    return Status(code=Code.INTERNAL, message="response without a status") if ended else None


def _status(fields: dict[str, str]) -> Status:
    text = fields["grpc-status"]
    code = int(text) if text.isdecimal() and len(text) < 3 else int(Code.UNKNOWN)
    message = unquote(fields.get("grpc-message", ""), errors="replace")
    found = Status(code=code, message=message)
    encoded = fields.get(_DETAILS, "")
    try:
        details = Status.decode(base64.b64decode(encoded + "=" * (-len(encoded) % 4)))
    except (binascii.Error, ValueError, VerificationError):
        return found
    return found.replaced(details=details.details) if details.code == code else found
