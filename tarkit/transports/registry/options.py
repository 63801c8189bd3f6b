"""What a caller may say about talking to a registry; the defaults are what almost everybody wants."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tarkit.transports.registry.credentials import Credentials


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long to wait for a registry, in seconds, and how often to ask again.

    ``connect`` and ``read`` bound every wait on the network, ``metadata`` the whole of any answer
    that is not a blob, and the time that 64 KiB of a blob may take. A request that failed for a passing reason is made up to ``attempts`` times,
    first after ``delay`` and each time after twice as long; a registry that asks for a longer wait
    than ``longest`` is not waited for.
    """

    connect: float = 30.0
    read: float = 60.0
    metadata: float = 120.0
    attempts: int = 5
    delay: float = 0.5
    longest: float = 60.0


@dataclass(frozen=True, slots=True)
class RegistryOptions:
    """How to reach a registry and who to be there.

    Without ``credentials``, those that ``authfile``, or the files and helpers that containers'
    tools and Docker share, hold for the repository are used. ``cert_dir`` holds ``*.crt`` roots to
    trust and ``*.cert`` with ``*.key`` to present. ``tls_verify=False`` accepts any certificate and
    plain HTTP. ``base_url`` is where the API is when that is not the host of the name: a mirror.
    """

    credentials: Credentials | None = field(default=None, repr=False)
    authfile: Path | None = None
    tls_verify: bool = True
    cert_dir: Path | None = None
    base_url: str = ""
    patience: RetryPolicy = RetryPolicy()
