"""What goes wrong with a daemon, as tarkit's errors: one line each, with what to do."""

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

_SHOWN = 500
_FIND = "say where it listens with DOCKER_HOST, or with a context"


def from_connecting(error: OSError, host: str) -> TarkitError:
    """Why there is no connection to the daemon at *host*."""
    match error:
        case PermissionError():
            return AuthenticationError(
                "permission denied to speak to the Docker daemon",
                where=host,
                hint="run as root, or as a member of the socket's group (docker)",
            )
        case FileNotFoundError() | NotADirectoryError() | ConnectionRefusedError():
            return TransportError(
                "no Docker daemon listens there", where=host, hint=f"start it, or {_FIND}"
            )
        case TimeoutError() | BlockingIOError():  # the latter from a socket whose queue is full
            return TransportError("the Docker daemon does not take calls in time", where=host)
        case ssl.SSLCertVerificationError():
            return TransportError(
                f"the daemon's certificate is not trusted: {error.verify_message}",
                where=host,
                hint="put its CA's certificate into DOCKER_CERT_PATH as ca.pem",
            )
        case ssl.SSLError():
            return TransportError(
                f"no TLS connection ({error.reason or 'the handshake failed'})",
                where=host,
                hint="DOCKER_TLS_VERIFY asks for TLS: unset it for a daemon without",
            )
        case socket.gaierror():
            return TransportError("unknown host", where=host, hint=_FIND)
    return TransportError(f"cannot be reached ({error.strerror or error})", where=host, hint=_FIND)


@contextlib.contextmanager
def told(where: str) -> Iterator[None]:
    """Turn what breaks in the middle of a request to the daemon at *where* into tarkit's errors."""
    try:
        yield
    except TimeoutError:
        raise TransportError("the Docker daemon does not answer in time", where=where) from None
    except ssl.SSLError as error:  # TLS 1.3 tells of a refused certificate at the first read
        raise TransportError(
            f"the daemon ended the TLS connection ({error.reason or 'without a reason'})",
            where=where,
            hint="it may want a client's certificate: cert.pem and key.pem in DOCKER_CERT_PATH",
        ) from None
    except (IncompleteRead, RemoteDisconnected, ConnectionError):
        raise broken_off(where) from None
    except (HTTPException, ValueError, AttributeError):  # http.client, on nonsense
        raise TransportError(
            "no HTTP that can be understood, so this is no Docker daemon", where=where
        ) from None
    except OSError as error:
        raise TransportError(
            f"the connection failed ({error.strerror or error})", where=where
        ) from None


def broken_off(where: str) -> TransportError:
    """The connection ended before the answer did."""
    return TransportError("the connection to the Docker daemon broke off", where=where)


def from_answer(status: int, body: bytes, where: str) -> TarkitError:
    """An answer of *status* that is not a success; a 404 means an image."""
    said = explanation(body)
    match status:
        case 401 | 403:
            return AuthenticationError(f"the Docker daemon denies access{said}", where=where)
        case 404:
            return ImageNotFoundError(f"not found{said}", where=where)
        case 400 if "HTTPS server" in said:
            return TransportError(
                "the daemon wants TLS", where=where, hint="set DOCKER_TLS_VERIFY=1"
            )
    return TransportError(f"the Docker daemon refused ({status}){said}", where=where)


def explanation(body: bytes) -> str:
    """What the daemon says itself, cut short; perhaps nothing."""
    try:
        text = get_string(parse_object(body), "message", where=None)
    except VerificationError:
        text = body.decode(errors="replace")
    text = " ".join(text.split())
    return f": {text[:_SHOWN]}" if text else ""
