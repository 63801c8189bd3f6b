"""Read the contexts of Docker's command line: named daemons in ``~/.docker/contexts``."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tarkit.errors import MalformedError, NotFoundError, PathNotFoundError
from tarkit.image.document import JSON, METADATA_LIMIT, get_object, get_string, parse_object
from tarkit.streams.chunks import read_bounded
from tarkit.streams.os_errors import os_errors
from tarkit.values import dataclass

_DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Context:
    """The daemon of a context: its ``host``, and the directory of its TLS files, if it exists."""

    host: str
    skip_verify: bool
    tls_directory: Path


def current_context(config: Path, name: str | None = None) -> Context | None:
    """Return the context *name*, or the current one, from Docker's *config* directory.

    Return None for the default context. Raises :class:`NotFoundError` if the context is missing,
    and :class:`MalformedError` if it is invalid.
    """
    name = name or _current_name(config / "config.json")
    if name in ("", _DEFAULT):
        return None
    directory = hashlib.sha256(name.encode()).hexdigest()  # as Docker names the files
    path = config / "contexts" / "meta" / directory / "meta.json"
    document = _read(path)
    if document is None:
        raise NotFoundError(
            f"Docker has no context {name[:100]!r}",
            where=str(config / "contexts"),
            hint="'docker context ls' lists contexts; set DOCKER_CONTEXT or DOCKER_HOST",
        )
    where = str(path)
    endpoints = get_object(document, "Endpoints", where=where)
    docker = get_object(endpoints, "docker", where=where)
    host = get_string(docker, "Host", where=where)
    if not host:
        raise MalformedError("the context has no Docker host", where=where)
    return Context(
        host,
        skip_verify=docker.get("SkipTLSVerify") is True,
        tls_directory=config / "contexts" / "tls" / directory / "docker",
    )


def _current_name(path: Path) -> str:
    return get_string(_read(path) or {}, "currentContext", where=str(path))


def _read(path: Path) -> JSON | None:
    try:
        with os_errors(path), path.open("rb") as file:
            data = read_bounded(file, METADATA_LIMIT, where=str(path))
    except PathNotFoundError:
        return None
    return parse_object(data, where=str(path))
