"""Contexts, as Docker's command line keeps them: named daemons below ``~/.docker/contexts``."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from tarkit.errors import MalformedError, NotFoundError, PathNotFoundError
from tarkit.image.document import JSON, METADATA_LIMIT, get_object, get_string, parse_object
from tarkit.streams.chunks import read_bounded
from tarkit.streams.os_errors import os_errors

_DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Context:
    """A context's daemon: its *host*, and the directory that has its TLS files where it wants TLS."""

    host: str
    skip_verify: bool
    tls_directory: Path


def current_context(config: Path, name: str | None = None) -> Context | None:
    """The context called *name*, or else the current one of *config*, Docker's directory; ``None`` for the default.

    Raises :class:`NotFoundError` where it is not there, and :class:`MalformedError`.
    """
    name = name or _current_name(config / "config.json")
    if name in ("", _DEFAULT):
        return None
    directory = hashlib.sha256(name.encode()).hexdigest()  # Docker's own file names for contexts
    path = config / "contexts" / "meta" / directory / "meta.json"
    document = _read(path)
    if document is None:
        raise NotFoundError(
            f"Docker has no context {name[:100]!r}",
            where=str(config / "contexts"),
            hint="see 'docker context ls'; DOCKER_CONTEXT or DOCKER_HOST chooses another",
        )
    where = str(path)
    endpoints = get_object(document, "Endpoints", where=where)
    docker = get_object(endpoints, "docker", where=where)
    host = get_string(docker, "Host", where=where)
    if not host:
        raise MalformedError("a context without a Docker host", where=where)
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
