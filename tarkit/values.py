"""Data classes that cost little before they are used.

:func:`dataclass` is the decorator of the standard library for classes with slots, except that it
generates methods on first use. The standard library compiles up to eight functions for each class
when its module is imported, and short commands spent a third of their time on that.
"""

from __future__ import annotations

import sys
from dataclasses import MISSING, Field, field
from dataclasses import dataclass as standard_dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:  # type checkers see the standard library's
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
        kept = {name: getattr(value, name) for name in type(value).__template__.names}
        return type(value)(**kept | changes)


class _Template:
    """A class before decoration, and the options: the source of every generated attribute."""

    def __init__(self, cls: type, options: dict[str, bool]) -> None:
        self._metaclass, self._name, self._bases = type(cls), cls.__name__, cls.__bases__
        # Python 3.14 computes them on demand, unless the module imports them from the future
        self._annotations: dict[str, Any] = dict(cls.__annotations__)
        own = {"__dict__", "__weakref__"}  # of the class before decoration
        self._namespace = {key: value for key, value in vars(cls).items() if key not in own}
        self._options = options
        # an inherited field would be lost, so every base must have a template
        self._inherited = [vars(base)["__template__"] for base in self._bases if base is not object]
        self.names: tuple[str, ...] = tuple(self._annotations)
        for template in self._inherited:
            self.names = template.names + self.names

    def build(self) -> type:
        """Return the class with slots, and with placeholders for the attributes generated later."""
        fields = self._annotations
        body = {key: value for key, value in self._namespace.items() if key not in fields}
        body |= {"__slots__": tuple(fields), "__template__": self}
        for name in ("__init__", *self._generated()):
            body.setdefault(name, _Placeholder(self, name))
        self._cls = self._metaclass(self._name, self._bases, body)
        return self._cls

    def _generated(self) -> Iterator[str]:
        """Yield the names of the attributes that the standard library generates."""
        yield from ("__dataclass_fields__", "__dataclass_params__", "__match_args__", "__repr__")
        if self._options.get("frozen"):
            yield from ("__setattr__", "__delattr__", "__getstate__", "__setstate__")
        if self._options.get("order"):
            yield from ("__lt__", "__le__", "__gt__", "__ge__")
        if self._options.get("eq", True):
            yield "__eq__"
            if self._options.get("frozen") or self._options.get("unsafe_hash"):
                yield "__hash__"

    def generate(self, name: str) -> Any:
        """Replace the placeholder *name*, and return the new value.

        Nearly all objects need ``__init__``, and few need more, so all others are generated
        together.
        """
        if name == "__init__":
            self._cls.__init__ = self._initializer()  # type: ignore[misc]
        else:
            standard = vars(self._standard())
            for each in self._generated():
                if isinstance(vars(self._cls)[each], _Placeholder):
                    setattr(self._cls, each, standard[each])
        return vars(self._cls)[name]

    def _standard(self) -> type:
        """Return the class as the standard library decorates it."""
        # without a docstring, the standard library would format the signature as one
        namespace = {"__doc__": "", **self._namespace}
        cls = self._metaclass(self._name, self._bases, namespace)
        return standard_dataclass(init=False, slots=True, **self._options)(cls)

    def _initializer(self) -> Any:
        """Compile ``__init__``."""
        assign = "_set(self, {0!r}, {1})" if self._options.get("frozen") else "self.{0} = {1}"
        scope: dict[str, Any] = {"_set": object.__setattr__, "_missing": MISSING}
        parameters, keywords, body = ["self"], ["*"], []
        for name, spec, keyword_only in self._fields():
            parameter, value = name, name
            if spec.default is not MISSING:
                scope[f"_{name}"] = spec.default
                parameter = f"{name}=_{name}"
            elif spec.default_factory is not MISSING:
                scope[f"_{name}"] = spec.default_factory
                parameter = f"{name}=_missing"
                value = f"_{name}() if {name} is _missing else {name}"
            (keywords if keyword_only else parameters).append(parameter)
            body.append(assign.format(name, value))
        if hasattr(self._cls, "__post_init__"):
            body.append("self.__post_init__()")
        signature = ", ".join(parameters + keywords[: len(keywords) * (len(keywords) > 1)])
        function = f" def __init__({signature}):\n  " + "\n  ".join(body or ["pass"])
        made: dict[str, Any] = {}
        # with the globals of the module, tools can resolve the annotations
        module = vars(sys.modules[self._cls.__module__])
        exec(f"def make({', '.join(scope)}):\n{function}\n return __init__", module, made)
        initializer = made["make"](**scope)
        initializer.__qualname__ = f"{self._cls.__qualname__}.__init__"
        initializer.__annotations__ = {**self._all_annotations(), "return": None}
        return initializer

    def _all_annotations(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for template in self._inherited:
            found |= template._all_annotations()
        return found | self._annotations

    def _fields(self) -> Iterator[tuple[str, Field[Any], bool]]:
        """Yield the name of each field, its definition, and True if it is keyword-only."""
        for template in self._inherited:
            yield from template._fields()
        for name in self._annotations:
            value = self._namespace.get(name, MISSING)
            spec = value if isinstance(value, Field) else field(default=value)
            own = spec.kw_only is not MISSING
            yield name, spec, bool(spec.kw_only if own else self._options.get("kw_only"))


class _Placeholder:
    """Stands for an attribute of a class until it is needed; then the template generates it."""

    def __init__(self, template: _Template, name: str) -> None:
        self._template, self._name = template, name

    def __get__(self, instance: object, owner: type) -> Any:
        value = self._template.generate(self._name)
        return value.__get__(instance, owner) if hasattr(value, "__get__") else value
