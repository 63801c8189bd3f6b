"""The list format of ``skopeo sync``: registries, their images, and the tags of each image."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tarkit.errors import MalformedError, UsageError
from tarkit.image.reference import Reference
from tarkit.syncing.items import Item, Repository, in_registry
from tarkit.syncing.semver import Constraint, Version
from tarkit.transports.location import Location, Transport
from tarkit.transports.registry.credentials import Credentials
from tarkit.transports.registry.options import RegistryOptions
from tarkit.values import replace

_KEYS = frozenset(
    ("images", "images-by-tag-regex", "images-by-semver", "credentials", "tls-verify", "cert-dir")
)


def parse_registry(
    name: str, settings: object, base: RegistryOptions | None, where: str
) -> Iterator[Item | Repository]:
    """Yield the images of the registry *name*; *base* are the default connection options.

    Raises :class:`MalformedError` if *settings* are invalid, or contain an unknown key.
    """
    where = f"{where}: {name}"
    document = _mapping(settings, where)
    unknown = sorted(set(document) - _KEYS)
    if unknown:
        raise MalformedError(f"unknown key {unknown[0]!r}", where=where)
    options = _options(document, base or RegistryOptions(), where)
    for path, tags in _mapping(document.get("images", {}), where).items():
        location = _repository(name, path, where)
        if not isinstance(tags, list):
            if tags:
                raise MalformedError(f"the tags of {path} are not a list", where=where)
            tags = []
        if not tags:
            yield Repository(location, lambda tag: True, options)
        for tag in tags:
            yield in_registry(_tagged(location, tag, where), options)
    for path, pattern in _mapping(document.get("images-by-tag-regex", {}), where).items():
        yield Repository(_repository(name, path, where), _regex(pattern, where), options)
    for path, text in _mapping(document.get("images-by-semver", {}), where).items():
        yield Repository(_repository(name, path, where), _semver(text, where), options)


def _mapping(value: object, where: str) -> Mapping[str, Any]:
    if value in ("", None):  # an empty value in YAML
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise MalformedError("not a mapping", where=where)
    return value


def _options(document: Mapping[str, Any], base: RegistryOptions, where: str) -> RegistryOptions:
    if login := _mapping(document.get("credentials", {}), where):
        user, password = login.get("username"), login.get("password")
        if not isinstance(user, str) or not isinstance(password, str):
            raise MalformedError("credentials need a username and a password", where=where)
        base = replace(base, credentials=Credentials(user, password, origin=where))
    if "tls-verify" in document:
        base = replace(base, tls_verify=_boolean(document["tls-verify"], where))
    if "cert-dir" in document:
        base = replace(base, cert_dir=Path(str(document["cert-dir"])))
    return base


def _boolean(value: object, where: str) -> bool:
    known = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
    text = str(value).lower()
    if text not in known:
        raise MalformedError("tls-verify is neither true nor false", where=where)
    return known[text]


def _repository(registry: str, path: str, where: str) -> Location:
    try:
        reference = Reference.parse(f"{registry}/{path}")
    except UsageError as error:
        error.where = where
        raise
    if reference.tag or reference.digest:
        raise MalformedError(f"{path!r} has a tag; list the tags below it", where=where)
    return Location(Transport.REGISTRY, reference.repository)


def _tagged(repository: Location, tag: object, where: str) -> Location:
    if not isinstance(tag, str) or not tag:
        raise MalformedError(f"the tags of {repository.path} are not texts", where=where)
    mark = "@" if ":" in tag else ":"
    return Location.parse(f"docker://{repository.path}{mark}{tag}")


def _regex(pattern: object, where: str) -> Callable[[str], bool]:
    try:
        expression = re.compile(str(pattern))
    except re.error as error:
        raise MalformedError(
            f"invalid pattern {str(pattern)[:200]!r}: {error}", where=where
        ) from None
    return lambda tag: expression.search(tag) is not None


def _semver(text: object, where: str) -> Callable[[str], bool]:
    try:
        constraint = Constraint.parse(str(text))
    except UsageError as error:
        error.where = where
        raise

    def wanted(tag: str) -> bool:
        version = Version.parse(tag)
        return version is not None and constraint.allows(version)

    return wanted
