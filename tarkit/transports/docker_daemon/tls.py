"""TLS to a daemon, with the files that Docker's command line uses."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from tarkit.errors import MalformedError, PathNotFoundError
from tarkit.streams.os_errors import from_os_error
from tarkit.streams.tls import client_context

if TYPE_CHECKING:
    from tarkit.transports.docker_daemon.daemon import TlsFiles


def tls_context(files: TlsFiles) -> ssl.SSLContext:
    """A context that trusts the system's roots and ``ca.pem``, and presents ``cert.pem`` with ``key.pem``.

    Raises :class:`PathNotFoundError` for one of a pair without the other, and :class:`MalformedError`.
    """
    authority, certificate, key = (
        files.directory / name for name in ("ca.pem", "cert.pem", "key.pem")
    )
    context = client_context(verify=files.verify)
    for path, other in ((certificate, key), (key, certificate)):
        if path.exists() and not other.exists():
            raise PathNotFoundError(f"{path.name} is there without it", where=str(other))
    try:
        if authority.exists():
            context.load_verify_locations(cafile=authority)
        if certificate.exists():  # an encrypted key is an error and never a prompt
            context.load_cert_chain(certificate, key, password=lambda: "")
    except (ssl.SSLError, ValueError) as error:  # the first is an OSError as well
        reason = getattr(error, "reason", None) or "it cannot be read"
        raise MalformedError(
            f"no certificates that can be used: {reason}", where=str(files.directory)
        ) from None
    except OSError as error:
        raise from_os_error(error, files.directory) from None
    return context
