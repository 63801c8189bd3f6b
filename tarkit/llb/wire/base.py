"""Messages: data classes with the bytes of BuildKit's protobuf messages."""

from __future__ import annotations

from typing import Any, ClassVar, Self, dataclass_transform

from tarkit.errors import LimitExceededError, VerificationError
from tarkit.llb.wire.fields import Field
from tarkit.llb.wire.reading import Collect, Reader, collectors
from tarkit.llb.wire.writing import Write, writers

LARGEST = 16 << 20
"""Bytes of the largest message that is decoded unless the caller says otherwise."""


@dataclass_transform(kw_only_default=True, eq_default=True)
class Message:
    """Base class of messages. A message is immutable; compare it with ``==``.

    A subclass declares each field once::

        class Mount(Message):
            input: int = int64(1)
            dest: str = string(3)
            cache: CacheOpt | None = message(20, CacheOpt, name="cacheOpt")
            options: Sequence[str] = repeated(21, string)
            labels: Mapping[str, str] = mapping(22, string)

    Fields have the defaults of proto3 unless the constructor gets a value. A field with
    ``oneof="group"`` is None if absent. ``unknown_fields`` holds the bytes of fields that the class
    does not declare; they are encoded again.
    """

    FIELDS: ClassVar[tuple[Field, ...]] = ()
    _names: ClassVar[frozenset[str]] = frozenset()
    _writers: ClassVar[list[tuple[str, bool, Write]] | None] = None
    _collectors: ClassVar[dict[int, Collect] | None] = None

    def __init_subclass__(cls) -> None:
        cls.FIELDS = tuple(value for value in vars(cls).values() if isinstance(value, Field))
        cls._names = frozenset(field.attribute for field in cls.FIELDS) | {"unknown_fields"}
        cls._writers = cls._collectors = None
        for field in cls.FIELDS:
            setattr(cls, field.attribute, field.default)

    unknown_fields: bytes | bytearray = b""

    def __init__(self, **values: Any) -> None:
        if not self._names.issuperset(values):
            unknown = sorted(values.keys() - self._names)
            raise TypeError(f"{type(self).__name__} has no field {unknown[0]!r}")
        self.__dict__.update(values)  # vars() holds only what was given

    @classmethod
    def decode(cls, data: bytes, *, limit: int = LARGEST, where: str | None = None) -> Self:
        """Decode a message; *where* names its origin in errors.

        Raises LimitExceededError if it exceeds *limit* bytes, 100 levels or a million nested
        messages, and another :class:`VerificationError` if it is truncated or malformed.
        """
        if len(data) > limit:
            text = f"{cls.__name__} message of {len(data)} bytes exceeds {limit}"
            raise LimitExceededError(text, limit=limit, where=where)
        message = cls.__new__(cls)
        try:
            Reader(bytes(data)).enter(cls.collectors(), vars(message), 0, len(data))
        except VerificationError as error:
            error.message = f"malformed {cls.__name__} message: {error.message}"
            error.where = where
            raise
        return message

    def encode(self) -> bytes:
        """Return the bytes that Go gives for this message."""
        table = self._writers
        if table is None:
            table = type(self)._writers = writers(self.FIELDS)
        out: list[bytes] = []
        values = self.__dict__
        for attribute, even_zero, write in table:
            if attribute in values:  # most are absent
                value = values[attribute]
                if value or (even_zero and value is not None):
                    out.append(write(value))
        if "unknown_fields" in values:
            out.append(bytes(self.unknown_fields))
        return b"".join(out)

    @classmethod
    def collectors(cls) -> dict[int, Collect]:
        """Return what reads each field, by tag; made on first use."""
        if cls._collectors is None:
            cls._collectors = collectors(cls.FIELDS)
        return cls._collectors

    def which(self, oneof: str) -> str | None:
        """Return the attribute of the member of *oneof* that is set, or None."""
        for field in self.FIELDS:
            if field.oneof == oneof and getattr(self, field.attribute) is not None:
                return field.attribute
        return None

    def replaced(self, **changes: Any) -> Self:
        """Return a copy with *changes*."""
        return type(self)(**{**vars(self), **changes})

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable; use replaced()")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._comparable() == other._comparable()

    __hash__ = None  # type: ignore[assignment]  # fields may hold lists

    def _comparable(self) -> list[Any]:
        values: list[Any] = [bytes(self.unknown_fields)]
        for field in self.FIELDS:
            value = getattr(self, field.attribute)
            values.append({"list": list, "map": dict}.get(field.shape, lambda v: v)(value))
        return values

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({given})"
