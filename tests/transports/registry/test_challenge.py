"""Parsing ``WWW-Authenticate`` as registries write it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
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


NEGOTIATE, BASIC = Challenge("negotiate"), Challenge("basic", {"realm": "x"})
SERVICE = 'service="registry.example"'
REALM = 'realm="https://auth.example/token"'


@pytest.mark.parametrize(
    "separator", [",", ", ", " ", "  ", "\t", ";", "; ", ",,", " , , ", ",\r\n "]
)
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer:"])
def test_unusual_separators(scheme: str, separator: str) -> None:
    bearer = f"{scheme} {REALM}{separator}{SERVICE}"
    assert parse_challenges([bearer]) == [BEARER]
    assert parse_challenges([f'Basic realm="x"{separator}{bearer}']) == [BASIC, BEARER]
    assert parse_challenges([f'{bearer}{separator}Basic realm="x"']) == [BEARER, BASIC]
    assert parse_challenges([f"{separator}{bearer}{separator}"]) == [BEARER]


@pytest.mark.parametrize(
    "credential", ["", " YWJj", " YWJjZA==", " a.b-c_d~e+f/g=", ", ", "  YWJj  "]
)
def test_bare_credentials_are_passed_over(credential: str) -> None:
    assert parse_challenges([f"Negotiate{credential}, Bearer {REALM},{SERVICE}"]) == [
        NEGOTIATE,
        BEARER,
    ]
    assert parse_challenges([f"Bearer {REALM},{SERVICE}, Negotiate{credential}"]) == [
        BEARER,
        NEGOTIATE,
    ]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Negotiate Basic", ["negotiate", "basic"]),
        ("Basic Bearer realm=x", ["basic", "bearer"]),
        ("Basic, Bearer realm=x", ["basic", "bearer"]),
        ('Digest realm="a, b", nonce="Bearer realm=c", Basic realm=x', ["digest", "basic"]),
        ("Bearer realm=,service=x, Basic", ["bearer", "basic"]),
        ('Bearer realm="never closed, Basic realm=x', ["bearer"]),
        ("", []),
        (",;, ", []),
    ],
)
def test_schemes(header: str, expected: list[str]) -> None:
    assert [challenge.scheme for challenge in parse_challenges([header])] == expected


def test_quoted_values_keep_separators() -> None:
    header = 'Bearer realm="https://a.example/t?x=1,2;3 4",scope="repository:a:pull,push"'
    (challenge,) = parse_challenges([header])
    assert challenge.parameters["realm"] == "https://a.example/t?x=1,2;3 4"
    assert challenge.parameters["scope"] == "repository:a:pull,push"


def test_the_first_of_several_tokens_with_a_realm_is_preferred() -> None:
    bare, other = Challenge("bearer"), Challenge("bearer", {"realm": "https://b.example"})
    assert preferred([bare, BEARER, other]) == BEARER
    assert preferred([bare, BASIC]) == BASIC
    assert preferred([bare]) == bare


@settings(max_examples=30)
@given(st.text(max_size=60))
def test_the_parser_accepts_any_text(header: str) -> None:
    assert all(challenge.scheme for challenge in parse_challenges([header]))
