"""Groups of options that several commands share, each declared once as a data class."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

from tarkit.values import dataclass


@dataclass(frozen=True, slots=True)
class Bundle:
    """Base of data classes whose fields are options; see :func:`expanded`.

    If ``prefixed``, the name of the parameter begins the names of its options.
    """

    prefixed = False


def expanded(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return *function* with each parameter that defaults to a bundle replaced by its options."""
    parameters = inspect.signature(function).parameters
    bundles = {
        name: parameter.default
        for name, parameter in parameters.items()
        if isinstance(parameter.default, Bundle)
    }
    options = {name: _options(name, bundle) for name, bundle in bundles.items()}

    @wraps(function)
    def command(**values: Any) -> Any:
        for name, bundle in bundles.items():
            fields = options[name].items()
            values[name] = type(bundle)(**{field: values.pop(o.name) for field, o in fields})
        return function(**values)

    flat: list[inspect.Parameter] = []
    for name, parameter in parameters.items():
        flat += options[name].values() if name in bundles else [parameter]
    # every value is passed by name, and a bundle may come before a required argument
    flat = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in flat]
    command.__dict__["__signature__"] = inspect.Signature(flat)
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in flat}
    return command if bundles else function


def _options(name: str, bundle: Bundle) -> dict[str, inspect.Parameter]:
    """Return the parameter for each field of *bundle*, the default of the parameter *name*."""
    prefix = f"{name}_" if bundle.prefixed else ""
    fields = inspect.signature(type(bundle)).parameters
    return {field: option.replace(name=prefix + field) for field, option in fields.items()}
