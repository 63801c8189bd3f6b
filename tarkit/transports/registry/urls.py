"""URLs from outside: the only place that takes them apart, and every oddity is a :class:`TransportError`."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from urllib.parse import SplitResult, urljoin, urlsplit, urlunsplit

from tarkit.errors import TransportError
from tarkit.redaction import hidden

PORTS = {"https": 443, "http": 80}
_SHOWN = 200
_NOT_IN_URLS = re.compile(r"[\x00-\x20\x7f]")


def parse_url(
    url: str, *, where: str | None = None, schemes: Collection[str] | None = PORTS
) -> SplitResult:
    """Return the parts of *url*; raises :class:`TransportError` unless it has one of *schemes* and a host.

    The port of what is returned is valid, and so is the host, as far as its form tells.
    """
    try:
        if _NOT_IN_URLS.search(url):
            raise ValueError("a control character or a space")
        parts = urlsplit(url)
        known = schemes is None or parts.scheme in schemes
        if not (known and parts.hostname and (parts.port is None or parts.port > 0)):
            raise ValueError("no scheme, host or port")
        parts.hostname.encode("ascii")  # international names travel in their ASCII form
        parts.hostname.encode("idna")  # refuses labels that are empty or too long
    except ValueError:  # of addresses, ports and host names
        raise TransportError(
            f"{quoted(url)} is not the URL of an HTTP server", where=where
        ) from None
    return parts


def resolved(base: str, target: str) -> str:
    """Return where *target*, a ``Location``, leads from *base*.

    Raises :class:`TransportError` for what is not HTTP, and for a way from https to http.
    """
    where = shown(base)
    try:
        url = urljoin(base, target.strip(" \t"))
    except ValueError:
        raise TransportError(f"redirected to {quoted(target)}, no URL", where=where) from None
    scheme = url.partition(":")[0].lower()
    if scheme not in PORTS:
        raise TransportError(f"redirected to {quoted(url)}, which is not HTTP", where=where)
    parse_url(url, where=where)
    if scheme == "http" and parse_url(base).scheme == "https":
        raise TransportError("redirected from https to plain http", where=where)
    return url


def origin(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port of *url*: these must be equal for a secret to go along."""
    parts = parse_url(url)
    return parts.scheme, parts.hostname or "", parts.port or PORTS[parts.scheme]


def host_of(url: str) -> str:
    """Return host and port of *url* for a message, without a user name."""
    return parse_url(url).netloc.rpartition("@")[2]


def shown(url: str) -> str:
    """Return *url* for a message: without its query, which may be a signature, and without user names."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return re.split(r"[?#]", url)[0].rpartition("@")[2]
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def quoted(url: str) -> str:
    """Return *url* as a message quotes it, cut short."""
    return repr(hidden(shown(url))[:_SHOWN])


def is_loopback(host: str) -> bool:
    """Return whether *host*, with or without a port, is this machine's loopback interface."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
