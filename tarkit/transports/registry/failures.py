"""What goes wrong at a registry, as tarkit's errors: one line each, with what to do, and no secret."""

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
    """A connection that broke, or a registry that is busy: the same request may well succeed later.

    ``wait`` is how many seconds the registry asks to be left alone, where it does.
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
    """Whether an answer of *status* may be another one soon."""
    return status in _PASSING


def from_exception(error: HTTPError, host: str) -> TransportError:
    """What urllib3 says about the connection to *host*, in our words."""
    from urllib3 import exceptions

    match error:
        case exceptions.NameResolutionError():
            return TransportError("unknown host", where=host, hint="check the name and the network")
        case exceptions.ProxyError():
            return TransportError(
                "the proxy does not let us through",
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
            return TransportError("no HTTP that can be understood", where=host)


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
            hint="give the CA's certificate with --cert-dir, or --no-tls-verify to trust anybody",
        )
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    return TransportError(
        f"no TLS connection ({reason or 'the handshake failed'})",
        where=host,
        hint="--no-tls-verify allows plain HTTP",
    )


def certificate_error(error: HTTPError) -> ssl.SSLCertVerificationError | None:
    """What is wrong with the certificate, where *error* is about one."""
    import ssl

    cause = error.args[0] if error.args else None
    return cause if isinstance(cause, ssl.SSLCertVerificationError) else None


def from_answer(
    answer: Answer, where: str, missing: type[TarkitError] = NotFoundError
) -> TarkitError:
    """An answer that is not what was hoped for; *missing* is the error a 404 stands for."""
    said = explanation(answer)
    match answer.status:
        case 401:
            return AuthenticationError(
                f"authentication required{said}",
                where=where,
                hint="log in with 'tarkit login', or give --creds",
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
            return UnsupportedError(f"the registry does not do this{said}", where=where)
        case status:
            return TransportError(f"the registry answered {status}{said}", where=where)


def _rate_limited(answer: Answer, where: str, said: str) -> PassingError:
    wait = retry_after(answer.headers.get("Retry-After"))
    later = f"wait {wait:.0f} seconds" if wait else "wait a while"
    return PassingError(
        f"too many requests (429): the registry's rate limit is reached{said}",
        where=where,
        hint=f"{later}, or log in: users who are known may ask more",
        wait=wait,
    )


def explanation(answer: Answer) -> str:
    """What the registry says itself (distribution-spec, "Error Codes"), cut short; perhaps nothing."""
    try:
        document: Any = json.loads(answer.body)
        first = document["errors"][0]
        text = ": ".join(str(first[key]) for key in ("code", "message") if first.get(key))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return ""
    text = hidden(text)  # before it is cut: half a secret is not recognized
    return f": {text[:_SHOWN]}" if text else ""
