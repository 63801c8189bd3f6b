"""Base URLs of registry APIs, as users write them."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit, urlunsplit

from tarkit.errors import UsageError
from tarkit.transports.registry.urls import PORTS, is_loopback

DOCKER_HUB = "docker.io"
DOCKER_HUB_API = "registry-1.docker.io"

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def normalize_base_url(text: str) -> str:
    """Return *text* as ``scheme://host[:port][/path]`` without trailing slashes.

    Empty text stays empty. The default scheme is http on the loopback interface and https
    elsewhere. Docker Hub's names become the host of its API. Raises :class:`UsageError` if *text*
    is invalid.
    """
    text = text.strip()
    if not text:
        return ""
    explicit = _SCHEME.match(text) is not None
    try:
        parts = urlsplit(text if explicit else f"https://{text}")
    except ValueError:  # no address in the brackets of an IPv6 host
        raise _no_base_url(text) from None
    host = _checked_host(parts, text)
    if host in (DOCKER_HUB, f"index.{DOCKER_HUB}"):
        host = DOCKER_HUB_API
    scheme = parts.scheme if explicit or not is_loopback(host) else "http"
    return urlunsplit((scheme, host, parts.path.rstrip("/"), "", ""))


def _checked_host(parts: SplitResult, text: str) -> str:
    if "@" in parts.netloc:
        raise UsageError("a registry URL must not contain credentials", hint="use --creds")
    known = parts.scheme in PORTS and parts.hostname and _port_is_possible(parts)
    if not known or parts.query or parts.fragment:
        raise _no_base_url(text)
    return parts.netloc.lower()


def _no_base_url(text: str) -> UsageError:
    return UsageError(
        f"{text[:200]!r} is not the base URL of a registry", hint="write https://host[:port]"
    )


def _port_is_possible(parts: SplitResult) -> bool:
    """Return True if the port is absent or valid."""
    try:
        return parts.port is None or parts.port > 0
    except ValueError:
        return False


def require_host(domain: str) -> None:
    """Raise :class:`UsageError` if the port of *domain* is invalid."""
    try:
        possible = _port_is_possible(urlsplit(f"//{domain}"))
    except ValueError:
        possible = False
    if not possible:
        raise UsageError(f"{domain[:200]!r} is not a registry: the port must be from 1 to 65535")
