"""Files of credentials: containers' ``auth.json`` and Docker's ``config.json`` (containers-auth.json(5))."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tarkit.errors import MalformedError, PathNotFoundError, UsageError
from tarkit.image.document import JSON, get_object, get_string, parse_object
from tarkit.streams.chunks import read_bounded
from tarkit.streams.files import home_directory
from tarkit.streams.os_errors import os_errors
from tarkit.transports.registry import helper
from tarkit.transports.registry.credentials import Credentials
from tarkit.transports.registry.endpoint import DOCKER_HUB, DOCKER_HUB_API

_LIMIT = 4 << 20
_HUB_NAMES = (DOCKER_HUB, f"index.{DOCKER_HUB}", DOCKER_HUB_API)
DOCKER_HUB_KEY = f"https://index.{DOCKER_HUB}/v1/"
"""What Docker's own helpers and files call Docker Hub."""


@dataclass(frozen=True, slots=True)
class AuthFile:
    """One file of credentials, read."""

    path: Path
    document: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> AuthFile:
        """Read *path*; raises :class:`PathNotFoundError` and, without any of its text, :class:`MalformedError`."""
        with os_errors(path), path.open("rb") as file:
            data = read_bounded(file, _LIMIT, where=str(path))
        try:
            document = parse_object(data, where=str(path), limit=_LIMIT) if data.strip() else {}
        except MalformedError:
            raise MalformedError("not a file of credentials in JSON", where=str(path)) from None
        return cls(path, document)

    def find(self, repository: str) -> Credentials | None:
        """What the file, or a helper it names, holds for *repository*, the longest name first."""
        domain = repository.partition("/")[0]
        if name := self.helper(domain):
            return _from_helper(name, domain)
        auths = self.entries("auths")
        of_host = (key for key in auths if _host_of(key) == domain)
        for key in (*_keys(repository), *of_host):
            if found := self._entry(get_object(auths, key, where=str(self.path))):
                return found
        store = get_string(self.document, "credsStore", where=str(self.path))
        return _from_helper(store, domain) if store else None

    def helper(self, domain: str) -> str:
        """The helper that keeps the credentials of *domain*, or an empty text."""
        helpers = self.entries("credHelpers")
        names = (get_string(helpers, key, where=str(self.path)) for key in _domain_keys(domain))
        return next((name for name in names if name), "")

    def entries(self, key: str) -> JSON:
        """The object under *key* (``auths``, ``credHelpers``), empty where there is none."""
        return get_object(self.document, key, where=str(self.path))

    def _entry(self, entry: JSON) -> Credentials | None:
        origin = str(self.path)
        token = get_string(entry, "identitytoken", where=origin)
        if token:
            return Credentials(identity_token=token, origin=origin)
        if encoded := get_string(entry, "auth", where=origin):
            return Credentials.from_basic(encoded, origin=origin) or None
        username = get_string(entry, "username", where=origin)
        password = get_string(entry, "password", where=origin)
        return Credentials(username, password, origin=origin) if username else None


def find_credentials(repository: str, authfile: Path | None) -> Credentials | None:
    """What to be at *repository* (``host/path``): from *authfile*, or wherever such files are.

    A file that was asked for, here or by ``REGISTRY_AUTH_FILE``, is the only one looked at.
    """
    for path, required in _candidates(authfile):
        try:
            file = AuthFile.read(path)
        except PathNotFoundError:
            if required:
                raise
            continue
        if found := file.find(repository):
            return found
    return None


def default_path(authfile: Path | None) -> Path:
    """The file that a login writes: *authfile*, ``REGISTRY_AUTH_FILE``, or containers' own.

    Raises :class:`UsageError` where there is no place for one.
    """
    for path, _ in _candidates(authfile):
        return path
    raise UsageError("no home directory to keep credentials in", hint="name a file with --authfile")


def _candidates(authfile: Path | None) -> Iterator[tuple[Path, bool]]:
    if authfile is not None:
        yield authfile, True
        return
    if asked := os.environ.get("REGISTRY_AUTH_FILE"):
        yield Path(asked), True
        return
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        yield Path(runtime) / "containers" / "auth.json", False
    if config := _directory("XDG_CONFIG_HOME", ".config"):
        yield config / "containers" / "auth.json", False
    if docker := _directory("DOCKER_CONFIG", ".docker"):
        yield docker / "config.json", False


def _directory(variable: str, name: str) -> Path | None:
    """What the environment *variable* names, or *name* in the home directory."""
    if named := os.environ.get(variable):
        return Path(named)
    home = home_directory()
    return home and home / name


def _keys(repository: str) -> Iterator[str]:
    """``host/a/b``, ``host/a``, ``host``: the names an entry for *repository* may have."""
    name = repository
    while "/" in name:
        yield name
        name = name.rpartition("/")[0]
    yield from _domain_keys(name)


def _domain_keys(domain: str) -> tuple[str, ...]:
    return (*_HUB_NAMES, DOCKER_HUB_KEY) if domain == DOCKER_HUB else (domain,)


def _host_of(key: str) -> str:
    """Return the host that all of *key* means: ``https://host/any/path``, ``host/``, ``host/v1/``, ``host/v2/``.

    Docker matches any key by its host; without a scheme, other paths are a namespace here.
    """
    scheme, _, rest = key.rpartition("://")
    host, _, path = rest.partition("/")
    if not scheme and path.rstrip("/") not in ("", "v1", "v2"):
        return ""
    return DOCKER_HUB if host in _HUB_NAMES else host


def _from_helper(name: str, domain: str) -> Credentials | None:
    found = (helper.get(name, server) for server in helper_servers(domain))
    return next((credentials for credentials in found if credentials), None)


def helper_servers(domain: str) -> tuple[str, ...]:
    """What *domain* is called in a helper: Docker Hub goes by its old address."""
    return (DOCKER_HUB_KEY, DOCKER_HUB) if domain == DOCKER_HUB else (domain,)
