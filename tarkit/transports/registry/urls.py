"""Parse URLs sent by servers; raise :class:`TransportError` for invalid URLs."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Sequence
from urllib.parse import SplitResult, urlencode, urljoin, urlsplit, urlunsplit

from tarkit.errors import TransportError
from tarkit.redaction import hidden

PORTS = {"https": 443, "http": 80}
_SHOWN = 200
_NOT_IN_URLS = re.compile(r"[\x00-\x20\x7f]")


def parse_url(
    url: str, *, where: str | None = None, schemes: Collection[str] | None = PORTS
) -> SplitResult:
    """Return the parts of *url*, with a valid host name and port.

    Raises :class:`TransportError` unless *url* has a host and one of *schemes*; None allows any.
    """
    try:
        if _NOT_IN_URLS.search(url):
            raise ValueError("a control character or a space")
        parts = urlsplit(url)
        known = schemes is None or parts.scheme in schemes
        if not (known and parts.hostname and (parts.port is None or parts.port > 0)):
            raise ValueError("no scheme, host or port")
        parts.hostname.encode("ascii")  # international names are sent in their ASCII form
        parts.hostname.encode("idna")  # refuses labels that are empty or too long
    except ValueError:  # urlsplit and encode raise it as well
        raise TransportError(
            f"{quoted(url)} is not the URL of an HTTP server", where=where
        ) from None
    return parts


def resolved(base: str, target: str) -> str:
    """Return the absolute URL of *target*, a ``Location`` in an answer from *base*.

    Raises :class:`TransportError` unless it is an HTTP URL, and if it downgrades https to http.
    """
    where = shown(base)
    try:
        url = urljoin(base, target.strip(" \t"))
    except ValueError:
        raise TransportError(
            f"redirected to {quoted(target)}, which is not a URL", where=where
        ) from None
    scheme = url.partition(":")[0].lower()
    if scheme not in PORTS:
        raise TransportError(f"redirected to {quoted(url)}, which is not HTTP", where=where)
    parse_url(url, where=where)
    if scheme == "http" and parse_url(base).scheme == "https":
        raise TransportError("redirected from https to plain http", where=where)
    return url


def path_and_query(base: str, target: str, *, where: str) -> str:
    """Return path and query of *target*, which may be relative to *base*.

    Raises :class:`TransportError` if *target* is not a URL.
    """
    try:
        parts = urlsplit(urljoin(base, target))
    except ValueError:
        raise TransportError(f"{quoted(target)} is not a URL", where=where) from None
    return urlunsplit(("", "", parts.path or "/", parts.query, ""))


def with_query(url: str, query: Sequence[tuple[str, str]]) -> str:
    """Return *url* with the parameters of *query* appended."""
    joint = "&" if parse_url(url).query else "?"
    return f"{url}{joint}{urlencode(query)}" if query else url


def origin(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port of *url*; credentials are sent only to the same origin."""
    parts = parse_url(url)
    return parts.scheme, parts.hostname or "", parts.port or PORTS[parts.scheme]


def host_of(url: str) -> str:
    """Return host and port of *url* without its user name, to show in a message."""
    return parse_url(url).netloc.rpartition("@")[2]


def shown(url: str) -> str:
    """Return *url* without its user name and query, which may be secret, to show in a message."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return re.split(r"[?#]", url)[0].rpartition("@")[2]
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def quoted(url: str) -> str:
    """Return *url* quoted and truncated, to show in a message."""
    return repr(hidden(shown(url))[:_SHOWN])


def is_loopback(host: str) -> bool:
    """Return True if *host*, with or without a port, names the loopback interface."""
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
