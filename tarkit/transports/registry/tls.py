"""Trusted roots and client certificates, in the layout of containers-certs.d(5)."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from tarkit.errors import MalformedError, PathNotFoundError
from tarkit.streams.files import home_directory
from tarkit.streams.os_errors import from_os_error, os_errors

if TYPE_CHECKING:
    import ssl

_ROOTS = ("SSL_CERT_FILE", "SSL_CERT_DIR")  # variables of OpenSSL
_DIRECTORIES = (Path("/etc/containers/certs.d"), Path("/etc/docker/certs.d"))


def tls_context(host: str, *, verify: bool, cert_dir: Path | None) -> ssl.SSLContext:
    """Return a context that trusts the system's roots and those in the directory of *host*.

    The directory is *cert_dir*, which must exist, or the first existing ``certs.d/host``.
    """
    directory = cert_dir or _default_directory(host)
    files: list[tuple[Path, int, int]] = []
    if directory is not None:
        with os_errors(directory):
            paths = sorted(path for path in directory.iterdir() if path.is_file())
            states = [path.stat() for path in paths]
        files = [(p, s.st_mtime_ns, s.st_size) for p, s in zip(paths, states, strict=True)]
    roots = tuple(os.environ.get(name) for name in _ROOTS)
    return _context(verify, tuple(files), roots)


@lru_cache(maxsize=8)
def _context(
    verify: bool, files: tuple[tuple[Path, int, int], ...], roots: tuple[str | None, ...]
) -> ssl.SSLContext:
    """Return the context with the certificates *files*; all arguments together identify it.

    Loading the system's roots takes longer than most requests, and a sync opens many repositories.
    """
    import ssl

    from tarkit.streams.tls import client_context

    context = client_context(verify=verify)
    for path, _, _ in files:
        try:
            _load(context, path)
        except (ssl.SSLError, ValueError) as error:  # before OSError, the base class of SSLError
            reason = getattr(error, "reason", None) or "unreadable"
            raise MalformedError(f"not a certificate and key: {reason}", where=str(path)) from None
        except OSError as error:
            raise from_os_error(error, path) from None
    return context


def _load(context: ssl.SSLContext, path: Path) -> None:
    if path.suffix == ".crt":
        context.load_verify_locations(cafile=path)
    elif path.suffix == ".cert":
        key = path.with_suffix(".key")
        if not key.is_file():
            raise PathNotFoundError("the key of a client certificate is missing", where=str(key))
        # The empty password makes an encrypted key an error instead of a prompt.
        context.load_cert_chain(path, key, password=lambda: "")
    elif path.suffix == ".key" and not path.with_suffix(".cert").is_file():
        raise PathNotFoundError(
            "the certificate of a client key is missing", where=str(path.with_suffix(".cert"))
        )


def _default_directory(host: str) -> Path | None:
    home = home_directory()
    own = [home / ".config" / "containers" / "certs.d"] if home else []
    candidates = (directory / host for directory in (*own, *_DIRECTORIES))
    return next((directory for directory in candidates if directory.is_dir()), None)
