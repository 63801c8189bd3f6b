"""Translate failures of a daemon to tarkit's errors, with hints."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator
from http.client import HTTPException, IncompleteRead, RemoteDisconnected

from tarkit.errors import (
    AuthenticationError,
    ImageNotFoundError,
    TarkitError,
    TransportError,
    VerificationError,
)
from tarkit.image.document import get_string, parse_object

_SHOWN = 500  # characters of a message from the daemon
_FIND = "set its address with DOCKER_HOST or a Docker context"


def from_connecting(error: OSError, host: str) -> TarkitError:
    """Return the error for a failed connection to the daemon at *host*."""
    match error:
        # Subclasses of OSError come before their base classes.
        case PermissionError():
            return AuthenticationError(
                "permission denied for the Docker daemon's socket",
                where=host,
                hint="run as root, or as a member of the socket's group (docker)",
            )
        case FileNotFoundError() | NotADirectoryError() | ConnectionRefusedError():
            return TransportError(
                "no Docker daemon is listening", where=host, hint=f"start it, or {_FIND}"
            )
        case TimeoutError() | BlockingIOError():  # a full socket queue raises BlockingIOError
            return TransportError(
                "the Docker daemon did not accept the connection in time", where=host
            )
        case ssl.SSLCertVerificationError():
            return TransportError(
                f"the daemon's certificate is not trusted: {error.verify_message}",
                where=host,
                hint="store its CA certificate as ca.pem in DOCKER_CERT_PATH",
            )
        case ssl.SSLError():
            return TransportError(
                f"the TLS connection failed ({error.reason or 'no reason given'})",
                where=host,
                hint="unset DOCKER_TLS_VERIFY if the daemon does not use TLS",
            )
        case socket.gaierror():
            return TransportError("unknown host", where=host, hint=_FIND)
    return TransportError(f"cannot be reached ({error.strerror or error})", where=host, hint=_FIND)


@contextlib.contextmanager
def translated_errors(where: str) -> Iterator[None]:
    """Raise tarkit's errors for failures during a request to the daemon at *where*."""
    try:
        yield
    except TimeoutError:
        raise TransportError("the Docker daemon did not answer in time", where=where) from None
    except ssl.SSLError as error:  # with TLS 1.3, a refused certificate surfaces in the first read
        raise TransportError(
            f"the daemon closed the TLS connection ({error.reason or 'no reason given'})",
            where=where,
            hint="it may require a client certificate: cert.pem and key.pem in DOCKER_CERT_PATH",
        ) from None
    except (IncompleteRead, RemoteDisconnected, ConnectionError):
        raise closed_early(where) from None
    except (HTTPException, ValueError, AttributeError):  # http.client raises all of these
        raise TransportError(
            "malformed HTTP response; this is not a Docker daemon", where=where
        ) from None
    except OSError as error:
        raise TransportError(
            f"the connection failed ({error.strerror or error})", where=where
        ) from None


def closed_early(where: str) -> TransportError:
    """Return the error for a connection that ended before the response was complete."""
    return TransportError("the Docker daemon closed the connection early", where=where)


def from_answer(status: int, body: bytes, where: str) -> TarkitError:
    """Return the error for a response with a *status* other than 200; 404 means a missing image."""
    said = explanation(body)
    match status:
        case 401 | 403:
            return AuthenticationError(f"the Docker daemon denies access{said}", where=where)
        case 404:
            return ImageNotFoundError(f"not found{said}", where=where)
        case 400 if "HTTPS server" in said:
            return TransportError(
                "the daemon requires TLS", where=where, hint="set DOCKER_TLS_VERIFY=1"
            )
    return TransportError(f"the Docker daemon refused ({status}){said}", where=where)


def explanation(body: bytes) -> str:
    """Return a colon and the daemon's own message, shortened; empty if there is none."""
    try:
        text = get_string(parse_object(body), "message", where=None)
    except VerificationError:
        text = body.decode(errors="replace")
    text = " ".join(text.split())
    return f": {text[:_SHOWN]}" if text else ""
