"""Each failure of a registry is an error of the right class with a one-line message."""

from __future__ import annotations

import socket
import threading
from email.utils import formatdate

import pytest

from tarkit.errors import (
    AuthenticationError,
    CancelledError,
    ImageNotFoundError,
    TarkitError,
    TransportError,
    UnsupportedError,
)
from tarkit.transports.registry.options import RegistryOptions, RetryPolicy
from tarkit.transports.registry.proxies import proxy_for
from tarkit.transports.registry.reader import RegistryReader
from tests.transports.registry.conftest import add_image
from tests.transports.registry.fake_registry import FakeRegistry
from tests.transports.registry.serving import Handler, serving


def fails(address: str, options: RegistryOptions) -> TarkitError:
    with (
        RegistryReader.open(f"{address}/app", options) as reader,
        pytest.raises(TarkitError) as caught,
    ):
        reader.source("latest").manifest()
    assert len(str(caught.value).splitlines()) == 1
    return caught.value


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_connection_refused(options: RegistryOptions) -> None:
    error = fails(f"127.0.0.1:{free_port()}", options)
    assert isinstance(error, TransportError)
    assert "connection refused" in str(error)


def test_an_unknown_host(options: RegistryOptions) -> None:
    error = fails("registry.invalid", options)
    assert isinstance(error, TransportError)
    assert "unknown host" in str(error)


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (401, AuthenticationError, "authentication required"),
        (403, AuthenticationError, "access denied: DENIED: not yours"),
        (404, ImageNotFoundError, "not found: DENIED: not yours"),
        (405, UnsupportedError, "does not support this request"),
        (418, TransportError, "answered 418"),
        (429, TransportError, "too many requests"),
        (500, TransportError, "the registry failed (500)"),
        (503, TransportError, "the registry failed (503)"),
    ],
)
def test_the_error_of_each_status(
    registry: FakeRegistry,
    options: RegistryOptions,
    status: int,
    kind: type[TarkitError],
    words: str,
) -> None:
    registry.fail(
        "GET", "manifests", lambda exchange: exchange.refuse(status, "DENIED", "not yours")
    )
    error = fails(registry.address, options)
    assert type(error) is kind or isinstance(error, kind)
    assert words in str(error)
    assert f"{registry.address}/app:latest" in str(error)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_passing_failures_are_retried(
    registry: FakeRegistry, options: RegistryOptions, status: int
) -> None:
    image = add_image(registry)
    registry.fail("GET", "manifests", lambda e: e.refuse(status, "BUSY"), times=3)
    with RegistryReader.open(f"{registry.address}/app", options) as reader:
        assert reader.source().manifest().data == image.manifest
    assert len(registry.requests("GET", "manifests")) == 4


def test_the_number_of_attempts_is_limited(
    registry: FakeRegistry, options: RegistryOptions
) -> None:
    registry.fail("GET", "manifests", lambda exchange: exchange.drop())
    assert "the connection broke" in str(fails(registry.address, options))
    assert len(registry.requests("GET", "manifests")) == options.retry.attempts


def test_other_failures_are_not_retried(registry: FakeRegistry, options: RegistryOptions) -> None:
    fails(registry.address, options)
    assert len(registry.requests("GET", "manifests")) == 1


@pytest.mark.parametrize(
    "value",
    [
        "0",
        "nonsense",
        "-5",
        formatdate(0, usegmt=True),
        "NaN",
        "\xb2",
        "Thu, 99 Foo -1 99:99:99 +9",
    ],
)
def test_a_short_retry_after_is_observed(
    registry: FakeRegistry, options: RegistryOptions, value: str
) -> None:
    image = add_image(registry)
    wait = {"Retry-After": value}
    registry.fail_once("GET", "manifests", lambda exchange: exchange.refuse(429, "SLOW", **wait))
    with RegistryReader.open(f"{registry.address}/app", options) as reader:
        assert reader.source().manifest().data == image.manifest


@pytest.mark.parametrize("value", ["3600", formatdate(4102444800, usegmt=True), "9" * 400])
def test_a_long_retry_after_is_an_error(
    registry: FakeRegistry, options: RegistryOptions, value: str
) -> None:
    wait = {"Retry-After": value}
    registry.fail("GET", "manifests", lambda exchange: exchange.refuse(429, "SLOW", **wait))
    error = fails(registry.address, options)
    assert "wait" in str(error)
    assert "seconds, or log in" in str(error)
    assert len(registry.requests("GET", "manifests")) == 1


def test_closing_ends_a_pause(registry: FakeRegistry) -> None:
    retry = RetryPolicy(attempts=5, delay=30, longest=60)
    registry.fail("GET", "manifests", lambda exchange: exchange.refuse(503, "BUSY"))
    errors: list[BaseException] = []
    with RegistryReader.open(f"{registry.address}/app", RegistryOptions(retry=retry)) as reader:
        source = reader.source()

        def ask() -> None:
            try:
                source.manifest()
            except CancelledError as error:
                errors.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        while not registry.requests("GET", "manifests"):
            thread.join(0.01)
    thread.join(10)
    assert len(errors) == 1


def test_something_that_is_not_http(options: RegistryOptions) -> None:
    class Babble(Handler):
        def handle(self) -> None:
            self.rfile.readline()
            self.wfile.write(b"SSH-2.0-OpenSSH\r\n")

    with serving(Babble) as address:
        assert isinstance(fails(address, options), TransportError)


def test_a_large_error_is_not_read_completely(
    registry: FakeRegistry, options: RegistryOptions
) -> None:
    registry.fail("GET", "manifests", lambda exchange: exchange.refuse(418, "X", "y" * 100_000))
    assert len(str(fails(registry.address, options))) < 600
    registry.faults.clear()
    registry.fail("GET", "manifests", lambda exchange: exchange.answer(418, b"[" * (5 << 20)))
    assert isinstance(fails(registry.address, options), TarkitError)


@pytest.mark.parametrize(
    "body", [b"", b"not json", b"[]", b'{"errors": []}', b'{"errors": [5]}', b'{"errors": {"a": 1}}',
             b"[" * 100_000, b'{"errors": [{"code": null}]}'],
)  # fmt: skip
def test_errors_without_a_message(
    registry: FakeRegistry, options: RegistryOptions, body: bytes
) -> None:
    registry.fail("GET", "manifests", lambda exchange: exchange.answer(418, body))
    assert str(fails(registry.address, options)).endswith("the registry answered 418")


def test_proxies_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert proxy_for("https://r.example/v2/") == ""
    monkeypatch.setenv("https_proxy", "proxy.example:3128")
    assert proxy_for("https://r.example/v2/") == "http://proxy.example:3128"
    assert proxy_for("http://r.example/v2/") == ""
    assert proxy_for("https://localhost:5000/v2/") == ""
    assert proxy_for("https://127.0.0.1/v2/") == ""
    monkeypatch.setenv("no_proxy", "r.example,.inside.example")
    assert proxy_for("https://r.example/v2/") == ""
    assert proxy_for("https://a.inside.example/v2/") == ""
    assert proxy_for("https://other.example/v2/") == "http://proxy.example:3128"
    monkeypatch.setenv("https_proxy", "socks5://me:hunter2@proxy.example")
    with pytest.raises(UnsupportedError, match="SOCKS") as caught:
        proxy_for("https://other.example/v2/")
    assert "hunter2" not in str(caught.value)


def test_a_proxy_gets_its_credentials(
    options: RegistryOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, str | None]] = []

    class Proxy(Handler):
        def handle_request(self) -> None:
            seen.append((self.path, self.headers["Proxy-Authorization"]))
            self.answer(403)

        do_CONNECT = Handler.do_GET

    with serving(Proxy) as address:
        monkeypatch.setenv("https_proxy", f"http://me:hunter%322@{address}")
        error = fails("r.example", options)
    assert isinstance(error, TransportError)
    assert "proxy" in str(error)
    assert seen == [("r.example:443", "Basic bWU6aHVudGVyMjI=")]
    assert "hunter" not in str(error)
