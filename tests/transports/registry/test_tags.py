"""Lists of tags: pagination and limits."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarkit.errors import LimitExceededError, TransportError
from tarkit.transports.registry.links import next_link
from tarkit.transports.registry.options import RegistryOptions
from tarkit.transports.registry.reader import RegistryReader
from tests.transports.registry.fake_registry import Exchange, FakeRegistry

NEXT = "/v2/app/tags/list?n=2&last=b"


@pytest.mark.parametrize(
    "value",
    [
        '<{}>; rel="next"',
        "<{}>; rel=next",
        "<{}>;rel=next",
        "<{}> ; rel = next",
        '<{}>;\trel\t=\t"next"',
        "<{}>; REL=Next",
        '<{}>; rel="last next"',
        '<{}>; rel="NEXT  last"',
        '<{}>; title="a, b; rel=prev"; rel=next',
        '<{}>; title="say \\"hi\\""; rel=next',
        '<{}>; rel="ne\\xt"',
        "<{}>; rel=next; rel=prev",
        "<{}>; hreflang; rel=next; type=text/plain",
        "<{}>; ; rel=next;",
        "<{}>; title*=UTF-8''x; rel=next",
        '</other>; rel=prev, <{}>; rel="next"',
        '</other>; rel="prev"; title="<x>; rel=next",<{}>;rel=next,</more>;rel=last',
        "</other>,<{}>;rel=next",
        ", ,<{}>;rel=next",
        "< {} >; rel=next",
    ],
)
@pytest.mark.parametrize("target", [NEXT, "/v2/a,b;c/tags/list?last=x,y;z"])
def test_every_legal_form_of_a_link(value: str, target: str) -> None:
    assert next_link([value.format(target)]) == target
    assert next_link(["</other>; rel=prev", value.format(target)]) == target


@pytest.mark.parametrize(
    "value",
    ["", "<>", "nonsense", "</x>", "</x>; rel=prev", "</x>; rel=nextpage", "</x>; rel=prev; rel=next",
     "</x>; title=next", "</x>; title=\"; rel=next", "/x; rel=next", "</x; rel=next"],
)  # fmt: skip
def test_no_next_page(value: str) -> None:
    assert next_link([value]) is None


@given(st.text(max_size=200))
def test_the_parser_accepts_any_text(value: str) -> None:
    next_link([value])


def pages(registry: FakeRegistry, make: Callable[[int], tuple[object, str | None]]) -> None:
    """Let *make* return the document and the ``Link`` of each page."""
    count = [0]

    def answer(exchange: Exchange) -> None:
        document, link = make(count[0])
        count[0] += 1
        headers = {"Link": link} if link else {}
        exchange.answer(200, json.dumps(document).encode(), **headers)

    registry.fail("GET", "tags/list", answer, times=100_000)


def tags(registry: FakeRegistry, options: RegistryOptions) -> list[str]:
    with RegistryReader.open(f"{registry.address}/app", options) as reader:
        return [image.names[0].rpartition(":")[2] for image in reader.images()]


def link(number: int) -> str:
    return f'</v2/app/tags/list?page={number}>; rel="next"'


@pytest.mark.parametrize("empty", [[], None])
def test_an_empty_page_is_not_the_last(
    registry: FakeRegistry, options: RegistryOptions, empty: object
) -> None:
    listed = [empty, ["a"], empty, empty, ["b", "a"], empty]
    pages(registry, lambda n: ({"tags": listed[n]}, link(n) if n < 5 else None))
    assert tags(registry, options) == ["a", "b"]


@pytest.mark.parametrize(
    "prefix",
    ["", "http://{}", "https://internal:8443", "http://elsewhere.invalid", "//other", "ftp://x"],
)
def test_every_page_is_requested_from_the_registry(
    registry: FakeRegistry, options: RegistryOptions, prefix: str
) -> None:
    target = f"{prefix.format(registry.address)}/v2/app/tags/list?last=a"
    pages(registry, lambda n: ({"tags": [f"t{n}"]}, f"<{target}>; rel=next" if n == 0 else None))
    assert tags(registry, options) == ["t0", "t1"]
    assert [seen.path for seen in registry.requests("GET", "tags/list")][1] == (
        "/v2/app/tags/list?last=a"
    )


@pytest.mark.parametrize("target", ["?page=2", "list?page=2", "../tags/list?page=2"])
def test_relative_links(registry: FakeRegistry, options: RegistryOptions, target: str) -> None:
    pages(registry, lambda n: ({"tags": [f"t{n}"]}, f"<{target}>; rel=next" if n == 0 else None))
    assert tags(registry, options) == ["t0", "t1"]


@pytest.mark.parametrize("target", ["http://[::1", "//[x]/y"])
def test_a_link_that_is_no_url(
    registry: FakeRegistry, options: RegistryOptions, target: str
) -> None:
    pages(registry, lambda n: ({"tags": ["a"]}, f"<{target}>; rel=next"))
    with pytest.raises(TransportError, match="next page of tags"):
        tags(registry, options)


def test_a_cycle_of_pages_is_read_once(registry: FakeRegistry, options: RegistryOptions) -> None:
    pages(registry, lambda n: ({"tags": [f"t{n % 3}"]}, link(n % 3)))
    assert tags(registry, options) == ["t0", "t1", "t2"]
    assert len(registry.requests("GET", "tags/list")) == 4


@pytest.mark.parametrize(
    ("limit", "make", "requests"),
    [
        ("bytes of tags", lambda n: {"tags": [f"{n}-{'x' * (4 << 20)}"[: (4 << 20) - 99]]}, 7),
        ("tags", lambda n: {"tags": [f"{n}-{t}" for t in range(100_000)]}, 2),
        ("pages in a row without new tags", lambda n: {"tags": ["a"]}, 12),
    ],
)
def test_endless_lists(
    registry: FakeRegistry,
    options: RegistryOptions,
    limit: str,
    make: Callable[[int], object],
    requests: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tarkit.transports.registry.pages._FRUITLESS_LIMIT", 10)
    pages(registry, lambda n: (make(n), link(n)))
    with pytest.raises(LimitExceededError, match=rf"more than \d+ {limit}"):
        tags(registry, options)
    assert len(registry.requests("GET", "tags/list")) == requests


def test_pages_are_bounded(
    registry: FakeRegistry, options: RegistryOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tarkit.transports.registry.pages._PAGES_LIMIT", 20)
    pages(registry, lambda n: ({"tags": [f"t{n}"]}, link(n)))
    with pytest.raises(LimitExceededError, match="more than 20 pages"):
        tags(registry, options)
