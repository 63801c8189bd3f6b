"""Cache maps of sources, which depend on the content of the source at the time of a build."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tarkit.errors import UsageError
from tarkit.image.config import chain_ids
from tarkit.image.digest import Digest
from tarkit.image.platform import Platform
from tarkit.llb.messages import Op, SourceOp
from tarkit.llb.paths import clean
from tarkit.solver.keys.cache_map import CacheMap
from tarkit.solver.keys.digests import source_digest, text_digest
from tarkit.solver.keys.gojson import go_json
from tarkit.solver.keys.operations import vertex_platform
from tarkit.values import dataclass


def image_map(
    op: Op, digest: str, diff_ids: Sequence[Digest], *, platform: Platform | None = None
) -> CacheMap:
    """Return the cache map of an image, from a registry or a layout.

    *digest* is that of the index or manifest the reference resolves to, and *diff_ids* are those of
    the selected image's config. *platform* applies if the vertex names none. Raises UsageError if
    the layer limit is not a positive number.
    """
    limit = layer_limit(_source(op))
    wanted = vertex_platform(op, platform)
    optional = {
        "Variant": wanted.variant,
        "OSVersion": wanted.os_version,
        "OSFeatures": list(wanted.os_features),
        "Limit": limit,
    }
    document: dict[str, Any] = {
        "Digest": digest,
        "OS": wanted.os,
        "Arch": wanted.architecture,
    }
    document |= {name: value for name, value in optional.items() if value}
    keys = [text_digest(go_json(document))]
    keys += map(str, chain_ids(diff_ids[:limit])[-1:])
    return _map(keys, document)


def layer_limit(source: SourceOp) -> int | None:
    """Return the number of layers that an image is limited to, None without a limit.

    Raises UsageError if it is not a positive number.
    """
    text = source.attrs.get("image.layerlimit") or source.attrs.get("oci.layerlimit") or ""
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and int(text)):
        raise UsageError(f"layer limit {text[:80]!r} is not a positive number")
    return int(text)


def local_map(op: Op, session: str) -> CacheMap:
    """Return the cache map of a directory of a client: it means nothing outside the *session*.

    Only content keys make steps that read it cacheable.
    """
    source = _source(op)
    name = source.identifier.partition("://")[2]
    document = {"Name": name, "Session": session, "Attrs": dict(sorted(source.attrs.items()))}
    return _map([f"session:{name}:{text_digest(go_json(document))}"], document)


@dataclass(frozen=True, slots=True)
class Response:
    """The relevant parts of an HTTP response: the digest of the body and two headers.

    ``last_modified`` has the form ``Mon, 02 Jan 2006 15:04:05 GMT``; absent headers are empty.
    """

    digest: str
    last_modified: str = ""
    content_disposition: str = ""


def http_map(op: Op, response: Response | None = None) -> CacheMap:
    """Return the cache map of a file from an HTTP server.

    *response* is not needed, and ignored, if the source has a checksum: then no request is needed.
    Raises UsageError without either, or if a permission, owner or group is not a number.
    """
    source = _source(op)
    checksum = source.attrs.get("http.checksum", "")
    if checksum:
        response = Response(checksum)
    if response is None:
        raise UsageError(f"{source.identifier} has no checksum, so its key needs a response")
    document = {
        "Filename": http_filename(source, response.content_disposition),
        **_attributes(source),
        "Checksum": response.digest,
    }
    optional = {
        "LastModTime": response.last_modified,
        "AuthHeaderSecret": source.attrs.get("http.authheadersecret", ""),
        "Header": _headers(source.attrs),
    }
    document |= {name: value for name, value in optional.items() if value}
    return _map([text_digest(go_json(document))], document)


def http_filename(source: SourceOp, content_disposition: str = "") -> str:
    """Return the name of a file from an HTTP server: as given, from its header, or from the URL."""
    from urllib.parse import unquote, urlsplit

    given = source.attrs.get("http.filename", "") or _disposition_name(content_disposition)
    if given:
        return given
    try:
        path = unquote(urlsplit(source.identifier).path)
    except ValueError:
        path = ""
    name = posixpath.basename(path.rstrip("/"))
    return name if name not in ("", ".") else "download"


def _disposition_name(header: str) -> str:
    from email.message import Message

    if "=" in header.partition(";")[0]:
        return ""  # parameters without a type
    message = Message()
    message["Content-Disposition"] = header
    name = message.get_filename("") if header else ""
    return "" if name.endswith("/") else posixpath.basename(name)


def _headers(attrs: Mapping[str, str]) -> list[dict[str, str]]:
    """Return the headers of requests by their canonical names."""
    prefix = "http.header."
    given = {
        "-".join(word.capitalize() for word in name.removeprefix(prefix).split("-")): value
        for name, value in attrs.items()
        if name.startswith(prefix)
    }
    return [{"Name": name, "Value": given[name]} for name in sorted(given)]


@dataclass(frozen=True, slots=True)
class Revision:
    """The revision that a git reference resolves to.

    ``commit`` is the commit, also of an annotated tag, whose own object is ``tag``. ``reference`` is
    the full name, such as ``refs/tags/v1``, or the commit if the source names a commit.
    """

    commit: str
    reference: str
    tag: str = ""


def git_map(op: Op, revision: Revision) -> CacheMap:
    """Return the cache map of a git repository at a *revision*."""
    source = _source(op)
    key = revision.commit
    if source.attrs.get("git.keepgitdir") == "true":
        key = f"{revision.tag or revision.commit}.git#{revision.reference}"
    directory = clean(source.identifier.partition("#")[2].partition(":")[2])
    if directory not in (".", "/"):
        key += f":{directory}"
    if source.attrs.get("git.skipsubmodules") == "true":
        key += "(skip-submodules)"
    time = source.attrs.get("git.mtime", "")
    if time not in ("", "checkout"):
        key += f"(mtime={time})"
    if source.attrs.get("git.checkoutbundle") == "true":
        key += "(bundle)"
    return _map([key], {"Git": key})


def blob_map(op: Op) -> CacheMap:
    """Return the cache map of a blob in a registry or layout.

    Raises UsageError if a permission, owner or group is not a number.
    """
    source = _source(op)
    document = {
        "Digest": source.identifier.rpartition("@")[2],
        "Filename": source.attrs.get("http.filename", ""),
        **_attributes(source),
    }
    return _map([text_digest(go_json(document))], document)


def _attributes(source: SourceOp) -> dict[str, int]:
    """Return the attributes that a file from outside gets; 0 stands for the default."""
    fields = (("Perm", "http.perm", 8), ("UID", "http.uid", 10), ("GID", "http.gid", 10))
    return {name: _number(source.attrs.get(attr, ""), attr, base) for name, attr, base in fields}


def _number(text: str, name: str, base: int) -> int:
    try:
        return int(text or "0", base)
    except ValueError:
        raise UsageError(f"{name} {text[:80]!r} is not a number") from None


def _source(op: Op) -> SourceOp:
    if op.source is None:
        raise UsageError("the vertex is not a source")
    return op.source


def _map(keys: Iterable[str], document: Mapping[str, Any]) -> CacheMap:
    return CacheMap(tuple(map(source_digest, keys)), (), document)
