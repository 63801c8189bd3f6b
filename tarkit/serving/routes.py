"""Route requests by method and path to their answers (distribution-spec, "Endpoints")."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from tarkit.image.digest import Digest
from tarkit.image.reference import is_path, is_tag
from tarkit.serving import pulling, pushing
from tarkit.serving.contents import ServedImages
from tarkit.serving.messages import Request, Response
from tarkit.serving.names import Place, canonical
from tarkit.serving.problems import Problem
from tarkit.serving.pushing import parse_digest
from tarkit.serving.writable import WritableLayout

Answer = Callable[..., Response]

_ROUTES: tuple[tuple[re.Pattern[str], Mapping[str, Answer]], ...] = (
    (re.compile(r"/v2/?"), {"GET": pulling.get_base}),
    (re.compile(r"/v2/_catalog"), {"GET": pulling.get_catalog}),
    (re.compile(r"/v2/(?P<name>.+)/tags/list"), {"GET": pulling.get_tags}),
    (
        re.compile(r"/v2/(?P<name>.+)/manifests/(?P<reference>[^/]*)"),
        {
            "GET": pulling.get_manifest,
            "PUT": pushing.put_manifest,
            "DELETE": pushing.delete_manifest,
        },
    ),
    (re.compile(r"/v2/(?P<name>.+)/blobs/uploads/?"), {"POST": pushing.begin_upload}),
    (
        re.compile(r"/v2/(?P<name>.+)/blobs/uploads/(?P<identifier>[0-9a-zA-Z-]+)"),
        {
            "GET": pushing.get_upload,
            "PATCH": pushing.append_chunk,
            "PUT": pushing.finish_upload,
            "DELETE": pushing.cancel_upload,
        },
    ),
    (
        re.compile(r"/v2/(?P<name>.+)/blobs/(?P<digest>[^/]*)"),
        {"GET": pulling.get_blob, "DELETE": pushing.delete_blob},
    ),
    (re.compile(r"/v2/(?P<name>.+)/referrers/(?P<digest>[^/]*)"), {"GET": pulling.get_referrers}),
)


def answer(contents: ServedImages, request: Request) -> Response:
    """Return the response to *request*; raises :class:`Problem`."""
    method = "GET" if request.method == "HEAD" else request.method
    for pattern, methods in _ROUTES:
        match = pattern.fullmatch(request.path)
        if match is None:
            continue
        if method not in methods:
            raise Problem("UNSUPPORTED", f"{method[:20]} is not supported here")
        arguments = _arguments(match.groupdict())
        if methods[method].__module__ == pushing.__name__:
            contents = _writable(contents, request, arguments["name"])
        return methods[method](contents, request, **arguments)
    raise Problem("UNSUPPORTED", "no such endpoint", status=404)


def _arguments(texts: Mapping[str, str]) -> dict[str, Any]:
    """Return the checked parts of a path; nothing else of a path is ever used."""
    arguments: dict[str, Any] = dict(texts)
    if "name" in texts:
        if not is_path(texts["name"]):
            raise Problem("NAME_INVALID", f"{texts['name'][:300]!r} is not a repository name")
        arguments["name"] = canonical(texts["name"])
    if "digest" in texts:
        arguments["digest"] = parse_digest(texts["digest"])
    if "reference" in texts:
        arguments["reference"] = _reference(arguments["name"], texts["reference"])
    return arguments


def _reference(name: str, text: str) -> Place | Digest:
    if ":" in text:
        return parse_digest(text)
    if not is_tag(text):
        raise Problem("TAG_INVALID", f"{text[:300]!r} is neither a tag nor a digest")
    return Place(name, text)


def _writable(contents: ServedImages, request: Request, name: str) -> WritableLayout:
    """Return *contents* if *request* may change them."""
    if not isinstance(contents, WritableLayout):
        raise Problem("DENIED", "this registry is read-only", status=405)
    if "Origin" in request.headers:  # a web page must not push through the user's browser
        raise Problem("DENIED", "a web page cannot push")
    only = contents.naming.only
    if only not in (None, name):
        raise Problem("DENIED", f"the only repository of this registry is {only}")
    return contents
