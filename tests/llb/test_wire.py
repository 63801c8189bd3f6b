"""Test the codec of messages."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarkit.errors import LimitExceededError, MalformedError, UsageError, VerificationError
from tarkit.llb import messages
from tarkit.llb.wire import (
    Message,
    boolean,
    enum,
    enum_kind,
    int32,
    int64,
    mapping,
    message,
    raw_bytes,
    repeated,
    string,
    to_json,
    uint32,
    uint64,
)
from tarkit.llb.wire.fields import Field
from tarkit.llb.wire.kinds import Kind
from tarkit.llb.wire.reading import DEEPEST


class Color(IntEnum):
    RED = 0
    BLUE = 1


class Node(Message):
    """A message with every kind and shape of field."""

    number: int = int64(5)
    text: str = string(1)
    small: int = int32(2)
    positive: int = uint32(3)
    wide: int = uint64(4)
    flag: bool = boolean(6)
    data: bytes = raw_bytes(7)
    color: Color = enum(8, Color)
    left: str | None = string(9, oneof="side")
    right: int | None = uint32(10, oneof="side")
    child: Node | None = message(11, "Node")
    children: Sequence[Node] = repeated(12, "Node")
    numbers: Sequence[int] = repeated(13, int32)
    words: Sequence[str] = repeated(14, string)
    colors: Sequence[Color] = repeated(15, enum_kind(Color))
    by_name: Mapping[str, Node] = mapping(16, "Node", name="byName")
    counts: Mapping[str, int] = mapping(17, int64)


SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "int32": st.integers(-(2**31), 2**31 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "uint32": st.integers(0, 2**32 - 1),
    "uint64": st.integers(0, 2**64 - 1),
    "bool": st.booleans(),
    "string": st.text(max_size=8),
    "bytes": st.binary(max_size=8),
    "enum": st.integers(0, 9),
}


def of_field(field: Field, depth: int) -> st.SearchStrategy[Any]:
    kind = field.resolved()
    one = SCALARS[kind.name] if isinstance(kind, Kind) else of_message(kind, depth - 1)
    if field.shape == "list":
        return st.lists(one, max_size=3)
    if field.shape == "map":
        return st.dictionaries(st.text(max_size=3), one, max_size=3)
    return one


def of_message(cls: type[Message], depth: int = 3) -> st.SearchStrategy[Any]:
    """Return values of *cls*, with at most one member of each oneof, and unknown fields."""
    flat = [field for field in cls.FIELDS if depth > 0 or isinstance(field.resolved(), Kind)]

    @st.composite
    def build(draw: st.DrawFn) -> Message:
        chosen = draw(st.lists(st.sampled_from(flat), max_size=5)) if flat else []
        oneofs = {field.oneof: field for field in chosen if field.oneof}
        fields = [f for f in chosen if not f.oneof or oneofs[f.oneof] is f]
        values = {field.attribute: draw(of_field(field, depth)) for field in fields}
        if draw(st.booleans()):
            values["unknown_fields"] = draw(st.sampled_from(UNKNOWN))
        return cls(**values)

    return build()


UNKNOWN = [b"\xf8\x3f\x01", b"\xfa\x3f\x02hi", b"\xf9\x3f12345678\xfd\x3f1234"]

CLASSES = [Node, messages.Op, messages.Definition]


@pytest.mark.parametrize("cls", CLASSES)
def test_a_decoded_message_equals_the_encoded_message(cls: type[Message]) -> None:
    @given(of_message(cls))
    def check(value: Message) -> None:
        again = cls.decode(value.encode())
        assert again == value
        assert again.encode() == value.encode()
        to_json(value)

    check()


@pytest.mark.parametrize("cls", CLASSES)
def test_random_bytes_decode_or_raise_a_verification_error(cls: type[Message]) -> None:
    @given(st.binary(max_size=60))
    def check(data: bytes) -> None:
        try:
            value = cls.decode(data)
        except VerificationError:
            return
        assert cls.decode(value.encode()) == value

    check()


@given(of_message(Node), st.data())
def test_damaged_messages_decode_or_raise_a_verification_error(value: Node, data: Any) -> None:
    encoded = bytearray(value.encode() or b"\0")
    for _ in range(data.draw(st.integers(1, 4))):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(VerificationError):
        Node.decode(bytes(encoded))


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (Node(), ""),
        (Node(number=0, text="", words=[], counts={}), ""),
        (Node(text="a", number=1), "0a0161 2801"),
        (Node(number=-1), "28 ffffffffffffffffff01"),
        (Node(small=-1), "10 ffffffffffffffffff01"),
        (Node(wide=2**64 - 1), "20 ffffffffffffffffff01"),
        (Node(child=Node()), "5a00"),
        (Node(numbers=[1, 300]), "6a03 01ac02"),
        (Node(counts={"b": 0, "a": 1}), "8a0105 0a0161 1001 8a0105 0a0162 1000"),
        (Node(by_name={"": Node()}), "820104 0a00 1200"),
        (Node(color=Color.BLUE), "4001"),
    ],
)  # fmt: skip
def test_the_bytes_are_those_of_go(value: Node, encoded: str) -> None:
    assert value.encode() == bytes.fromhex(encoded)
    assert Node.decode(bytes.fromhex(encoded)) == value


def test_a_member_of_a_oneof_comes_last_even_if_zero() -> None:
    assert Node(right=0, words=["x"]).encode() == bytes.fromhex("720178 5000")
    assert Node(left="", flag=True).encode() == bytes.fromhex("3001 4a00")


def test_the_last_member_of_a_oneof_wins() -> None:
    value = Node.decode(bytes.fromhex("5005 4a0161"))
    assert (value.left, value.right, value.which("side")) == ("a", None, "left")
    assert Node().which("side") is None


def test_parts_of_a_message_are_merged() -> None:
    parts = Node(child=Node(text="a", words=["x"])), Node(child=Node(small=2, words=["y"]))
    merged = Node.decode(b"".join(part.encode() for part in parts))
    assert merged == Node(child=Node(text="a", small=2, words=["x", "y"]))


def test_numbers_in_lists_may_be_single() -> None:
    assert Node.decode(bytes.fromhex("6801 6a0202 03")).numbers == [1, 2, 3]


def test_unknown_values_of_enums_are_kept() -> None:
    value = Node.decode(bytes.fromhex("4009"))
    assert (value.color, value.encode()) == (9, bytes.fromhex("4009"))


def test_a_known_number_with_another_wire_type_is_an_unknown_field() -> None:
    value = Node.decode(bytes.fromhex("0801"))
    assert (value.text, value.unknown_fields) == ("", b"\x08\x01")


@pytest.mark.parametrize(
    ("encoded", "message"),
    [
        ("0a", "number at byte 1 continues behind the end of its message"),
        ("0a05 6161", "value of 5 bytes at byte 2 exceeds its message"),
        ("0a01ff", "text at byte 2 is not UTF-8"),
        ("28 ffffffffffffffffffff01", "number at byte 1 exceeds 10 bytes"),
        ("28 ffffffffffffffffff7f", "number at byte 1 exceeds 64 bits"),
        ("28 8080", "number at byte 1 continues behind the end of its message"),
        ("0001", "field number 0 at byte 0 is invalid"),
        ("0b0c", "wire type 3 before byte 1 is unknown"),
        ("5a04 0a05 6161 6161", "value of 5 bytes at byte 4 exceeds its message"),
    ],
)  # fmt: skip
def test_malformed_messages_are_refused(encoded: str, message: str) -> None:
    with pytest.raises(VerificationError) as caught:
        Node.decode(bytes.fromhex(encoded), where="graph")
    assert str(caught.value) == f"graph: malformed Node message: {message}"


def nested(depth: int) -> bytes:
    value = Node()
    for _ in range(depth - 1):
        value = Node(child=value)
    return value.encode()


def test_nesting_is_bounded() -> None:
    assert Node.decode(nested(DEEPEST)).child is not None
    with pytest.raises(LimitExceededError, match="nested deeper than 100"):
        Node.decode(nested(DEEPEST + 1))


def test_the_number_of_messages_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tarkit.llb.wire.reading.MOST", 10)
    assert len(Node.decode(b"\x62\0" * 9).children) == 9
    with pytest.raises(LimitExceededError, match="more than 10 nested messages"):
        Node.decode(b"\x62\0" * 10)


def test_the_size_is_bounded() -> None:
    assert Node.decode(b"\x28\x01", limit=2) == Node(number=1)
    with pytest.raises(LimitExceededError, match="Node message of 4 bytes exceeds 2"):
        Node.decode(b"\x28\x01\x28\x01", limit=2)


def test_values_out_of_range_are_refused() -> None:
    with pytest.raises(UsageError, match="4294967296 is not in the range of uint32"):
        Node(positive=2**32).encode()
    with pytest.raises(UsageError, match="has no UTF-8 form"):
        Node(text="\udc80").encode()


def test_messages_are_immutable_values() -> None:
    value = Node(text="a")
    with pytest.raises(AttributeError, match="immutable"):
        value.text = "b"
    assert value.replaced(small=1) == Node(text="a", small=1)
    assert value != Node(text="b")
    assert value != "a"
    assert repr(value) == "Node(text='a')"
    with pytest.raises(TypeError, match="Node has no field 'txt'"):
        Node(txt="a")  # type: ignore[call-arg]


def test_json_has_the_names_of_buildkit_and_no_defaults() -> None:
    value = Node(number=5, data=b"\xff", color=Color.BLUE, right=0, by_name={"x": Node(small=1)})
    assert to_json(value) == {
        "byName": {"x": {"small": 1}},
        "color": "BLUE",
        "data": "/w==",
        "number": "5",
        "right": 0,
    }


def test_a_malformed_error_is_not_hidden_by_limits() -> None:
    with pytest.raises(MalformedError):
        Node.decode(b"\x07")
