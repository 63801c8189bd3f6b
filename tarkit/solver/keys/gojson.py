"""JSON as Go's encoder writes it, also for BuildKit's messages: cache keys are digests of such text."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any

from tarkit.llb.messages import UserOpt
from tarkit.llb.wire.base import Message
from tarkit.llb.wire.fields import Field
from tarkit.llb.wire.kinds import Kind

_ESCAPED = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


def go_json(document: object) -> str:
    """Return *document* as Go's ``json.Marshal`` writes it; keys keep their order."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return text.translate(_ESCAPED)


def go_object(message: Message) -> dict[str, Any]:
    """Return a message as Go's ``encoding/json`` sees it.

    Fields are in the order of their numbers; zero values, empty texts and empty lists are left out,
    but not an empty message that is set. Numbers stay numbers, also of 64 bits and of enumerations.
    """
    if isinstance(message, UserOpt):
        return _user(message)
    document = {}
    for field in sorted(message.FIELDS, key=lambda field: field.number):
        value = getattr(message, field.attribute)
        if isinstance(value, Message) or value:
            document[field.name] = _value(field, value)
    return document


def _user(user: UserOpt) -> dict[str, Any]:
    """Return a user in the form of Go's struct for a oneof, which has a level of its own."""
    if user.by_name is not None:
        return {"User": {"byName": go_object(user.by_name)}}
    if user.by_id is None:
        return {"User": None}
    return {"User": {"byId": user.by_id} if user.by_id else {}}


def _value(field: Field, value: Any) -> Any:
    kind = field.resolved()
    one: Callable[[Any], Any] = _scalar if isinstance(kind, Kind) else go_object
    if field.shape == "list":
        return [one(each) for each in value]
    if isinstance(value, Mapping):
        return {key: one(value[key]) for key in sorted(value, key=str.encode)}
    return one(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, bytes | bytearray):
        return b64encode(value).decode("ascii")
    return value if isinstance(value, str | bool) else int(value)
