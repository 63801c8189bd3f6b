"""Log in and out: check credentials at the registry and store them in a file or helper."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tarkit.errors import NotFoundError, PathNotFoundError
from tarkit.streams.atomic import atomic_file
from tarkit.streams.directory import Directory
from tarkit.streams.locking import locked_directory
from tarkit.streams.os_errors import os_errors
from tarkit.transports.registry import helper
from tarkit.transports.registry.authfile import AuthFile, default_path, helper_servers
from tarkit.transports.registry.client import RegistryClient
from tarkit.transports.registry.credentials import TOKEN_USER, Credentials
from tarkit.transports.registry.options import RegistryOptions

_PRIVATE = 0o600


def login(domain: str, credentials: Credentials, options: RegistryOptions) -> str:
    """Store *credentials* for *domain* if the registry accepts them; return the file or helper.

    Otherwise raises :class:`~tarkit.errors.AuthenticationError` and stores nothing.
    """
    with RegistryClient(domain, options, credentials=lambda: credentials) as client:
        client.check_login()
    path = default_path(options.authfile)
    name = _read(path).helper(domain)
    if name:
        helper.store(name, helper_servers(domain)[0], credentials)
        return f"docker-credential-{name}"
    _rewrite(path, domain, _entry(credentials))
    return str(path)


def logout(domain: str, authfile: Path | None = None) -> str:
    """Delete the credentials for *domain*; return the file or helper that stored them.

    Raises :class:`~tarkit.errors.NotFoundError` if there are none.
    """
    path = default_path(authfile)
    file = _read(path)
    name = file.helper(domain)
    if name and helper.erase(name, helper_servers(domain)[0]):
        return f"docker-credential-{name}"
    if domain not in file.entries("auths"):
        raise NotFoundError(f"not logged in to {domain}", where=str(path))
    _rewrite(path, domain, None)
    return str(path)


def _entry(credentials: Credentials) -> Mapping[str, str]:
    if credentials.identity_token:
        token = Credentials(TOKEN_USER)
        return {"auth": token.basic, "identitytoken": credentials.identity_token}
    return {"auth": credentials.basic}


def _read(path: Path) -> AuthFile:
    try:
        return AuthFile.read(path)
    except PathNotFoundError:
        return AuthFile(path, {})


def _rewrite(path: Path, domain: str, entry: Mapping[str, str] | None) -> None:
    """Set or delete one entry and keep the others; only the owner can read the file."""
    path = path.resolve()  # replace the file behind a symbolic link, not the link
    with os_errors(path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory = Directory.open(path.parent)
    with directory, locked_directory(directory):
        file = _read(path)
        auths: dict[str, Any] = file.entries("auths") | ({domain: entry} if entry else {})
        if entry is None:
            auths.pop(domain, None)
        document = {**file.document, "auths": auths}
        with atomic_file(path, mode=_PRIVATE) as output:
            output.write(json.dumps(document, indent="\t", ensure_ascii=False).encode() + b"\n")
