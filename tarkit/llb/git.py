"""URLs of git repositories, as BuildKit names them."""

from __future__ import annotations

import re

from tarkit.llb.paths import join
from tarkit.patterns import lazy_pattern
from tarkit.values import dataclass

_SCHEME = lazy_pattern(r"([a-zA-Z0-9]+)://", re.ASCII)
_SCP = lazy_pattern(r"([a-zA-Z0-9_-]+)@([a-zA-Z0-9.-]+):(.*?)(?:#(.*))?", re.ASCII | re.DOTALL)
_SCHEMES = {"http", "https", "ssh", "git"}


@dataclass(frozen=True, slots=True)
class Remote:
    """A repository: its ``url`` for git, ``name`` in identifiers, and reference and directory.

    The name is the same for all protocols: host and path, without user.
    """

    url: str
    name: str
    is_ssh: bool = False
    host: str = ""
    fragment: str = ""


def parse_remote(url: str) -> Remote:
    """Parse *url*; https is assumed if it has no scheme. A malformed URL is its own name."""
    if match := _SCHEME.match(url):
        return _parse_url(url, match.group(1).lower())
    if match := _SCP.fullmatch(url):
        user, host, path, fragment = match.groups("")
        name = host + join("/", path)
        return Remote(f"{user}@{host}:{path}", name, True, host, fragment)
    return _parse_url(f"https://{url}", "https")


def _parse_url(url: str, scheme: str) -> Remote:
    from urllib.parse import unquote, urlsplit

    if scheme not in _SCHEMES:
        return Remote(url, url)
    try:
        parts = urlsplit(url)
    except ValueError:
        return Remote(url, url)
    host = parts.netloc.rpartition("@")[2]
    remote = url.partition("#")[0]
    name = host + join("/", unquote(parts.path))
    return Remote(remote, name, scheme == "ssh", host, parts.fragment)


def split_fragment(fragment: str) -> tuple[str, str]:
    """Return reference and subdirectory of ``reference:subdirectory``."""
    reference, _, subdirectory = fragment.partition(":")
    return reference, join("/", subdirectory).lstrip("/")
