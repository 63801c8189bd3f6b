"""Untrusted JSON: limits, encodings and compatibility with Go's decoder."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarkit.errors import LimitExceededError, MalformedError
from tarkit.image.document import (
    METADATA_LIMIT,
    NESTING_LIMIT,
    VALUES_LIMIT,
    dump_json,
    get_list,
    get_object,
    get_size,
    get_string,
    get_string_map,
    get_strings,
    parse_json,
    parse_object,
)


def test_one_byte_over_the_limit() -> None:
    data = b'"' + b"a" * (METADATA_LIMIT - 2) + b'"'
    assert len(parse_json(data)) == METADATA_LIMIT - 2
    with pytest.raises(LimitExceededError) as caught:
        parse_json(data + b" ")
    assert caught.value.limit == METADATA_LIMIT


def test_a_custom_limit() -> None:
    with pytest.raises(LimitExceededError, match="document of 3 bytes exceeds the limit of 2"):
        parse_json(b"[1]", limit=2)


def test_nesting_beyond_the_recursion_limit() -> None:
    with pytest.raises(LimitExceededError, match="nested more than 100 levels"):
        parse_json(b"[" * 200_000 + b"]" * 200_000)


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[0,{"a":'])
def test_nesting_beyond_our_limit(opening: bytes) -> None:
    closing = opening.replace(b"{", b"}").replace(b"[", b"]")
    closing = bytes(reversed([byte for byte in closing if byte in b"]}"]))
    levels = NESTING_LIMIT // len(closing)
    parse_json(opening * (levels - 1) + b"1" + closing * (levels - 1))
    with pytest.raises(LimitExceededError, match="nested more than 100 levels"):
        parse_json(opening * (levels + 1) + b"1" + closing * (levels + 1))


@pytest.mark.parametrize("value", ["{}", "[]", "1", '{"a":1}', '""', '"\\\\"', "[[]]"])
def test_too_many_values_are_rejected_before_parsing(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    data = f"[{','.join([value] * (VALUES_LIMIT + 1))}]".encode()
    monkeypatch.setattr("tarkit.image.document.json.loads", pytest.fail)
    with pytest.raises(LimitExceededError, match="more than 250000 values"):
        parse_json(data)


@pytest.mark.parametrize(
    "text", ["," * 300_000, "[{" * 150_000, '\\",' * 300_000, "\\\\" * 300_000]
)
def test_punctuation_in_strings_does_not_count(text: str) -> None:
    data = json.dumps({"text": text, text[:3]: [text]}).encode()
    assert parse_json(data)["text"] == text


def test_an_unterminated_string_is_scanned_once() -> None:
    with pytest.raises(MalformedError, match="not JSON"):
        parse_json(b'["' + b'\\",' * 1_000_000)


@pytest.mark.parametrize("number", ["1" * 1001, "-" + "9" * 4_000_000, "1e999", "-1e400"])
def test_numbers_are_bounded(number: str) -> None:
    with pytest.raises(MalformedError, match=r"the number \S{1,41} ") as caught:
        parse_json(f'{{"size": {number}}}'.encode())
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"{}x",
        b"{'a': 1}",
        b"NaN",
        b"[Infinity]",
        b"\xff\xfe",
        b'{"a": "\xff"}',
        b'{"a": "\x01"}',
        b"1" * 5000,
        '{"a": 1}'.encode("utf-16"),
    ],
)
def test_not_json(data: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_json(data)


@pytest.mark.parametrize("data", [b"[]", b"null", b"1", b'"x"', b"true"])
def test_not_an_object(data: bytes) -> None:
    with pytest.raises(MalformedError, match="expected a JSON object"):
        parse_object(data)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 70), 1 << 70) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@given(json_values)
def test_dumped_json_is_compact_and_reads_back(value: object) -> None:
    data = dump_json(value)
    assert parse_json(data) == value
    assert len(data) <= len(json.dumps(value))


def test_a_lone_surrogate_survives() -> None:
    value = parse_json(b'{"a": "\\ud800"}')
    assert parse_json(dump_json(value)) == value


def test_missing_and_null_fields_read_as_empty() -> None:
    for document in ({}, {"k": None}):
        assert get_string(document, "k", where=None) == ""
        assert get_list(document, "k", where=None) == []
        assert get_strings(document, "k", where=None) == ()
        assert get_object(document, "k", where=None) == {}
        assert get_string_map(document, "k", where=None) == {}


def test_a_size_is_required() -> None:
    with pytest.raises(MalformedError, match="not a size in bytes: None"):
        get_size({}, "size", where=None)


@pytest.mark.parametrize("value", [1, True, "x", [], {}, 1.5])
def test_errors_name_a_field_of_the_wrong_type(value: object) -> None:
    kinds = {str: get_string, list: get_list, dict: get_object}
    for kind, get in kinds.items():
        if not isinstance(value, kind):
            with pytest.raises(MalformedError, match="'key' is a"):
                get({"key": value}, "key", where="here")
