"""Files from the web."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from email.utils import parsedate_to_datetime

from tarkit.cache.facts import CachePolicy
from tarkit.cache.manager import CacheManager
from tarkit.cache.options import RefOptions
from tarkit.cache.refs import ImmutableRef
from tarkit.errors import (
    AuthenticationError,
    DigestMismatchError,
    NotFoundError,
    RefusedError,
    TarkitError,
    TransportError,
    UsageError,
)
from tarkit.llb.messages import Op
from tarkit.solver.keys.cache_map import CacheMap
from tarkit.solver.keys.digests import joined_digest
from tarkit.solver.keys.sources import Response as Facts
from tarkit.solver.keys.sources import http_filename, http_map
from tarkit.solver.operation import Ref, Report
from tarkit.streams.cancellation import check
from tarkit.transports.registry.body import Response
from tarkit.transports.registry.http import Http
from tarkit.transports.registry.messages import Request
from tarkit.transports.registry.options import RegistryOptions
from tarkit.transports.registry.urls import host_of, parse_url, shown

_INDEX = "http-source"
_ETAG, _DIGEST, _MODIFIED, _DISPOSITION = "etag", "digest", "lastModified", "disposition"
_PIECE = 1 << 20
_MODE = 0o600  # unless the source has another


class HttpOperation:
    """A file from a server. With a checksum, nothing is asked before the file is needed.

    Without one, the server is asked whether the file has changed since it was downloaded; ``requests``
    counts these and ``downloads`` the files received.
    """

    def __init__(
        self, op: Op, manager: CacheManager, secrets: Mapping[str, bytes], name: str
    ) -> None:
        assert op.source is not None
        self._op, self._source = op, op.source
        self._manager, self._secrets = manager, secrets
        self._name = name
        self._url = op.source.identifier
        self._checksum = op.source.attrs.get("http.checksum", "")
        self._found = ""  # the ID of the ref with the file
        self.requests = self.downloads = 0

    def cache_map(self) -> CacheMap:
        """Find out which file it is; see :class:`~tarkit.solver.operation.Operation`."""
        if self._checksum:
            return http_map(self._op)
        known = self._known()
        with closing(self._client()) as client:
            return http_map(self._op, self._ask(client, known))

    def run(self, inputs: Sequence[Ref], report: Report) -> Sequence[Ref]:
        """See :class:`~tarkit.solver.operation.Operation`."""
        if self._found:
            try:
                return [self._manager.get(self._found)]
            except NotFoundError:
                pass  # it was pruned since
        with closing(self._client()) as client:
            self._ask(client, {})
        return [self._manager.get(self._found)]

    # requests

    def _client(self) -> Http:
        parse_url(self._url, where=self._name)
        return Http(host_of(self._url), RegistryOptions())

    def _ask(self, client: Http, known: Mapping[str, str]) -> Facts:
        """Ask for the file unless it is one of *known*, which are IDs of refs by etag."""
        headers = self._headers()
        if known:
            headers["If-None-Match"] = ", ".join(known)
        request = Request("GET", self._url, shown(self._url), headers=headers)
        authorization = self._authorization(client)
        return client.retried(request, lambda: self._attempt(client, request, authorization, known))

    def _headers(self) -> dict[str, str]:
        """Return the headers that the source asks for: only these two."""
        names = {"Accept": "http.header.accept", "User-Agent": "http.header.user-agent"}
        attrs = self._source.attrs
        return {name: attrs[attr] for name, attr in names.items() if attrs.get(attr)}

    def _authorization(self, client: Http) -> str | None:
        name = self._source.attrs.get("http.authheadersecret")
        if not name:
            return None
        if name not in self._secrets:
            raise NotFoundError(f"no secret {name[:80]!r}", where=self._name)
        secret = self._secrets[name].decode("utf-8", "replace").strip()
        client.hide(secret, *secret.split())
        return secret

    def _attempt(
        self, client: Http, request: Request, authorization: str | None, known: Mapping[str, str]
    ) -> Facts:
        self.requests += 1
        response = client.follow(request, self._url, authorization)
        try:
            if response.status == 304 and known:
                return self._unchanged(response, known)
            if response.status != 200:
                raise _failure(response.status, request.where)
            return self._download(response)
        finally:
            response.stream.close()

    def _unchanged(self, response: Response, known: Mapping[str, str]) -> Facts:
        etag = response.headers.get("ETag", "")
        self._found = known.get(etag) or next(iter(known.values()))
        found = self._manager.metadata(self._found)
        return Facts(*(str(found.get(key) or "") for key in (_DIGEST, _MODIFIED, _DISPOSITION)))

    # downloads

    def _download(self, response: Response) -> Facts:
        """Store the file; return its facts."""
        modified = response.headers.get("Last-Modified", "")
        disposition = response.headers.get("Content-Disposition", "")
        name = http_filename(self._source, disposition)
        if "/" in name or "\0" in name or name in ("", ".", ".."):
            raise RefusedError(f"{name[:80]!r} is not the name of a file", where=self._name)
        hasher = hashlib.sha256()

        def pieces() -> Iterator[bytes]:
            while piece := response.stream.next_piece(_PIECE):
                check()
                hasher.update(piece)
                yield piece

        self.downloads += 1
        with self._manager.new(None, RefOptions(description=f"file from {self._name}")) as active:
            active.files.write(
                name,
                _Stream(pieces()),
                mode=self._number("http.perm", 8) & 0o777 or _MODE,
                owner=(self._number("http.uid", 10), self._number("http.gid", 10)),
                mtime_ns=_time_of(modified),
            )
            digest = f"sha256:{hasher.hexdigest()}"
            if self._checksum and digest != self._checksum:
                raise DigestMismatchError(self._checksum, digest, where=self._name)
            with active.commit() as ref:
                facts = Facts(digest, modified, disposition)
                self._keep(ref, facts, response.headers.get("ETag", ""))
        return facts

    def _number(self, attribute: str, base: int) -> int:
        text = self._source.attrs.get(attribute) or "0"
        try:
            return int(text, base)
        except ValueError:
            raise UsageError(
                f"{attribute} {text[:80]!r} is not a number", where=self._name
            ) from None

    # downloads of earlier builds

    def _keep(self, ref: ImmutableRef, facts: Facts, etag: str) -> None:
        self._found = ref.id
        with self._manager.store.records.transaction():
            ref.policy = CachePolicy.RETAIN
            ref.set(_DIGEST, facts.digest)
            ref.set(_MODIFIED, facts.last_modified)
            ref.set(_DISPOSITION, facts.content_disposition)
            ref.set(_ETAG, etag, index=self._index() if etag else "")

    def _known(self) -> dict[str, str]:
        """Return the IDs of refs with downloads by etag, the newest last."""
        found = self._manager.search(self._index())
        return {str(each.get(_ETAG)): each.id for each in found}

    def _index(self) -> str:
        attrs = sorted(self._source.attrs.items())
        parts = [f"{name}={value}" for name, value in attrs if not name.endswith("checksum")]
        return f"{_INDEX}:{joined_digest([self._url, *parts])}"


class _Stream:
    """Pieces as a stream."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def read(self, size: int = -1, /) -> bytes:
        """Return the next piece, whatever *size* is."""
        return next(self._pieces, b"")


def _failure(status: int, where: str) -> TarkitError:
    text = f"the server answered {status}"
    if status in (404, 410):
        return NotFoundError(text, where=where)
    if status in (401, 403, 407):
        return AuthenticationError(text, where=where)
    return TransportError(text, where=where)


def _time_of(header: str) -> int:
    """Return the time of a header in nanoseconds since the epoch, 0 if it states none."""
    try:
        return max(0, int(parsedate_to_datetime(header).timestamp())) * 1_000_000_000
    except (ValueError, TypeError, OverflowError):
        return 0
