"""References: names of images, normalized like Docker (distribution/reference).

``busybox`` is short for ``docker.io/library/busybox:latest``. The grammar::

    reference  domain/path[:tag][@digest]
    domain     host[:port]; the host is a DNS name or an [IPv6] address
    path       components of [a-z0-9], joined by '.', '_', '__' or dashes, separated by '/'
    tag        [A-Za-z0-9_][A-Za-z0-9_.-]{0,127}
"""

from __future__ import annotations

import re
from typing import Self

from tarkit.errors import TarkitError, UsageError
from tarkit.image.digest import Digest
from tarkit.patterns import lazy_pattern
from tarkit.values import dataclass, replace

_DEFAULT_DOMAIN = "docker.io"
_LEGACY_DOMAIN = "index.docker.io"
_OFFICIAL = "library/"

_PATH_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_DOMAIN_COMPONENT = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_PATH = lazy_pattern(rf"{_PATH_COMPONENT}(?:/{_PATH_COMPONENT})*", re.ASCII)
_DOMAIN = lazy_pattern(
    rf"(?:{_DOMAIN_COMPONENT}(?:\.{_DOMAIN_COMPONENT})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?", re.ASCII
)
_TAG = lazy_pattern(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)
# Tells a mistyped digest from a password.
_LIKE_A_DIGEST = lazy_pattern(r"(?:sha|md5|blake)[a-z0-9+._-]*:[a-zA-Z0-9=_-]*$", re.ASCII)
_IDENTIFIER = lazy_pattern(r"[a-f0-9]{64}", re.ASCII)  # distribution reserves these names
_PATH_LIMIT = 255


@dataclass(frozen=True, slots=True)
class Reference:
    """The name of an image: ``domain`` and ``path``, with optional ``tag`` and ``digest``.

    >>> str(tarkit.Reference.parse("alpine:3"))
    'docker.io/library/alpine:3'
    """

    domain: str
    path: str
    tag: str = ""
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a full or short name; raise :class:`UsageError` if it violates the grammar."""
        if _IDENTIFIER.fullmatch(text):
            raise UsageError(f"{text!r} is an image ID, not a name")
        rest, _, digest_text = text.partition("@")
        if "@" in text and not _LIKE_A_DIGEST.match(digest_text):
            raise UsageError(  # without *text*, which may contain a password
                "malformed image name: '@' must be followed by a digest",
                hint="image names cannot contain credentials",
            )
        tag = ""
        colon = rest.rfind(":")  # a colon before the last slash precedes a port
        if colon > rest.rfind("/"):
            rest, tag = rest[:colon], rest[colon + 1 :]
            if not is_tag(tag):
                raise UsageError(f"malformed tag in the image name {text[:300]!r}")
        domain, path = _split_domain(rest)
        if not _DOMAIN.fullmatch(domain) or not _PATH.fullmatch(path):
            lowered = rest != rest.lower()
            raise UsageError(
                f"malformed image name {text[:300]!r}",
                hint="repository names must be lower case" if lowered else None,
            )
        if len(path) > _PATH_LIMIT:
            raise UsageError(f"image name longer than {_PATH_LIMIT} characters: {path[:60]!r}…")
        return cls(domain, path, tag, _digest(digest_text, text) if "@" in text else None)

    @property
    def repository(self) -> str:
        """The name without tag and digest, such as ``docker.io/library/busybox``."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar(self) -> str:
        """The shortest equivalent name, such as ``busybox:latest``."""
        # "library/" is implied only directly below the domain: "library/a/b" stays.
        short = self.path.removeprefix(_OFFICIAL) if self.path.count("/") == 1 else self.path
        is_enough = _split_domain(short) == (self.domain, self.path)
        return (short if is_enough else self.repository) + self._suffix()

    def tagged(self) -> Self:
        """Return this name, with the tag ``latest`` if it has neither a tag nor a digest."""
        return self if self.tag or self.digest else replace(self, tag="latest")

    def _suffix(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{tag}@{self.digest}" if self.digest else tag

    def __str__(self) -> str:
        return self.repository + self._suffix()


def is_path(text: str) -> bool:
    """Return True if *text* is the path of a repository, without a registry's host."""
    return len(text) <= _PATH_LIMIT and _PATH.fullmatch(text) is not None


def is_tag(text: str) -> bool:
    """Return True if *text* is a valid tag, such as ``latest`` or ``1.0-``."""
    return _TAG.fullmatch(text) is not None


def _split_domain(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    # Docker's rule: the first component is a domain unless it can be part of a path on Docker Hub.
    is_domain = slash and (
        "." in first or ":" in first or first == "localhost" or first != first.lower()
    )
    domain, path = (first, rest) if is_domain else (_DEFAULT_DOMAIN, name)
    if domain == _LEGACY_DOMAIN:
        domain = _DEFAULT_DOMAIN
    if domain == _DEFAULT_DOMAIN and "/" not in path:
        path = _OFFICIAL + path
    return domain, path


def _digest(text: str, whole: str) -> Digest:
    try:
        return Digest.parse(text)
    except TarkitError as error:
        raise UsageError(f"{error.message} in the image name {whole[:300]!r}") from None
