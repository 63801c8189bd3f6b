"""Set the runtime fields of a config, as the instructions of a Dockerfile do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tarkit.errors import UsageError
from tarkit.image.document import JSON
from tarkit.image.platform import Platform
from tarkit.values import dataclass

_PORT = re.compile(r"[0-9]{1,5}(-[0-9]{1,5})?(/(tcp|udp|sctp))?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Changes to a config; None leaves a field as it is.

    See :meth:`tarkit.building.builder.ImageBuilder.configure`. Raises
    :class:`~tarkit.errors.UsageError` if a value is invalid.
    """

    env: Mapping[str, str] | None = None
    entrypoint: Sequence[str] | None = None
    cmd: Sequence[str] | None = None
    user: str | None = None
    workdir: str | None = None
    labels: Mapping[str, str] | None = None
    ports: Iterable[str | int] | None = None
    volumes: Iterable[str] | None = None
    platform: Platform | None = None

    def __post_init__(self) -> None:
        for name in ("entrypoint", "cmd", "ports", "volumes"):
            if isinstance(getattr(self, name), str):
                raise UsageError(f"{name} is text", hint="pass a list")
        for key in self.env or ():
            if not key or "=" in key:
                raise UsageError(f"invalid name of an environment variable: {key!r}")
        for path in (*(self.volumes or ()), *([self.workdir] if self.workdir else [])):
            if not path.startswith("/"):
                raise UsageError(f"not an absolute path in the image: {path!r}")
        for port in self.ports or ():
            if not _PORT.fullmatch(str(port)):
                raise UsageError(f"invalid port {port!r}", hint="write 8080 or 8080/udp")

    def apply(self, document: JSON) -> Iterator[str]:
        """Change *document*, a config, and yield the instructions of a Dockerfile that do the same."""
        if self.platform is not None:
            _set_platform(document, self.platform)
        runtime: dict[str, Any] = dict(document.get("config") or {})
        document["config"] = runtime
        if self.env is not None:
            runtime["Env"] = _merged_env(runtime.get("Env") or [], self.env)
            yield from (f"ENV {key}={value}" for key, value in self.env.items())
        if self.entrypoint is not None:
            runtime["Entrypoint"] = list(self.entrypoint)
            runtime.pop("Cmd", None)  # it was made for another program
            yield f"ENTRYPOINT {json.dumps(runtime['Entrypoint'])}"
        if self.cmd is not None:
            runtime["Cmd"] = list(self.cmd)
            yield f"CMD {json.dumps(runtime['Cmd'])}"
        if self.user is not None:
            runtime["User"] = self.user
            yield f"USER {self.user}"
        if self.workdir is not None:
            runtime["WorkingDir"] = self.workdir
            yield f"WORKDIR {self.workdir}"
        if self.labels is not None:
            runtime["Labels"] = {**(runtime.get("Labels") or {}), **self.labels}
            yield from (f"LABEL {key}={value}" for key, value in self.labels.items())
        if self.ports is not None:
            ports = [str(port) if "/" in str(port) else f"{port}/tcp" for port in self.ports]
            yield from _add_to_set(runtime, "ExposedPorts", "EXPOSE", ports)
        if self.volumes is not None:
            yield from _add_to_set(runtime, "Volumes", "VOLUME", list(self.volumes))


def _set_platform(document: JSON, platform: Platform) -> None:
    for key in ("os", "architecture", "variant", "os.version", "os.features"):
        document.pop(key, None)
    document |= platform.to_json()


def _merged_env(old: Sequence[str], new: Mapping[str, str]) -> list[str]:
    merged = dict(entry.partition("=")[::2] for entry in old) | dict(new)
    return [f"{key}={value}" for key, value in merged.items()]


def _add_to_set(
    runtime: dict[str, Any], field: str, instruction: str, values: Sequence[str]
) -> Iterator[str]:
    """Add *values* to the set *field*, which Go writes as an object of empty objects."""
    old = runtime.get(field) or {}
    runtime[field] = dict(sorted({**old, **{value: {} for value in values}}.items()))
    yield f"{instruction} {' '.join(values)}"
