"""``NO_PROXY``: the table of golang.org/x/net/http/httpproxy, and more."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarkit.transports.registry.proxies import is_bypassed, proxy_for

PROXY = "http://proxy.example:3128"


@pytest.mark.parametrize(
    ("no_proxy", "host", "expected"),
    [
        ("", "r.example", False),
        ("*", "r.example", True),
        (" , x , * ", "192.0.2.1", True),
        ("r.example", "r.example", True),
        ("r.example", "a.b.r.example", True),
        ("r.example", "xr.example", False),
        ("R.Example", "r.EXAMPLE", True),
        (".r.example", "r.example", False),
        (".r.example", "a.r.example", True),
        ("*.r.example", "r.example", False),
        ("*.r.example", "a.b.r.example", True),
        ("*r.example", "r.example", False),
        ("a.*.example", "a.b.example", False),
        ("r.example:5000", "r.example:5000", True),
        ("r.example:5000", "a.r.example:5000", True),
        ("r.example:5000", "r.example", False),
        ("r.example:443", "r.example", True),
        ("*.r.example:5000", "a.r.example:5000", True),
        ("*.r.example:5000", "a.r.example:5001", False),
        ("other, r.example ,x", "r.example", True),
        ("other;r.example", "r.example", False),
        ("b\xfccher.example", "xn--bcher-kva.example", True),
        ("r.example.", "r.example", False),
        ("192.0.2.1", "192.0.2.1:5000", True),
        ("192.0.2.1:5000", "192.0.2.1:5000", True),
        ("192.0.2.1:5001", "192.0.2.1:5000", False),
        ("192.0.2.0/24", "192.0.2.77:5000", True),
        ("192.0.2.9/24", "192.0.2.77", True),
        ("192.0.2.0/25", "192.0.2.177", False),
        ("10.0.0.0/8,192.0.2.0/24", "192.0.2.1", True),
        ("0.0.0.0/0", "192.0.2.1", True),
        ("0.0.0.0/0", "r.example", False),
        ("192.0.2.0/33", "192.0.2.1", False),
        ("192.0.2.0/255.255.255.0", "192.0.2.1", False),
        ("192.0.2", "192.0.2.1", False),
        ("0.2.1", "192.0.2.1", False),
        ("2001:db8::/32", "[2001:db8::1]:5000", True),
        ("2001:db8::1", "[2001:DB8:0::1]", True),
        ("[2001:db8::1]", "[2001:db8::1]", True),
        ("[2001:db8::1]:5000", "[2001:db8::1]:5000", True),
        ("[2001:db8::1]:5001", "[2001:db8::1]:5000", False),
        ("2001:db8::/32", "192.0.2.1", False),
        ("192.0.2.0/24", "[::ffff:192.0.2.1]", True),
        (":5000", "r.example:5000", False),
        (".", "r.example", False),
        ("*.", "r.example", False),
        ("/", "r.example", False),
    ],
)
def test_hosts_without_a_proxy(
    monkeypatch: pytest.MonkeyPatch, no_proxy: str, host: str, expected: bool
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert proxy_for(f"https://{host}/v2/") == ("" if expected else PROXY)


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:5000", "a.localhost", "127.0.0.1", "127.9.9.9:1", "[::1]:5000"]
)
def test_the_loopback_interface_has_no_proxy(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("ALL_PROXY", PROXY)
    assert proxy_for(f"https://{host}/") == ""
    assert proxy_for("https://r.example/") == PROXY


@pytest.mark.parametrize("variable", ["no_proxy", "NO_PROXY"])
@pytest.mark.parametrize("other", ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
def test_variables_in_either_case(
    monkeypatch: pytest.MonkeyPatch, variable: str, other: str
) -> None:
    monkeypatch.setenv(other, PROXY)
    assert proxy_for("https://r.example/") == PROXY
    monkeypatch.setenv(variable, "r.example")
    assert proxy_for("https://r.example/") == ""


def test_http_proxy_is_ignored_in_cgi(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", PROXY)
    assert proxy_for("http://r.example/") == PROXY
    monkeypatch.setenv("REQUEST_METHOD", "GET")
    assert proxy_for("http://r.example/") == ""


@given(st.text(max_size=60), st.sampled_from(["r.example", "192.0.2.1", "2001:db8::1"]))
def test_the_parser_accepts_any_text(no_proxy: str, host: str) -> None:
    assert is_bypassed(host, 443, no_proxy) in (True, False)
    assert is_bypassed(host, 443, f"{no_proxy},{host}")
