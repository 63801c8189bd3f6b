"""Find the address of the Docker daemon: DOCKER_HOST, Docker's current context, or the default."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from tarkit.errors import UnsupportedError, UsageError
from tarkit.streams.files import home_directory
from tarkit.transports.docker_daemon.contexts import Context, current_context
from tarkit.values import dataclass

DEFAULT_HOST = "unix:///var/run/docker.sock"
_DEFAULT_HOST_ON_WINDOWS = "npipe:////./pipe/docker_engine"
_PLAIN_PORT, _TLS_PORT = 2375, 2376


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """A ``directory`` with ``ca.pem``, ``cert.pem`` and ``key.pem``, each optional.

    Unless ``verify`` is true, the certificate of the daemon is not checked.

    >>> from pathlib import Path
    >>> tarkit.TlsFiles(Path("certificates")).verify
    True
    """

    directory: Path
    verify: bool = True


@dataclass(frozen=True, slots=True)
class Daemon:
    """A daemon that listens at ``host``: ``unix:///path``, or ``tcp://name:port``, perhaps by TLS.

    The timeouts, in seconds, limit connecting, receiving a whole response, and each pause while an
    image is sent or received. ``work_timeout`` is long, because the daemon packs and unpacks
    silently.

    >>> tarkit.Daemon("unix:///run/docker.sock").host
    'unix:///run/docker.sock'
    """

    host: str
    tls: TlsFiles | None = None
    connect_timeout: float = 10
    answer_timeout: float = 60
    work_timeout: float = 900

    @classmethod
    def find(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Return the daemon that Docker's own command line would use.

        In order of precedence: DOCKER_HOST, with DOCKER_TLS_VERIFY and DOCKER_CERT_PATH; the
        context named by DOCKER_CONTEXT or Docker's config (in DOCKER_CONFIG or ``~/.docker``); the
        default socket. Raises :class:`~tarkit.errors.NotFoundError` if the context is missing.
        """
        config = _config_directory(environment)
        host = environment.get("DOCKER_HOST", "")
        context = None if host else current_context(config, environment.get("DOCKER_CONTEXT"))
        if context is not None:
            return cls(context.host, _tls_of(context))
        tls = None
        if environment.get("DOCKER_TLS_VERIFY"):
            tls = TlsFiles(Path(environment.get("DOCKER_CERT_PATH") or config))
        return cls(host or _default_host(), tls)

    @property
    def socket_path(self) -> str | None:
        """The path of the daemon's Unix socket, or None if it listens on TCP.

        Raises :class:`UnsupportedError` if ``host`` has another scheme.
        """
        scheme, _, rest = self.host.partition("://")
        if scheme == "unix":
            return rest or DEFAULT_HOST.removeprefix("unix://")
        if scheme == "tcp":
            return None
        hint = "set DOCKER_HOST to unix:///path/to/socket or tcp://host:port"
        if scheme == "ssh":
            hint = "forward its socket with 'ssh -L', and set DOCKER_HOST to unix:///path/to/socket"
        raise UnsupportedError(
            f"unsupported scheme {scheme[:20]!r} in the daemon's address",
            where="the Docker daemon",
            hint=hint,
        )

    @property
    def address(self) -> tuple[str, int]:
        """The host name and port of a daemon on TCP; raises :class:`UsageError` if malformed."""
        try:
            parts = urlsplit(self.host)
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if not host or "@" in self.host or parts.path not in ("", "/"):
            # Do not show the address, which may contain a password.
            raise UsageError("the address is not tcp://host:port", where="the Docker daemon")
        return host, port or (_TLS_PORT if self.tls else _PLAIN_PORT)


def _config_directory(environment: Mapping[str, str]) -> Path:
    if configured := environment.get("DOCKER_CONFIG"):
        return Path(configured)
    return (home_directory() or Path(os.devnull)) / ".docker"  # a missing path if there is no home


def _tls_of(context: Context) -> TlsFiles | None:
    if context.skip_verify or context.tls_directory.is_dir():
        return TlsFiles(context.tls_directory, verify=not context.skip_verify)
    return None


def _default_host() -> str:
    return _DEFAULT_HOST_ON_WINDOWS if os.name == "nt" else DEFAULT_HOST
