"""Frontends by name: programs of the engine, such as that of Dockerfiles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path

from tarkit.errors import PathNotFoundError, UnsupportedError
from tarkit.gateway.building import BuildFunc
from tarkit.gateway.client import Client
from tarkit.gateway.requests import SolveRequest
from tarkit.gateway.result import Result
from tarkit.values import dataclass

_DOCKERFILE = "dockerfile.v0"


@dataclass(frozen=True, slots=True)
class FrontendCall:
    """The build of a directory by a frontend: ``function``, and the directories and options it needs."""

    function: BuildFunc
    local: Mapping[str, Path] = field(default_factory=dict)
    opts: Mapping[str, str] = field(default_factory=dict)


def frontend_call(program: str, name: str | None, engine: str) -> FrontendCall | None:
    """Return the call of the frontend *name* for *program*, a directory or a Dockerfile.

    Without *name*, a file whose name begins or ends with "Dockerfile" is one for ``dockerfile.v0``,
    and anything else is no call: None. Raises :class:`~tarkit.errors.UnsupportedError` for the local
    engine, which has no frontends by name, and :class:`~tarkit.errors.PathNotFoundError`.
    """
    path = Path(program)
    if name is None and not path.name.startswith("Dockerfile") and path.suffix != ".Dockerfile":
        return None
    if engine == "local":
        raise UnsupportedError(
            "the local engine has no frontends", where=program[:200],
            hint="name a BuildKit daemon with --engine",
        )  # fmt: skip
    if not path.exists():
        raise PathNotFoundError("no such file or directory", where=program[:200])
    directory = path if path.is_dir() else path.parent
    opts = {} if path.is_dir() else {"filename": path.name}
    chosen = name or _DOCKERFILE

    def call(client: Client) -> Result:
        options = client.build_opts().opts
        return client.solve(SolveRequest(frontend=chosen, frontend_opt=options))

    return FrontendCall(call, {"context": directory, "dockerfile": directory}, opts)
