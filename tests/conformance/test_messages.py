"""Test the codec of messages against Google's protobuf library, given the same declarations.

The library writes fields in another order, so only contents are compared, in both directions.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from tarkit.llb import messages
from tarkit.llb.wire import Message
from tarkit.llb.wire.fields import Field
from tarkit.llb.wire.kinds import Kind
from tests.llb.test_wire import Node, of_message

descriptor_pb2 = pytest.importorskip("google.protobuf.descriptor_pb2")

TYPES = {
    "int64": 3,
    "uint64": 4,
    "int32": 5,
    "bool": 8,
    "string": 9,
    "bytes": 12,
    "uint32": 13,
    "enum": 5,
}
MESSAGE, OPTIONAL, REPEATED = 11, 1, 3


def reachable(cls: type[Message], found: dict[str, type[Message]]) -> dict[str, type[Message]]:
    """Add *cls* and the classes of its fields to *found*."""
    if cls.__name__ not in found:
        found[cls.__name__] = cls
        for field in cls.FIELDS:
            kind = field.resolved()
            if not isinstance(kind, Kind):
                reachable(kind, found)
    return found


def declare(proto: Any, cls: type[Message]) -> None:
    """Declare *cls* and its fields."""
    proto.name = cls.__name__
    oneofs = sorted({field.oneof for field in cls.FIELDS if field.oneof})
    for name in oneofs:
        proto.oneof_decl.add(name=name)
    for field in cls.FIELDS:
        declared = proto.field.add(name=field.attribute, number=field.number)
        declared.label = OPTIONAL if field.shape == "one" else REPEATED
        if field.oneof:
            declared.oneof_index = oneofs.index(field.oneof)
        if field.shape == "map":
            entry = proto.nested_type.add(name=f"{camel(field.attribute)}Entry")
            entry.options.map_entry = True
            entry.field.add(name="key", number=1, label=OPTIONAL, type=TYPES["string"])
            set_type(entry.field.add(name="value", number=2, label=OPTIONAL), field)
            declared.type, declared.type_name = MESSAGE, f".t.{cls.__name__}.{entry.name}"
        else:
            set_type(declared, field)


def set_type(declared: Any, field: Field) -> None:
    kind = field.resolved()
    if isinstance(kind, Kind):
        declared.type = TYPES[kind.name]
    else:
        declared.type, declared.type_name = MESSAGE, f".t.{kind.__name__}"


def camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def library_class(cls: type[Message]) -> Any:
    """Return the library's class for *cls*."""
    descriptor_pool = pytest.importorskip("google.protobuf.descriptor_pool")
    message_factory = pytest.importorskip("google.protobuf.message_factory")
    file = descriptor_pb2.FileDescriptorProto(name=f"{cls.__name__}.proto", package="t")
    file.syntax = "proto3"
    for each in reachable(cls, {}).values():
        declare(file.message_type.add(), each)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"t.{cls.__name__}"))


@pytest.mark.parametrize("cls", [Node, messages.Op, messages.Definition])
def test_both_read_the_messages_of_the_other(cls: type[Message]) -> None:
    theirs = library_class(cls)

    @given(of_message(cls))
    def check(value: Message) -> None:
        parsed = theirs.FromString(value.encode())
        assert cls.decode(parsed.SerializeToString()) == value
        assert parsed.SerializeToString(deterministic=True) == theirs.FromString(
            cls.decode(parsed.SerializeToString()).encode()
        ).SerializeToString(deterministic=True)

    check()
