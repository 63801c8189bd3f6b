"""Configure TLS for a daemon from the files that Docker's command line uses."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from tarkit.errors import MalformedError, PathNotFoundError
from tarkit.streams.os_errors import from_os_error
from tarkit.streams.tls import client_context

if TYPE_CHECKING:
    from tarkit.transports.docker_daemon.daemon import TlsFiles


def tls_context(files: TlsFiles) -> ssl.SSLContext:
    """Return a context that trusts the system's roots and ``ca.pem``, and presents ``cert.pem``.

    Raises :class:`PathNotFoundError` if only one of ``cert.pem`` and ``key.pem`` exists, and
    :class:`MalformedError` if a file cannot be used.
    """
    authority, certificate, key = (
        files.directory / name for name in ("ca.pem", "cert.pem", "key.pem")
    )
    context = client_context(verify=files.verify)
    for path, other in ((certificate, key), (key, certificate)):
        if path.exists() and not other.exists():
            raise PathNotFoundError(f"missing, but {path.name} exists", where=str(other))
    try:
        if authority.exists():
            context.load_verify_locations(cafile=authority)
        if (
            certificate.exists()
        ):  # the empty password fails for an encrypted key instead of prompting
            context.load_cert_chain(certificate, key, password=lambda: "")
    except (ssl.SSLError, ValueError) as error:  # before OSError, the base class of SSLError
        reason = getattr(error, "reason", None) or "unreadable"
        raise MalformedError(
            f"unusable certificates: {reason}", where=str(files.directory)
        ) from None
    except OSError as error:
        raise from_os_error(error, files.directory) from None
    return context
