"""Check stored blobs against the claims about them; each blob is read once."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from functools import partial

from tarkit.errors import CancelledError, TarkitError
from tarkit.findings import Findings, Rule
from tarkit.image import media_types
from tarkit.image.digest import Digest
from tarkit.image.media_types import Compression
from tarkit.progress import Event, ProgressTracker
from tarkit.streams.cancellation import check
from tarkit.streams.chunks import Readable, drain
from tarkit.streams.codecs import SNIFF_SIZE, decompress, detect
from tarkit.streams.os_errors import os_errors
from tarkit.streams.workers import Workers
from tarkit.tar.reader import TarReader
from tarkit.values import dataclass
from tarkit.verifying.contents import StoredBlob

_MOST_JOBS = 8

PADDING = "the last member is complete, but not padded with zeros to a whole block"


@dataclass(frozen=True, slots=True)
class Claim:
    """A statement that a document makes about a blob; ``layer`` states that it is a layer."""

    digest: Digest | None = None
    size: int | None = None
    diff_id: Digest | None = None
    media_type: str = ""
    layer: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """The measured properties of a blob.

    ``digests`` are the digests of the stored bytes, ``plain`` those of the uncompressed content, by
    algorithm. ``corrupt`` is the error that ended decompression, ``malformed`` the defect of the
    layer as a tar. ``padded`` is true if the last member of the tar fills a whole block.
    """

    size: int
    compression: Compression
    digests: dict[str, Digest]
    plain: dict[str, Digest]
    corrupt: TarkitError | None = None
    malformed: TarkitError | None = None
    padded: bool = True


class Claims:
    """All claims, grouped by the blob that they describe."""

    def __init__(self) -> None:
        self._claims: dict[StoredBlob, dict[Claim, None]] = {}

    def add(self, content: StoredBlob, claim: Claim) -> None:
        """Add *claim* about *content*."""
        self._claims.setdefault(content, {})[claim] = None

    def check(self, findings: Findings, tracker: ProgressTracker, *, in_order: bool) -> None:
        """Read all blobs and check the claims; if *in_order*, read one at a time by offset."""
        contents = sorted(self._claims, key=lambda content: content.place)
        for content in contents:
            tracker.expect(content)
        jobs = 1 if in_order else min(os.cpu_count() or 1, _MOST_JOBS)
        with Workers(jobs, "verify") as pool:
            measured = pool.map(partial(self._measure, tracker), contents)
            pool.begin()
            for content, facts in zip(contents, measured, strict=True):
                if isinstance(facts, TarkitError):
                    findings.blame(facts, content.name)
                else:
                    for claim in self._claims[content]:
                        _check_claim(claim, facts, content.name, findings)

    def _measure(self, tracker: ProgressTracker, content: StoredBlob) -> Facts | TarkitError:
        claims = self._claims[content]
        stored = {claim.digest.algorithm for claim in claims if claim.digest}
        plain = {claim.diff_id.algorithm for claim in claims if claim.diff_id}
        try:
            with os_errors(content.name):
                is_layer = any(claim.layer for claim in claims)
                tracker.tell(Event.STARTED, content)
                facts = measure(content, stored, plain, tracker, is_layer=is_layer)
        # A cancellation is not a fault of the image.
        except CancelledError:
            raise
        except TarkitError as error:
            tracker.tell(Event.FAILED, content)
            return error
        tracker.done(Event.FINISHED, content)
        return facts


def measure(
    content: StoredBlob,
    stored: Iterable[str],
    plain: Iterable[str],
    tracker: ProgressTracker,
    *,
    is_layer: bool,
) -> Facts:
    """Read *content* once and measure it; report the bytes to *tracker*.

    *stored* and *plain* are the hash algorithms for the stored and the uncompressed bytes. A layer
    that cannot be decompressed is a result, not an error; only a failed read raises an error.
    """
    with content.open() as opened, tracker.watch(opened, content) as stream:
        # Also the plain algorithms, because the stored bytes of an uncompressed layer are its
        # content.
        outer = _Hashed(stream, {*stored, *plain})
        buffered = decompress(outer, Compression.NONE)
        compression = detect(buffered.peek(SNIFF_SIZE)) if is_layer else Compression.NONE
        inner, corrupt = outer, None
        if compression is not Compression.NONE:
            inner = _Hashed(decompress(buffered, compression), plain)
        tar = _TarCheck(inner if inner is not outer else buffered)
        try:
            tar.read(is_layer=is_layer)
        except TarkitError as error:
            if outer.failure is not None:  # reading the file failed, not decompressing it
                raise
            corrupt = error
        drain(buffered)  # the digest also covers bytes after the compressed stream
    return Facts(
        outer.size,
        compression,
        outer.digests(),
        inner.digests(),
        corrupt,
        tar.malformed,
        tar.padded,
    )


class _TarCheck:
    """Reads *stream* completely; sets ``malformed`` and ``padded`` if it is a tar."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self.malformed: TarkitError | None = None
        self.padded = True

    def read(self, *, is_layer: bool) -> None:
        """Read everything, as a tar if it *is_layer*; raise only errors of the stream itself."""
        if is_layer:
            reader = TarReader(self._stream)
            try:
                reader.drain()
            except TarkitError as error:
                self.malformed = error
            self.padded = reader.padded
        drain(self._stream)  # raises the error again if the stream itself failed


class _Hashed:
    """A stream that is hashed and counted while it is read.

    ``failure`` is the error of a failed read, which later reads raise again.
    """

    def __init__(self, stream: Readable, algorithms: Iterable[str]) -> None:
        self._stream = stream
        self._hashers = {algorithm: hashlib.new(algorithm) for algorithm in algorithms}
        self.size = 0
        self.failure: BaseException | None = None

    def read(self, size: int = -1, /) -> bytes:
        check()
        if self.failure is not None:
            raise self.failure  # a decoder that is read again could report another error
        try:
            data = self._stream.read(size)
        except BaseException as error:
            self.failure = error
            raise
        for hasher in self._hashers.values():
            hasher.update(data)
        self.size += len(data)
        return data

    def digests(self) -> dict[str, Digest]:
        return {name: Digest(name, hasher.hexdigest()) for name, hasher in self._hashers.items()}


def _check_claim(claim: Claim, facts: Facts, where: str, findings: Findings) -> None:
    """Add findings if *claim* does not hold; if the digest is wrong, skip further checks."""
    if claim.size is not None and claim.size != facts.size:
        findings.add(Rule.SIZE_MISMATCH, where, f"{facts.size} bytes, but {claim.size} were stated")
    if claim.digest and (actual := facts.digests[claim.digest.algorithm]) != claim.digest:
        findings.add(Rule.DIGEST_MISMATCH, where, f"is {actual}, not {claim.digest}")
    elif claim.layer:
        _check_layer(claim, facts, where, findings)


def _check_layer(claim: Claim, facts: Facts, where: str, findings: Findings) -> None:
    if facts.corrupt:
        findings.blame(facts.corrupt, where, Rule.CORRUPT_LAYER)
    elif claim.diff_id and (actual := facts.plain[claim.diff_id.algorithm]) != claim.diff_id:
        findings.add(Rule.DIFF_ID_MISMATCH, where, f"is {actual} uncompressed, not {claim.diff_id}")
    elif not claim.media_type or media_types.is_layer(claim.media_type):
        # Some tools write empty layers without compressing them.
        _check_tar(facts, where, findings)
    if media_types.is_layer(claim.media_type):
        stated = media_types.layer_compression(claim.media_type)
        if stated is not facts.compression and facts.size:
            findings.add(
                Rule.COMPRESSION_MISMATCH,
                where,
                f"stated as {_compressed(stated)}, is {_compressed(facts.compression)}",
            )


def _check_tar(facts: Facts, where: str, findings: Findings) -> None:
    """Add findings about the layer as a tar."""
    if facts.malformed:
        place = f"{facts.malformed.where}: " if facts.malformed.where else ""
        findings.add(Rule.MALFORMED_LAYER, where, f"{place}{facts.malformed.message}")
    elif not facts.padded:
        findings.add(Rule.MISSING_PADDING, where, PADDING)


def _compressed(compression: Compression) -> str:
    return "uncompressed" if compression is Compression.NONE else compression.value
