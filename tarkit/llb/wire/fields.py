"""Declared fields of messages."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

EMPTY: Mapping[str, Any] = MappingProxyType({})


class Field:
    """A declared field: its ``number``, ``kind`` of values, ``name`` in BuildKit and ``oneof``.

    The kind is a :class:`~tarkit.llb.wire.kinds.Kind`, or a class of messages; a class declared
    later is given by its name. ``shape`` is "one", "list" or "map"; keys of maps are text.
    """

    def __init__(
        self,
        number: int,
        kind: Any,
        *,
        shape: str = "one",
        name: str = "",
        oneof: str = "",
    ) -> None:
        self.number, self.kind, self.shape = number, kind, shape
        self.name, self.oneof = name, oneof
        self.attribute = ""
        self._module = ""

    def __set_name__(self, owner: type, attribute: str) -> None:
        self.attribute, self._module = attribute, owner.__module__
        self.name = self.name or attribute

    @property
    def default(self) -> Any:
        """The value of an absent field: None for messages and for members of a oneof."""
        if self.shape != "one":
            return () if self.shape == "list" else EMPTY
        if self.oneof or isinstance(self.kind, str | type):
            return None
        return self.kind.default

    def resolved(self) -> Any:
        """Return the kind, or the class of messages; look up a class that was given by name."""
        if isinstance(self.kind, str):
            return getattr(sys.modules[self._module], self.kind)
        return self.kind


def message(number: int, kind: type | str, *, name: str = "", oneof: str = "") -> Any:
    """Declare a field that holds a message of the class *kind*, or None."""
    return Field(number, kind, name=name, oneof=oneof)


def repeated(number: int, kind: Any, *, name: str = "") -> Any:
    """Declare a field that holds a sequence of values."""
    return Field(number, kind, shape="list", name=name)


def mapping(number: int, kind: Any, *, name: str = "") -> Any:
    """Declare a field that maps text to values."""
    return Field(number, kind, shape="map", name=name)
