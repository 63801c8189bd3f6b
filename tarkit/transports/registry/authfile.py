"""Read ``auth.json`` of containers (containers-auth.json(5)) and ``config.json`` of Docker."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tarkit.errors import MalformedError, PathNotFoundError, TransportError, UsageError
from tarkit.image.document import JSON, get_object, get_string, parse_object
from tarkit.streams.chunks import read_bounded
from tarkit.streams.files import home_directory
from tarkit.streams.os_errors import os_errors
from tarkit.transports.registry import helper
from tarkit.transports.registry.credentials import Credentials
from tarkit.transports.registry.endpoint import DOCKER_HUB, DOCKER_HUB_API
from tarkit.values import dataclass

_LIMIT = 4 << 20
_HUB_NAMES = (DOCKER_HUB, f"index.{DOCKER_HUB}", DOCKER_HUB_API)
DOCKER_HUB_KEY = f"https://index.{DOCKER_HUB}/v1/"
"""The name of Docker Hub in Docker's helpers and files."""


@dataclass(frozen=True, slots=True)
class AuthFile:
    """The parsed contents of a credential file."""

    path: Path
    document: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> AuthFile:
        """Read *path*; raise :class:`MalformedError`, without quoting it, if it is invalid."""
        with os_errors(path), path.open("rb") as file:
            data = read_bounded(file, _LIMIT, where=str(path))
        try:
            document = parse_object(data, where=str(path), limit=_LIMIT) if data.strip() else {}
        except MalformedError:
            raise MalformedError("not a JSON file of credentials", where=str(path)) from None
        return cls(path, document)

    def find(self, repository: str) -> Credentials | None:
        """Return the credentials for *repository* from helpers or the file; prefer longer keys."""
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
        """Return the name of the credential helper for *domain*, or an empty string."""
        helpers = self.entries("credHelpers")
        names = (get_string(helpers, key, where=str(self.path)) for key in _domain_keys(domain))
        return next((name for name in names if name), "")

    def entries(self, key: str) -> JSON:
        """Return the object under *key*, such as ``auths``; empty if it is missing."""
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
    """Return the credentials for *repository* (``host/path``) from *authfile* or the default files.

    If *authfile* or ``REGISTRY_AUTH_FILE`` names a file, only that file is read, and it must exist.
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


def require_file(authfile: Path | None) -> None:
    """Raise :class:`TransportError` if *authfile* is given and missing.

    Otherwise a mistyped name would stay unnoticed until a registry asks for credentials.
    """
    if authfile is not None and not authfile.exists():
        raise TransportError("no such credentials file", where=str(authfile))


def default_path(authfile: Path | None) -> Path:
    """Return the file that a login writes: *authfile*, ``REGISTRY_AUTH_FILE``, or containers' own.

    Raises :class:`UsageError` if a home directory is needed but does not exist.
    """
    for path, _ in _candidates(authfile):
        return path
    raise UsageError("no home directory for credentials", hint="name a file with --authfile")


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
    """Return the directory in the environment *variable*, or *name* in the home directory."""
    if named := os.environ.get(variable):
        return Path(named)
    home = home_directory()
    return home and home / name


def _keys(repository: str) -> Iterator[str]:
    """Yield the keys that match *repository*, longest first: ``host/a/b``, ``host/a``, ``host``."""
    name = repository
    while "/" in name:
        yield name
        name = name.rpartition("/")[0]
    yield from _domain_keys(name)


def _domain_keys(domain: str) -> tuple[str, ...]:
    return (*_HUB_NAMES, DOCKER_HUB_KEY) if domain == DOCKER_HUB else (domain,)


def _host_of(key: str) -> str:
    """Return the host if *key* covers all of it, or an empty string.

    Such keys are ``https://host/any/path``, ``host/``, ``host/v1/`` and ``host/v2/``. Docker matches
    any key by its host; here, other paths without a scheme are a namespace.
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
    """Return the names of *domain* in a helper: Docker Hub is stored under its old address."""
    return (DOCKER_HUB_KEY, DOCKER_HUB) if domain == DOCKER_HUB else (domain,)
