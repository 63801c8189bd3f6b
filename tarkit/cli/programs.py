"""Users' Python files that define builds."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from traceback import walk_tb
from types import ModuleType
from typing import Any, NoReturn

from tarkit.errors import PathNotFoundError, RefusedError, TarkitError, UsageError
from tarkit.gateway.building import BuildFunc
from tarkit.gateway.client import Client
from tarkit.llb.state import State
from tarkit.values import dataclass

_DEFAULT = "build"


@dataclass(frozen=True, slots=True)
class Program:
    """The function of a user's file that defines a build, and whether it wants a client."""

    filename: str
    function: Callable[..., object]

    @property
    def wants_client(self) -> bool:
        """Whether the function takes a client."""
        return bool(inspect.signature(self.function).parameters)

    def call(self, *arguments: object) -> object:
        """Call the function; raise UsageError with the line of the file where it failed."""
        try:
            return self.function(*arguments)
        except TarkitError:
            raise
        except Exception as error:  # noqa: BLE001  the file may raise anything
            _fail(self.filename, error)

    def state(self) -> State:
        """Return the state that the function returns.

        Raises UsageError if it returns something else, and RefusedError if it uses the client,
        which exists only while something is built.
        """
        result = self.call(*([_NoClient()] if self.wants_client else []))
        if not isinstance(result, State):
            kind = type(result).__name__
            raise UsageError(f"the function returned {kind}, not a state", where=self.filename)
        return result


class _NoClient:
    """Stands for the client of a function whose definition is only printed."""

    def __getattr__(self, name: str) -> NoReturn:
        raise RefusedError(f"the build uses client.{name}, so it cannot be printed")


def function_of(program: Program) -> BuildFunc:
    """Return the program's function as one that takes a client."""

    def build(client: Client) -> Any:
        return program.call(*([client] if program.wants_client else []))

    return build


def load_program(text: str) -> Program:
    """Execute the file in *text*, ``FILE.py[:FUNCTION]``, and return its function.

    Raises PathNotFoundError if the file does not exist, and UsageError if it fails or lacks the
    function.
    """
    filename, _, name = text.rpartition(":") if not text.endswith(".py") else (text, "", "")
    filename, name = (filename, name) if filename else (text, "")
    module = _execute(filename)
    function = getattr(module, name or _DEFAULT, None)
    if not callable(function):
        known = [each for each, value in vars(module).items() if inspect.isfunction(value)]
        hint = f"functions: {', '.join(known)}" if known else None
        raise UsageError(f"no function {name or _DEFAULT!r}", where=filename, hint=hint)
    return Program(filename, function)


def _execute(filename: str) -> ModuleType:
    path = Path(filename)
    try:
        source = path.read_bytes()
    except FileNotFoundError:
        raise PathNotFoundError("no such file", where=filename) from None
    module: Any = ModuleType(f"build_of_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses look up their module
    sys.path.insert(0, str(path.absolute().parent))  # as python itself does, for imports
    try:
        exec(compile(source, str(path), "exec"), vars(module))
    except TarkitError:
        raise
    except Exception as error:  # noqa: BLE001  the file may raise anything
        _fail(filename, error)
    return module  # type: ignore[no-any-return]


def _fail(filename: str, error: Exception) -> NoReturn:
    """Raise a UsageError that names the innermost line of *filename* that is involved."""
    path = str(Path(filename))
    lines = [n for frame, n in walk_tb(error.__traceback__) if frame.f_code.co_filename == path]
    if isinstance(error, SyntaxError) and error.filename == path and error.lineno:
        lines.append(error.lineno)
    where = f"{filename}:{lines[-1]}" if lines else filename
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    raise UsageError(f"{type(error).__name__}: {text}", where=where) from error
