"""A registry in memory, served by a thread, that injects faults on request."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

from tests.transports.registry.serving import Handler, serving

PATH = re.compile(r"/v2/(?P<repo>.+?)/(?P<kind>manifests|blobs|tags|referrers)/(?P<rest>.*)")


@dataclass(frozen=True)
class Seen:
    """A received request."""

    method: str
    path: str
    headers: dict[str, str]
    received: int = 0


Fault = Callable[["Exchange"], bool]
"""Answers a request, or returns false to let the registry answer it."""


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class FakeRegistry:
    """The contents of the registry, the requests it received, and its faults."""

    def __init__(self) -> None:
        self.blobs: dict[str, dict[str, bytes]] = {}
        self.manifests: dict[str, dict[str, tuple[str, bytes]]] = {}
        self.uploads: dict[str, bytearray] = {}
        self.cancelled: list[str] = []
        self.seen: list[Seen] = []
        self.faults: list[Fault] = []
        self.authorize: Callable[[Exchange], bool] = lambda exchange: True
        self.referrers_api = True
        self.mounts = True
        self.deletes = True
        self.honours_ranges = True
        self.least_chunk = 0
        self.page = 1000
        self.address = ""
        self.lock = threading.RLock()

    def add_blob(self, repo: str, data: bytes) -> str:
        self.blobs.setdefault(repo, {})[digest_of(data)] = data
        return digest_of(data)

    def add_manifest(self, repo: str, tag: str, data: bytes, media_type: str) -> str:
        for name in (tag, digest_of(data)):
            self.manifests.setdefault(repo, {})[name] = (media_type, data)
        return digest_of(data)

    def requests(self, method: str, part: str = "") -> list[Seen]:
        return [seen for seen in self.seen if seen.method == method and part in seen.path]

    def fail_once(self, method: str, part: str, fault: Callable[[Exchange], None]) -> None:
        """Let *fault* answer the next request of that *method* with *part* in its path."""
        self.fail(method, part, fault, times=1)

    def fail(
        self, method: str, part: str, fault: Callable[[Exchange], None], *, times: int = 1000
    ) -> None:
        left = [times]

        def maybe(exchange: Exchange) -> bool:
            with self.lock:
                if exchange.command != method or part not in exchange.path or not left[0]:
                    return False
                left[0] -= 1
            fault(exchange)
            return True

        self.faults.append(maybe)


class Exchange(Handler):
    """A connection to the registry."""

    registry: FakeRegistry

    def handle_request(self) -> None:
        registry = self.registry
        seen = Seen(self.command, self.path, dict(self.headers.items()))
        with registry.lock:
            registry.seen.append(seen)
        if not registry.authorize(self):
            return
        if any(fault(self) for fault in registry.faults):
            return
        self.serve()

    def serve(self) -> None:
        """Answer as the specification requires."""
        parts = urlsplit(self.path)
        if parts.path == "/v2/":
            self.answer(200, b"{}")
            return
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        if parts.path == "/v2/_catalog":
            self._catalog(query)
            return
        match = PATH.fullmatch(parts.path)
        if match is None:
            self.refuse(404, "NAME_UNKNOWN")
            return
        repo, kind, rest = match["repo"], match["kind"], match["rest"]
        if kind == "blobs" and rest.startswith("uploads/"):
            self._upload(repo, rest.removeprefix("uploads/"), query)
        elif kind == "blobs":
            self._blob(repo, rest)
        elif kind == "manifests":
            self._manifest(repo, rest)
        elif kind == "tags":
            self._tags(repo, query)
        else:
            self._referrers(repo, rest)

    def _blob(self, repo: str, digest: str) -> None:
        data = self.registry.blobs.get(repo, {}).get(digest)
        if data is None:
            self.refuse(404, "BLOB_UNKNOWN")
            return
        start = 0
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if wanted and self.registry.honours_ranges:
            start = int(wanted[1])
            content_range = f"bytes {start}-{len(data) - 1}/{len(data)}"
            self.answer(206, data[start:], **{"Content-Range": content_range})
            return
        self.answer(200, data)

    def _manifest(self, repo: str, name: str) -> None:
        held = self.registry.manifests.get(repo, {})
        if self.command == "PUT":
            data = self.body()
            self.registry.add_manifest(repo, name, data, self.headers["Content-Type"])
            headers = {"Docker-Content-Digest": digest_of(data), "Location": self.path}
            subject = json.loads(data).get("subject")
            if subject and self.registry.referrers_api:
                headers["OCI-Subject"] = subject["digest"]
            self.answer(201, b"", **headers)
        elif name not in held:
            self.refuse(404, "MANIFEST_UNKNOWN")
        elif self.command == "DELETE":
            self._delete(held, name)
        else:
            media_type, data = held[name]
            headers = {"Docker-Content-Digest": digest_of(data), "Content-Type": media_type}
            self.answer(200, data, **headers)

    def _delete(self, held: dict[str, tuple[str, bytes]], name: str) -> None:
        if not self.registry.deletes:
            self.refuse(405, "UNSUPPORTED")
            return
        for tag in [tag for tag in held if held[tag] == held[name]]:
            del held[tag]
        self.answer(202)

    def _catalog(self, query: dict[str, str]) -> None:
        rest = [name for name in sorted(self.registry.manifests) if name > query.get("last", "")]
        page, more = rest[: self.registry.page], rest[self.registry.page :]
        headers = {"Link": f'</v2/_catalog?last={page[-1]}&n=2>; rel="next"'} if more else {}
        self.answer(200, json.dumps({"repositories": page}).encode(), **headers)

    def _tags(self, repo: str, query: dict[str, str]) -> None:
        if repo not in self.registry.manifests:
            self.refuse(404, "NAME_UNKNOWN")
            return
        tags = sorted(name for name in self.registry.manifests[repo] if ":" not in name)
        rest = [tag for tag in tags if tag > query.get("last", "")]
        page, more = rest[: self.registry.page], rest[self.registry.page :]
        link = f'</v2/{repo}/tags/list?last={page[-1]}&n=2>; rel="next"' if more else ""
        headers = {"Link": link} if link else {}
        self.answer(200, json.dumps({"name": repo, "tags": page}).encode(), **headers)

    def _referrers(self, repo: str, digest: str) -> None:
        if not self.registry.referrers_api:
            self.refuse(404, "NOT_FOUND")
            return
        found = []
        for name, (media_type, data) in self.registry.manifests.get(repo, {}).items():
            subject = json.loads(data).get("subject") or {}
            if ":" in name and subject.get("digest") == digest:
                found.append({"mediaType": media_type, "digest": name, "size": len(data)})
        document = {"schemaVersion": 2, "manifests": found}
        kind = {"Content-Type": "application/vnd.oci.image.index.v1+json"}
        self.answer(200, json.dumps(document).encode(), **kind)

    def _upload(self, repo: str, session: str, query: dict[str, str]) -> None:
        registry = self.registry
        if self.command == "POST":
            neighbour = registry.blobs.get(query.get("from", ""), {}).get(query.get("mount", ""))
            if neighbour is not None and registry.mounts:
                registry.add_blob(repo, neighbour)
                self.answer(201, Location=f"/v2/{repo}/blobs/{query['mount']}")
                return
            session = f"session-{uuid4().hex}"
            registry.uploads[session] = bytearray()
            self._continue(repo, session, 202)
            return
        if session not in registry.uploads:
            self.refuse(404, "BLOB_UPLOAD_UNKNOWN")
            return
        if self.command == "DELETE":
            registry.cancelled.append(session)
            del registry.uploads[session]
            self.answer(204)
        elif self.command == "GET":
            self._continue(repo, session, 204)
        elif self._receive(registry.uploads[session]):
            if self.command == "PATCH":
                self._continue(repo, session, 202)
            else:
                self._close(repo, session, query["digest"])

    def _receive(self, held: bytearray) -> bool:
        place = re.match(r"(\d+)-", self.headers.get("Content-Range", ""))
        if place and int(place[1]) != len(held):
            self.refuse(416, "RANGE_INVALID")
            return False
        for piece in self.pieces():
            held += piece
        return True

    def _continue(self, repo: str, session: str, status: int) -> None:
        end = max(len(self.registry.uploads[session]) - 1, 0)
        where = f"/v2/{repo}/blobs/uploads/{session}?state=x"
        least = self.registry.least_chunk
        headers = {"Location": where, "Range": f"0-{end}"}
        if least:
            headers["OCI-Chunk-Min-Length"] = str(least)
        self.answer(status, b"", **headers)

    def _close(self, repo: str, session: str, digest: str) -> None:
        data = bytes(self.registry.uploads[session])
        if digest_of(data) != digest:
            self.refuse(400, "DIGEST_INVALID")
            return
        del self.registry.uploads[session]
        self.registry.add_blob(repo, data)
        self.answer(201, Location=f"/v2/{repo}/blobs/{digest}")


@contextmanager
def fake_registry() -> Iterator[FakeRegistry]:
    """A registry on the loopback interface; its ``address`` is ``host:port``."""
    registry = FakeRegistry()
    with serving(type("Bound", (Exchange,), {"registry": registry})) as address:
        registry.address = address
        yield registry
