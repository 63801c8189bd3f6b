"""Connections to registries: pooled, through the environment's proxies, with errors in our words."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote, urlsplit

from tarkit.errors import TransportError, UnsupportedError
from tarkit.transports.registry.endpoint import is_loopback, shown
from tarkit.transports.registry.failures import certificate_error, from_exception
from tarkit.transports.registry.messages import Request, Response
from tarkit.transports.registry.options import RegistryOptions
from tarkit.transports.registry.tls import tls_context

if TYPE_CHECKING:
    from urllib3 import PoolManager

_POOL = 16  # idle connections kept to one host


class Connections:
    """One pool for direct connections and one for each proxy. Safe to use from several threads."""

    def __init__(self, host: str, options: RegistryOptions) -> None:
        import urllib3

        if (
            not options.tls_verify
        ):  # whoever turned it off knows; a warning a request says nothing new
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        self._context = tls_context(host, verify=options.tls_verify, cert_dir=options.cert_dir)
        self._timeout = urllib3.Timeout(
            connect=options.patience.connect, read=options.patience.read
        )
        self._managers: dict[str, PoolManager] = {}
        self._lock = threading.Lock()

    def send(self, request: Request, url: str, headers: Mapping[str, str]) -> Response:
        """Send *request* to *url*, once; the answer, with its body still to come.

        Raises :class:`PassingError` where the connection breaks and :class:`TransportError` where
        there is none.
        """
        from urllib3.exceptions import HTTPError

        try:
            raw = self._manager(url).urlopen(
                request.method,
                url,
                body=cast("bytes | Iterable[bytes] | None", request.body),
                headers={"User-Agent": "tarkit", **headers},
                redirect=False,
                retries=False,
                timeout=self._timeout,
                preload_content=False,
                decode_content=False,
            )
        except HTTPError as error:
            raise from_exception(error, urlsplit(url).netloc.rpartition("@")[2]) from None
        except (ValueError, UnicodeError):  # http.client refuses to send what is no header or URL
            raise TransportError("cannot be asked for over HTTP", where=shown(url)) from None
        return Response(raw.status, raw.headers, url, raw)

    def speaks_tls(self, url: str) -> bool:
        """Whether what listens at *url* speaks TLS; raises :class:`TransportError` for a bad certificate."""
        from urllib3 import exceptions

        try:
            self._manager(url).urlopen(
                "GET", url, redirect=False, retries=False, timeout=self._timeout
            )
        except exceptions.SSLError as error:
            if certificate_error(error):
                raise from_exception(error, urlsplit(url).netloc) from None
            return False
        except exceptions.ProtocolError:
            return False
        except exceptions.HTTPError as error:
            refused = isinstance(error.__cause__, ConnectionRefusedError)
            if refused and urlsplit(url).port is None:
                return False  # the port of plain HTTP is another one
            raise from_exception(error, urlsplit(url).netloc) from None
        return True

    def close(self) -> None:
        """Close every connection that is idle, and those in use when they become so."""
        with self._lock:
            for manager in self._managers.values():
                for key in manager.pools.keys():  # noqa: SIM118  it is no mapping to iterate over
                    manager.pools[key].close()

    def _manager(self, url: str) -> PoolManager:
        proxy = proxy_for(url)
        with self._lock:
            if proxy not in self._managers:
                self._managers[proxy] = self._new_manager(proxy)
            return self._managers[proxy]

    def _new_manager(self, proxy: str) -> PoolManager:
        import urllib3

        if not proxy:
            return urllib3.PoolManager(maxsize=_POOL, ssl_context=self._context)
        parts = urlsplit(proxy)
        headers = {}
        if parts.username is not None:
            login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            headers = urllib3.make_headers(proxy_basic_auth=login)
        address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        return urllib3.ProxyManager(
            address, proxy_headers=headers, maxsize=_POOL, ssl_context=self._context
        )


def proxy_for(url: str) -> str:
    """The proxy that the environment names for *url*, or an empty text; never for the loopback interface."""
    from urllib import request

    parts = urlsplit(url)
    proxies = request.getproxies_environment()
    proxy = proxies.get(parts.scheme) or proxies.get("all") or ""
    bypassed = request.proxy_bypass_environment(parts.netloc, proxies)  # type: ignore[attr-defined]
    if not proxy or bypassed or is_loopback(parts.netloc):
        return ""
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    if urlsplit(proxy).scheme not in ("http", "https"):
        raise UnsupportedError("tarkit does not speak to SOCKS proxies", where=shown(proxy))
    return proxy
