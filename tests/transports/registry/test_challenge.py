"""Reading ``WWW-Authenticate`` as registries write it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarkit.transports.registry.challenge import Challenge, parse_challenges, preferred

BEARER = Challenge("bearer", {"realm": "https://auth.example/token", "service": "registry.example"})


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('Bearer realm="https://auth.example/token",service="registry.example"', BEARER),
        ('bearer REALM="https://auth.example/token", Service="registry.example"', BEARER),
        ('Bearer realm = "https://auth.example/token" , service="registry.example"', BEARER),
        ('Basic realm="Registry Realm"', Challenge("basic", {"realm": "Registry Realm"})),
        ("Basic", Challenge("basic")),
        ('Basic realm="say \\"hi\\", you"', Challenge("basic", {"realm": 'say "hi", you'})),
        ("Bearer realm=https://a.example/t", Challenge("bearer", {"realm": "https://a.example/t"})),
    ],
)
def test_one_challenge(header: str, expected: Challenge) -> None:
    assert parse_challenges([header]) == [expected]


def test_several_in_one_header_and_in_several() -> None:
    negotiate, basic = Challenge("negotiate"), Challenge("basic", {"realm": "x"})
    one = 'Negotiate, Basic realm="x", Bearer realm="https://auth.example/token",service="registry.example"'
    assert parse_challenges([one]) == [negotiate, basic, BEARER]
    assert parse_challenges(["Negotiate", 'Basic realm="x"']) == [negotiate, basic]


def test_a_token_is_preferred_to_a_password_and_the_unknown_is_not_answered() -> None:
    basic, negotiate = Challenge("basic"), Challenge("negotiate")
    assert preferred([negotiate, basic, BEARER]) == BEARER
    assert preferred([negotiate, basic]) == basic
    assert preferred([negotiate]) is None
    assert preferred([]) is None


@given(st.text(max_size=300))
def test_nothing_breaks_the_parser(header: str) -> None:
    assert all(challenge.scheme for challenge in parse_challenges([header]))
