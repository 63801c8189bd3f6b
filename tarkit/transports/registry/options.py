"""Options for connecting to a registry."""

from __future__ import annotations

from dataclasses import field
from pathlib import Path

from tarkit.transports.registry.credentials import Credentials
from tarkit.values import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Timeouts in seconds, and how to retry after passing failures.

    ``connect`` and ``read`` limit each wait for the network. ``metadata`` limits a complete answer
    other than a blob, and each 64 KiB of a blob. A request is sent up to ``attempts`` times. The
    pause between attempts is ``delay`` seconds, doubled each time; if a registry requests a pause
    longer than ``longest``, the request fails at once. All requests to a token server share
    ``attempts`` failures in a row; after that, no token is requested for ``longest`` seconds.

    >>> tarkit.RetryPolicy(attempts=2).attempts
    2
    """

    connect: float = 30.0
    read: float = 60.0
    metadata: float = 120.0
    attempts: int = 5
    delay: float = 0.5
    longest: float = 60.0


@dataclass(frozen=True, slots=True)
class RegistryOptions:
    """Address, TLS settings and credentials of a registry.

    If ``credentials`` is None, they are read from ``authfile``, or from the files and helpers of
    Docker, podman and skopeo. ``cert_dir`` holds trusted roots (``*.crt``) and client certificates
    (``*.cert`` with ``*.key``). ``tls_verify=False`` accepts any certificate, and plain HTTP.
    ``base_url`` is the URL of the API if it differs from the host in the name, as for a mirror.

    >>> tarkit.RegistryOptions(tls_verify=False).tls_verify
    False
    """

    credentials: Credentials | None = field(default=None, repr=False)
    authfile: Path | None = None
    tls_verify: bool = True
    cert_dir: Path | None = None
    base_url: str = ""
    retry: RetryPolicy = RetryPolicy()
