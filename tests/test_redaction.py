"""No message contains a secret, in any encoding in which it returns."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarkit.errors import DigestMismatchError, TarkitError
from tarkit.redaction import Secrets, hidden

SECRET = 'hunter2 "is"+/my\\secret'

FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "lower case, as a host": str.lower,
    "in a URL": lambda secret: quote(secret, safe=""),
    "in a path": quote,
    "in a query": quote_plus,
    "in JSON": json.dumps,
    "in a message": repr,
    "in base64": lambda secret: base64.b64encode(secret.encode()).decode(),
    "in base64 for URLs": lambda secret: base64.urlsafe_b64encode(secret.encode()).decode(),
}


@pytest.fixture
def secrets() -> Secrets:
    vault = Secrets()
    vault.add(SECRET)
    return vault


@pytest.mark.usefixtures("secrets")
@pytest.mark.parametrize("form", FORMS)
def test_a_secret_is_hidden_in_every_form(form: str) -> None:
    shown = FORMS[form](SECRET).strip("\"'=")
    error = TarkitError(f"said {shown}!", where=f"{shown}.example", hint=f"try {shown}")
    for text in (str(error), repr(error), error.message, str(error.where), str(error.hint)):
        assert shown not in text
        assert "***" in text


@pytest.mark.usefixtures("secrets")
@pytest.mark.parametrize("size", range(8, len(SECRET)))
def test_so_is_one_that_was_cut_off(size: int) -> None:
    vault = Secrets()
    vault.add("correct-horse-battery-staple")
    assert hidden(f"got {'correct-horse-battery-staple'[:size]}") == "got ***"
    assert hidden(f"got '{'correct-horse-battery-staple'[:size]}', no") == "got '***', no"


@pytest.mark.usefixtures("secrets")
def test_values_that_errors_carry() -> None:
    error = DigestMismatchError("sha256:0", SECRET)
    assert SECRET not in f"{error} {error.actual} {error.args}"


def test_secrets_are_forgotten_with_their_owners() -> None:
    vault = Secrets()
    vault.add("forgotten")
    assert hidden("forgotten") == "***"
    del vault
    assert hidden("forgotten") == "forgotten"


def test_nothing_is_hidden_for_an_empty_secret() -> None:
    vault = Secrets()
    vault.add("", "x")
    assert vault.hide("text") == "text"


@given(st.text(min_size=2, max_size=40), st.text(max_size=20), st.text(max_size=20))
def test_no_secret_survives(secret: str, before: str, after: str) -> None:
    vault = Secrets()
    vault.add(secret)
    assert secret not in vault.hide(f"{before}{secret}{after}").replace("***", "\0")
