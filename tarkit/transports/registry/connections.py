"""Pooled connections to registries, through the environment's proxies, with translated errors."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote

from tarkit.errors import TransportError
from tarkit.redaction import Secrets
from tarkit.tracing import trace
from tarkit.transports.registry.body import Body, Response
from tarkit.transports.registry.failures import certificate_error, from_exception
from tarkit.transports.registry.messages import Request
from tarkit.transports.registry.options import RegistryOptions
from tarkit.transports.registry.proxies import proxy_for
from tarkit.transports.registry.tls import tls_context
from tarkit.transports.registry.urls import host_of, parse_url, shown

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager

_POOL = 16  # idle connections kept to one host


class Connections:
    """A pool for direct connections and one for each proxy; thread-safe."""

    def __init__(self, host: str, options: RegistryOptions, secrets: Secrets) -> None:
        import urllib3

        if not options.tls_verify:  # the user's choice needs no warning for every request
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        self._context = tls_context(host, verify=options.tls_verify, cert_dir=options.cert_dir)
        self._retry = options.retry
        self._timeout = urllib3.Timeout(connect=options.retry.connect, read=options.retry.read)
        self._secrets = secrets
        self._managers: dict[str, PoolManager] = {}
        self._lock = threading.Lock()

    def send(self, request: Request, url: str, headers: Mapping[str, str]) -> Response:
        """Send *request* to *url* once; return the answer with its body unread.

        Raises :class:`PassingError` if the connection breaks, and :class:`TransportError` if
        connecting fails or no answer arrives in time.
        """
        from urllib3.exceptions import HTTPError

        try:
            with _translate_errors(url):
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
            trace("%s %s: %s", request.method, shown(url), type(error).__name__)
            raise from_exception(error, host_of(url)) from None
        trace("%s %s: %s", request.method, shown(url), raw.status)
        return Response(raw.status, raw.headers, url, _body(raw, url))

    def speaks_tls(self, url: str) -> bool:
        """Return True if the server at *url* speaks TLS.

        Raises :class:`TransportError` if its certificate is invalid.
        """
        from urllib3 import exceptions

        try:
            with _translate_errors(url):
                self._manager(url).urlopen(
                    "GET",
                    url,
                    redirect=False,
                    retries=False,
                    timeout=self._timeout,
                    preload_content=False,
                ).close()
        except exceptions.SSLError as error:
            if certificate_error(error):
                raise from_exception(error, host_of(url)) from None
            return False
        except exceptions.ProtocolError:
            return False
        except exceptions.HTTPError as error:
            refused = isinstance(error.__cause__, ConnectionRefusedError)
            if refused and parse_url(url).port is None:
                return False  # plain HTTP has another default port, which may be open
            raise from_exception(error, host_of(url)) from None
        return True

    def close(self) -> None:
        """Close idle connections now, and other connections when they are returned."""
        with self._lock:
            for manager in self._managers.values():
                for key in manager.pools.keys():  # noqa: SIM118  not iterable itself
                    manager.pools[key].close()

    def _manager(self, url: str) -> PoolManager:
        proxy = proxy_for(url)
        with self._lock:
            if proxy not in self._managers:
                self._managers[proxy] = self._new_manager(proxy)
            return self._managers[proxy]

    def _new_manager(self, proxy: str) -> PoolManager:
        import urllib3

        from tarkit.transports.registry.pools import pool_classes

        manager: PoolManager
        if not proxy:
            manager = urllib3.PoolManager(maxsize=_POOL, ssl_context=self._context)
        else:
            parts = parse_url(proxy)
            address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
            headers = self._proxy_headers(parts.username, parts.password)
            manager = urllib3.ProxyManager(
                address, proxy_headers=headers, maxsize=_POOL, ssl_context=self._context
            )
        manager.pool_classes_by_scheme = pool_classes(self._retry.metadata)
        return manager

    def _proxy_headers(self, username: str | None, password: str | None) -> dict[str, str]:
        import urllib3

        if username is None:
            return {}
        login = f"{unquote(username)}:{unquote(password or '')}"
        headers = urllib3.make_headers(proxy_basic_auth=login)
        self._secrets.add(unquote(password or ""), *headers["proxy-authorization"].split()[1:])
        return dict(headers)


def _body(raw: BaseHTTPResponse, url: str) -> Body:
    """Return the body of *raw*, bounded by the allowance of its connection."""
    return Body(raw, host_of(url), getattr(raw.connection, "allowance", None))


@contextmanager
def _translate_errors(url: str) -> Iterator[None]:
    """Convert errors of http.client and sockets to :class:`TransportError`, but not urllib3's."""
    from urllib3.exceptions import HTTPError

    try:
        yield
    except HTTPError:
        raise
    except (OSError, HTTPException, AttributeError):  # raised by http.client on invalid data
        raise TransportError("invalid HTTP answer", where=host_of(url)) from None
    except ValueError:  # http.client refuses invalid headers and URLs
        raise TransportError("the request cannot be sent over HTTP", where=shown(url)) from None
