"""Translate failures of a registry to tarkit's errors: one line with a hint and without secrets."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

from tarkit.errors import (
    AuthenticationError,
    NotFoundError,
    TarkitError,
    TransportError,
    UnsupportedError,
)
from tarkit.redaction import hidden
from tarkit.transports.registry.messages import Answer
from tarkit.transports.registry.numbers import retry_after

if TYPE_CHECKING:
    import ssl

    from urllib3.exceptions import HTTPError

_SHOWN = 300
_PASSING = frozenset({429, 500, 502, 503, 504})


class PassingError(TransportError):
    """A broken connection or a busy registry; the same request may succeed later.

    ``wait`` is the delay in seconds that the registry requests, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        where: str | None = None,
        hint: str | None = None,
        wait: float | None = None,
    ) -> None:
        super().__init__(message, where=where, hint=hint)
        self.wait = wait


def is_passing(status: int) -> bool:
    """Return True if a request answered with *status* is worth repeating."""
    return status in _PASSING


def from_exception(error: HTTPError, host: str) -> TransportError:
    """Return the error for *error*, which urllib3 raised about the connection to *host*."""
    from urllib3 import exceptions

    match error:
        case exceptions.NameResolutionError():
            return TransportError("unknown host", where=host, hint="check the name and the network")
        case exceptions.ProxyError():
            return TransportError(
                "the proxy refuses the connection",
                where=host,
                hint="check HTTPS_PROXY and NO_PROXY",
            )
        case exceptions.NewConnectionError():
            return TransportError(_reason(error), where=host, hint="check the address and the port")
        case exceptions.SSLError():
            return _from_ssl(error, host)
        case exceptions.TimeoutError():
            return TransportError("no answer in time", where=host)
        case exceptions.ProtocolError():
            return PassingError("the connection broke", where=host)
        case _:
            return TransportError("invalid HTTP answer", where=host)


def _reason(error: HTTPError) -> str:
    cause = error.__cause__
    if isinstance(cause, ConnectionRefusedError):
        return "connection refused"
    if isinstance(cause, OSError) and not isinstance(cause, socket.gaierror) and cause.strerror:
        return f"cannot be reached ({cause.strerror})"
    return "cannot be reached"


def _from_ssl(error: HTTPError, host: str) -> TransportError:
    certificate = certificate_error(error)
    if certificate is not None:
        return TransportError(
            f"its certificate is not trusted: {certificate.verify_message}",
            where=host,
            hint="pass the CA's certificate with --cert-dir, or accept any with --no-tls-verify",
        )
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    return TransportError(
        f"no TLS connection ({reason or 'the handshake failed'})",
        where=host,
        hint="--no-tls-verify allows plain HTTP",
    )


def certificate_error(error: HTTPError) -> ssl.SSLCertVerificationError | None:
    """Return the certificate error inside *error*, or None."""
    import ssl

    cause = error.args[0] if error.args else None
    return cause if isinstance(cause, ssl.SSLCertVerificationError) else None


def from_answer(
    answer: Answer, where: str, missing: type[TarkitError] = NotFoundError
) -> TarkitError:
    """Return the error for an unexpected *answer*; *missing* is its class if the status is 404."""
    said = explanation(answer)
    match answer.status:
        case 401:
            return AuthenticationError(
                f"authentication required{said}",
                where=where,
                hint="log in with 'tarkit login', or pass --creds",
            )
        case 403:
            return AuthenticationError(f"access denied{said}", where=where)
        case 404:
            return missing(f"not found{said}", where=where)
        case 429:
            return _rate_limited(answer, where, said)
        case status if status in _PASSING:
            return PassingError(
                f"the registry failed ({status}){said}",
                where=where,
                wait=retry_after(answer.headers.get("Retry-After")),
            )
        case 405 | 501:
            return UnsupportedError(
                f"the registry does not support this request{said}", where=where
            )
        case status:
            return TransportError(f"the registry answered {status}{said}", where=where)


def _rate_limited(answer: Answer, where: str, said: str) -> PassingError:
    wait = retry_after(answer.headers.get("Retry-After"))
    later = f"wait {wait:.0f} seconds" if wait else "wait a while"
    return PassingError(
        f"too many requests (429): the registry's rate limit is reached{said}",
        where=where,
        hint=f"{later}, or log in for a higher limit",
        wait=wait,
    )


def explanation(answer: Answer) -> str:
    """Return the registry's truncated message (distribution-spec, "Error Codes"), or nothing."""
    try:
        document: Any = json.loads(answer.body)
        first = document["errors"][0]
        text = ": ".join(str(first[key]) for key in ("code", "message") if first.get(key))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return ""
    text = hidden(text)  # before truncation, because half a secret would not be recognized
    return f": {text[:_SHOWN]}" if text else ""
