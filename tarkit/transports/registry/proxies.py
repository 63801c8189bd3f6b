"""Proxies from the environment; ``NO_PROXY`` has the syntax of Go's net/http."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterator

from tarkit.errors import UnsupportedError
from tarkit.transports.registry.urls import PORTS, is_loopback, parse_url, shown

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_HOST_AND_PORT = re.compile(r"(?:\[(?P<bracketed>[^\[\]]*)\]|(?P<plain>[^:\[\]]*)):(?P<port>[^:]*)")
_RANGE = re.compile(r"[0-9a-f.:]+/[0-9]+", re.ASCII)


def proxy_for(url: str) -> str:
    """Return the proxy for *url*, or an empty string; loopback addresses have none."""
    parts = parse_url(url)
    proxy = _proxy(parts.scheme)
    host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
    if not proxy or is_loopback(parts.netloc) or is_bypassed(host, port, _variable("no_proxy")):
        return ""
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    if parse_url(proxy, schemes=None).scheme not in PORTS:
        raise UnsupportedError("SOCKS proxies are not supported", where=shown(proxy))
    return proxy


def is_bypassed(host: str, port: int, no_proxy: str) -> bool:
    """Return True if *no_proxy* lists *host* and *port*.

    Entries are separated by commas: ``*`` for all hosts, an address, a CIDR range, or a domain.
    ``domain`` includes its subdomains; ``.domain`` and ``*.domain`` match subdomains only. ``:port``
    limits an address or domain to that port.
    """
    host = _ascii(host.lower().rstrip("."))
    address = _address(host)
    return any(_matches(entry, host, address, str(port)) for entry in _entries(no_proxy))


def _entries(no_proxy: str) -> Iterator[str]:
    for entry in no_proxy.lower().split(","):
        if stripped := entry.strip():
            yield _ascii(stripped)


def _ascii(name: str) -> str:
    """Return an international *name* in its ASCII form."""
    try:
        return name.encode("idna").decode() if not name.isascii() else name
    except UnicodeError:
        return name


def _matches(entry: str, host: str, address: _Address | None, port: str) -> bool:
    if entry == "*":
        return True
    if _RANGE.fullmatch(entry):
        return address is not None and _contains(entry, address)
    match = _HOST_AND_PORT.fullmatch(entry)
    name = entry if match is None else match["bracketed"] or match["plain"] or ""
    if match and match["port"] not in ("", port):
        return False
    if address is not None:
        return _address(name.strip("[]")) == address
    return _is_in_domain(host, name)


def _is_in_domain(host: str, name: str) -> bool:
    name = name[1:] if name.startswith("*.") else name
    if not name.strip("."):
        return False
    return host.endswith(name) if name.startswith(".") else f".{host}".endswith(f".{name}")


def _contains(network: str, address: _Address) -> bool:
    try:
        parsed = ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
    return address in parsed


def _address(text: str) -> _Address | None:
    """Return *text* as an address, or None; IPv4 mapped into IPv6 becomes IPv4."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _proxy(scheme: str) -> str:
    if scheme == "http" and "REQUEST_METHOD" in os.environ:
        return os.environ.get("http_proxy", "")  # in CGI, HTTP_PROXY is the client's "Proxy" header
    return _variable(f"{scheme}_proxy") or _variable("all_proxy")


def _variable(name: str) -> str:
    return os.environ.get(name.upper()) or os.environ.get(name, "")
