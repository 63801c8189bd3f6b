"""How a container of an image runs: the ``config`` object of an image config (config.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from tarkit.image.document import get_object, get_string, get_strings
from tarkit.values import dataclass


@dataclass(frozen=True, slots=True)
class Runtime:
    """The settings with which a container starts; all are optional.

    ``entrypoint`` and ``cmd`` are words, not joined for a shell. ``env`` holds ``NAME=value``.
    ``ports`` are ``port/protocol``, and ``volumes`` are paths.

    >>> with tarkit.open_image("fixtures/hello.tar") as image:
    ...     runtime = tarkit.Runtime.of(image.config.document)
    >>> runtime.cmd, runtime.env
    (('/bin/hello',), ('PATH=/bin',))
    """

    user: str = ""
    working_dir: str = ""
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()

    @classmethod
    def of(cls, document: Mapping[str, Any], *, where: str | None = None) -> Self:
        """Parse the runtime settings of the image config *document*; raises :class:`MalformedError`."""
        runtime = get_object(document, "config", where=where)
        return cls(
            user=get_string(runtime, "User", where=where),
            working_dir=get_string(runtime, "WorkingDir", where=where),
            entrypoint=_words(runtime, "Entrypoint", where),
            cmd=_words(runtime, "Cmd", where),
            env=get_strings(runtime, "Env", where=where),
            ports=tuple(sorted(get_object(runtime, "ExposedPorts", where=where))),
            volumes=tuple(sorted(get_object(runtime, "Volumes", where=where))),
        )


def _words(runtime: Mapping[str, Any], key: str, where: str | None) -> tuple[str, ...]:
    """Return a command; Docker also reads a string as its only word."""
    value = runtime.get(key)
    return (value,) if isinstance(value, str) else get_strings(runtime, key, where=where)
