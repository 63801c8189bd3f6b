"""Where a registry's API is: base URLs as people write them."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit, urlunsplit

from tarkit.errors import UsageError
from tarkit.transports.registry.urls import PORTS, is_loopback

DOCKER_HUB = "docker.io"
DOCKER_HUB_API = "registry-1.docker.io"

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def normalize_base_url(text: str) -> str:
    """*text* as ``scheme://host[:port][/path]``, without trailing slashes; an empty text stays empty.

    The scheme is https where none is given, and http on the loopback interface. Docker Hub's names
    become the host of its API. Raises :class:`UsageError` for anything that is no such URL.
    """
    text = text.strip()
    if not text:
        return ""
    explicit = _SCHEME.match(text) is not None
    try:
        parts = urlsplit(text if explicit else f"https://{text}")
    except ValueError:  # no address between the brackets
        raise _no_base_url(text) from None
    host = _checked_host(parts, text)
    if host in (DOCKER_HUB, f"index.{DOCKER_HUB}"):
        host = DOCKER_HUB_API
    scheme = parts.scheme if explicit or not is_loopback(host) else "http"
    return urlunsplit((scheme, host, parts.path.rstrip("/"), "", ""))


def _checked_host(parts: SplitResult, text: str) -> str:
    if "@" in parts.netloc:
        raise UsageError("a registry's URL with credentials in it", hint="give them on their own")
    known = parts.scheme in PORTS and parts.hostname and _port_is_possible(parts)
    if not known or parts.query or parts.fragment:
        raise _no_base_url(text)
    return parts.netloc.lower()


def _no_base_url(text: str) -> UsageError:
    return UsageError(
        f"{text[:200]!r} is not the base URL of a registry", hint="write https://host[:port]"
    )


def _port_is_possible(parts: SplitResult) -> bool:
    """Whether the port, where one is given, can be one."""
    try:
        return parts.port is None or parts.port > 0
    except ValueError:
        return False


def require_host(domain: str) -> None:
    """Raise :class:`UsageError` where *domain* names a port that there cannot be."""
    try:
        possible = _port_is_possible(urlsplit(f"//{domain}"))
    except ValueError:
        possible = False
    if not possible:
        raise UsageError(f"{domain[:200]!r} is not a registry: ports go from 1 to 65535")
