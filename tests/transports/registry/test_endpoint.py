"""Base URLs, and which URLs have the same origin."""

from __future__ import annotations

import pytest

from tarkit.errors import UsageError
from tarkit.transports.registry.endpoint import normalize_base_url
from tarkit.transports.registry.urls import is_loopback, origin, shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("   ", ""),
        ("registry.example", "https://registry.example"),
        ("registry.example/", "https://registry.example"),
        (" HTTPS://Registry.Example:5000// ", "https://registry.example:5000"),
        ("http://registry.example/mirror/", "http://registry.example/mirror"),
        ("docker.io", "https://registry-1.docker.io"),
        ("https://index.docker.io/", "https://registry-1.docker.io"),
        ("localhost:5000", "http://localhost:5000"),
        ("127.0.0.1:5000/", "http://127.0.0.1:5000"),
        ("https://localhost:5000", "https://localhost:5000"),
        ("[::1]:5000", "http://[::1]:5000"),
    ],
)
def test_base_urls_are_normalized(text: str, expected: str) -> None:
    assert normalize_base_url(text) == expected
    assert normalize_base_url(expected) == expected


@pytest.mark.parametrize(
    "text",
    ["ftp://registry.example", "https://", "https://host:notaport", "host:70000", "https://h/?q=1",
     "https://h/#f", "unix:///run/x"],
)  # fmt: skip
def test_invalid_base_urls(text: str) -> None:
    with pytest.raises(UsageError, match="is not the base URL"):
        normalize_base_url(text)


def test_a_url_with_a_password_is_refused_without_showing_it() -> None:
    with pytest.raises(UsageError) as caught:
        normalize_base_url("https://user:hunter2@registry.example")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "expected"),
    [("localhost", True), ("a.localhost:80", True), ("127.8.9.1:5000", True), ("[::1]:1", True),
     ("10.0.0.1", False), ("registry.example", False), ("localhost.example", False)],
)  # fmt: skip
def test_the_loopback_interface(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_an_origin_is_scheme_host_and_port() -> None:
    assert origin("https://a.example/x") == origin("https://A.example:443/y?z")
    assert origin("https://a.example") != origin("http://a.example")
    assert origin("https://a.example") != origin("https://a.example:8443")
    assert origin("https://a.example") != origin("https://b.a.example")


def test_messages_show_neither_signatures_nor_users() -> None:
    assert shown("https://u:p@cdn.example/blob?Signature=abc#x") == "https://cdn.example/blob"
