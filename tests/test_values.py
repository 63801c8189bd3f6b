"""tarkit's data classes behave like those of the standard library."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import inspect
import pickle
from collections.abc import Callable, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

import pytest

import tarkit
from tarkit.image.digest import Digest
from tarkit.image.platform import Platform
from tarkit.values import dataclass, replace

ROOT = Path(tarkit.__file__).parent


def tarkit_classes() -> list[type]:
    """Return all classes of tarkit that the decorator made."""
    found: dict[type, None] = {}
    for path in sorted(ROOT.rglob("*.py")):
        name = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
        if not name.endswith("__"):
            module = importlib.import_module(name)
            found |= {
                cls: None
                for cls in vars(module).values()
                if isinstance(cls, type) and "__template__" in vars(cls)
            }
    return list(found)


def standard(cls: type) -> type:
    """Return *cls* as the standard library decorates it."""
    template: Any = vars(cls)["__template__"]
    plain = type(cls)(cls.__name__, cls.__bases__, dict(template._namespace))
    return dataclasses.dataclass(slots=True, **template._options)(plain)


def shape(cls: type) -> dict[str, Any]:
    """Return all that a data class shows of itself."""
    parameters = inspect.signature(cls).parameters.values()
    has = ("__eq__", "__hash__", "__lt__", "__repr__", "__setattr__", "__getstate__")
    missing: Callable[[Any], Any] = lambda p: "factory" if "factory" in repr(p) else p  # noqa: E731
    return {
        "parameters": [(p.name, p.kind, p.annotation) for p in parameters],
        "defaults": [p.default is not p.empty for p in parameters],
        "fields": [
            (f.name, f.type, f.default, f.default_factory, f.repr, f.hash, f.compare, f.kw_only)
            for f in dataclasses.fields(cls)
        ],
        "slots": vars(cls)["__slots__"],
        "match": vars(cls)["__match_args__"],
        "params": missing(
            repr(vars(cls)["__dataclass_params__"]).replace("init=False", "init=True")
        ),
        "methods": {name: vars(cls).get(name) is not None for name in has},
        "hashable": cls.__hash__ is not None,
    }


@pytest.mark.parametrize("cls", tarkit_classes(), ids=lambda cls: cls.__qualname__)
def test_a_class_has_the_shape_that_the_standard_library_gives_it(cls: type) -> None:
    assert shape(cls) == shape(standard(cls))


@dataclass(frozen=True, slots=True, order=True)
class Point:
    x: int
    y: int = 0
    notes: Mapping[str, str] = field(default_factory=dict, hash=False, compare=False)


@dataclass(frozen=True, slots=True)
class Named(Point):
    name: str = ""


@dataclass(slots=True, kw_only=True)
class Counter:
    count: int = 0
    doubled: int = 0

    def __post_init__(self) -> None:
        self.doubled = 2 * self.count


def test_values_are_equal_if_their_compared_fields_are() -> None:
    assert Point(1, 2) == Point(1, 2, {"a": "b"})
    assert Point(1) != Point(2)
    fields: object = (1, 0, {})
    assert Point(1) != fields
    assert len({Point(1), Point(1, 0), Point(1, 1)}) == 2
    assert sorted([Point(2), Point(1, 5), Point(1)]) == [Point(1), Point(1, 5), Point(2)]


def test_default_factories_are_called_for_each_object() -> None:
    assert Point(1).notes is not Point(1).notes


def test_a_frozen_object_cannot_change() -> None:
    point = Point(1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        point.x = 2  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        del point.x
    assert point == Point(1)


def test_a_base_comes_first() -> None:
    named = Named(1, 2, {}, "a")
    assert (named.x, named.y, named.name) == (1, 2, "a")
    assert repr(named) == "Named(x=1, y=2, notes={}, name='a')"
    assert named != Point(1, 2)


def test_mutable_classes_with_keywords_and_a_post_init() -> None:
    counter = Counter(count=2)
    assert counter.doubled == 4
    counter.count = 3
    assert counter.count == 3
    with pytest.raises(TypeError):
        Counter(2)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        hash(counter)


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(
        TypeError, match=r"__init__\(\) missing 1 required positional argument: 'x'"
    ):
        Point()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected keyword argument 'z'"):
        Point(1, z=2)  # type: ignore[call-arg]


@pytest.mark.parametrize("change", [replace, dataclasses.replace])
def test_replacing_fields(change: Callable[..., Any]) -> None:
    assert change(Named(1, name="a"), x=2) == Named(2, name="a")
    with pytest.raises(TypeError):
        change(Point(1), z=2)


def test_values_can_be_copied_and_pickled() -> None:
    for value in (Digest.of(b"x"), Platform("linux", "arm64", "v8")):
        assert copy.copy(value) == copy.deepcopy(value) == value
        assert pickle.loads(pickle.dumps(value)) == value


def test_methods_are_generated_on_first_use() -> None:
    @dataclass(frozen=True, slots=True)
    class Fresh:
        x: int

    def placeholders() -> set[str]:
        return {name for name, value in vars(Fresh).items() if "Placeholder" in repr(type(value))}

    assert {"__init__", "__eq__", "__dataclass_fields__"} <= placeholders()
    value = Fresh(1)
    assert "__init__" not in placeholders()
    assert "__eq__" in placeholders()
    assert value == Fresh(1)
    assert placeholders() == set()


def test_classes_without_slots_are_left_to_the_standard_library() -> None:
    with pytest.raises(TypeError, match="standard library"):
        dataclass(slots=False)
