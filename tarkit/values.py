"""Data classes that cost little before they are used.

:func:`dataclass` is the decorator of the standard library for classes with slots, except that it
generates methods on first use. The standard library compiles up to eight functions for each class
when its module is imported, and short commands spent a third of their time on that.
"""

from __future__ import annotations

from dataclasses import MISSING, Field, field
from dataclasses import dataclass as standard_dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:  # for type checkers, the classes are what they appear to be
    from collections.abc import Iterator
    from dataclasses import dataclass as dataclass
    from dataclasses import replace as replace
    from typing import Any
else:

    def dataclass(*, slots, **options):
        """Return a decorator like ``dataclasses.dataclass``; *slots* must be True."""
        if slots is not True:
            raise TypeError("use the decorator of the standard library")
        return lambda cls: _Template(cls, options).build()

    def replace(value, /, **changes):
        """Return a copy of *value* with *changes*, like ``dataclasses.replace``."""
        for name in type(value).__template__.names():
            changes.setdefault(name, getattr(value, name))
        return type(value)(**changes)


_ALWAYS = ("__dataclass_fields__", "__dataclass_params__", "__match_args__", "__repr__")
_IF_FROZEN = ("__setattr__", "__delattr__", "__getstate__", "__setstate__")
_IF_ORDERED = ("__lt__", "__le__", "__gt__", "__ge__")


class _Template:
    """A class before decoration, and the options: the source of every generated attribute."""

    def __init__(self, cls: type, options: dict[str, bool]) -> None:
        self._metaclass, self._name, self._bases = type(cls), cls.__name__, cls.__bases__
        self._namespace = dict(vars(cls))
        for name in ("__dict__", "__weakref__"):  # they belong to the class before decoration
            self._namespace.pop(name, None)
        self._fields: dict[str, Any] = self._namespace.get("__annotations__", {})
        self._options = options

    def build(self) -> type:
        """Return the class with slots, and with placeholders for what is generated later."""
        body = {key: value for key, value in self._namespace.items() if key not in self._fields}
        body["__slots__"] = tuple(self._fields)
        body["__template__"] = self
        for name in ("__init__", *self._generated()):
            body.setdefault(name, _Placeholder(self, name))
        self._cls = self._metaclass(self._name, self._bases, body)
        return self._cls

    def names(self) -> Iterator[str]:
        """Yield the names of the fields, those of bases first."""
        return (name for name, *_ in self._parameters())

    def _generated(self) -> Iterator[str]:
        """Yield the names of the attributes that the standard library generates."""
        frozen = self._options.get("frozen")
        yield from _ALWAYS
        if frozen:
            yield from _IF_FROZEN
        if self._options.get("order"):
            yield from _IF_ORDERED
        if self._options.get("eq", True):
            yield "__eq__"
            if frozen or self._options.get("unsafe_hash"):
                yield "__hash__"

    def generate(self, name: str) -> Any:
        """Replace the placeholder *name*, or all but ``__init__``, and return the new value."""
        if name == "__init__":
            self._cls.__init__ = self._initializer()  # type: ignore[misc]
        else:
            standard = self._standard()
            for each in self._generated():
                if isinstance(vars(self._cls)[each], _Placeholder):
                    setattr(self._cls, each, vars(standard)[each])
        return vars(self._cls)[name]

    def _standard(self) -> type:
        """Return the class as the standard library decorates it."""
        # without a docstring, the standard library would format the signature as one
        namespace = {"__doc__": "", **self._namespace}
        cls = self._metaclass(self._name, self._bases, namespace)
        return standard_dataclass(init=False, slots=True, **self._options)(cls)  # type: ignore[call-overload, no-any-return]

    def _initializer(self) -> Any:
        """Compile ``__init__``. Comparing and printing can wait, but every object needs this."""
        scope: dict[str, Any] = {"_set": object.__setattr__, "_missing": MISSING}
        assign = "_set(self, {0!r}, {1})" if self._options.get("frozen") else "self.{0} = {1}"
        positional, keywords, body, annotations = ["self"], [], [], {}
        for name, spec, annotation, keyword_only in self._parameters():
            text, value = name, name
            if spec.default is not MISSING:
                scope[f"_{name}"] = spec.default
                text += f"=_{name}"
            elif spec.default_factory is not MISSING:
                scope[f"_{name}"] = spec.default_factory
                text += "=_missing"
                value = f"_{name}() if {name} is _missing else {name}"
            (keywords if keyword_only else positional).append(text)
            body.append(assign.format(name, value))
            annotations[name] = annotation
        if hasattr(self._cls, "__post_init__"):
            body.append("self.__post_init__()")
        parameters = [*positional, *(["*", *keywords] if keywords else [])]
        exec(f"def __init__({', '.join(parameters)}):\n " + "\n ".join(body or ["pass"]), scope)
        function = scope["__init__"]
        function.__qualname__ = f"{self._cls.__qualname__}.__init__"
        function.__annotations__ = {**annotations, "return": None}
        return function

    def _parameters(self) -> Iterator[tuple[str, Field[Any], Any, bool]]:
        """Yield name, field, annotation and whether it is keyword-only; those of bases first."""
        for base in self._bases:
            inherited: _Template | None = getattr(base, "__template__", None)
            if inherited:
                yield from inherited._parameters()
        for name, annotation in self._fields.items():
            value = self._namespace.get(name, MISSING)
            if not isinstance(value, Field):
                value = field(default=value)
            keyword_only = value.kw_only
            if keyword_only is MISSING:
                keyword_only = self._options.get("kw_only", False)
            yield name, value, annotation, keyword_only


class _Placeholder:
    """Stands for an attribute of a class until it is needed; then the template generates it."""

    def __init__(self, template: _Template, name: str) -> None:
        self._template, self._name = template, name

    def __get__(self, instance: object, owner: type) -> Any:
        value = self._template.generate(self._name)
        return value.__get__(instance, owner) if hasattr(value, "__get__") else value
