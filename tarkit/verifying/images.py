"""One image: its manifest against its config, and what both say of the layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from tarkit.errors import TarkitError
from tarkit.findings import Findings, Rule
from tarkit.image import media_types
from tarkit.image.config import ImageConfig, is_image_config
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.document import JSON
from tarkit.image.platform import Platform
from tarkit.verifying.contents import BlobLookup, StoredBlob
from tarkit.verifying.documents import (
    descriptor,
    descriptors,
    digests,
    held,
    parse_document,
    read_small,
)
from tarkit.verifying.layers import Claim, Claims


class VerificationContext:
    """What is known while a container is gone through: its contents, what is claimed of them, and what was found."""

    def __init__(self, contents: BlobLookup) -> None:
        self.contents = contents
        self.claims = Claims()
        self.findings = Findings()
        self.referenced: set[StoredBlob] = set()
        self.platforms: dict[Digest, Platform] = {}  # by config

    def find(self, digest: Digest, where: str) -> tuple[StoredBlob, ...] | None:
        """Everything that is stored as *digest*; ``None`` where it cannot even be looked for."""
        try:
            found = self.contents.blob(digest)
        except TarkitError as error:
            self.findings.blame(error, where)
            return None
        self.referenced.update(found)
        return found


def check_image(document: JSON, where: str, book: VerificationContext) -> Digest | None:
    """Check the manifest *document*; the digest of its config where it is an image's."""
    config = descriptor(document.get("config"), "config", where, book.findings)
    layers = descriptors(document, "layers", where, book.findings)
    if not _is_image(config, layers, where, book):
        for blob in (config, *layers):
            if blob:
                _claim(blob, Claim(blob.digest, blob.size), where, book)
        return None
    diff_ids = config and _read_config(config, len(layers), where, book)
    for layer, diff_id in zip(layers, diff_ids or [None] * len(layers), strict=True):
        if layer:
            claim = Claim(layer.digest, layer.size, diff_id, layer.media_type, layer=True)
            _claim(layer, claim, where, book)
    return config.digest if config else None


def _is_image(
    config: Descriptor | None,
    layers: Sequence[Descriptor | None],
    where: str,
    book: VerificationContext,
) -> bool:
    """Whether this is meant to be an image: its config says so, and not all of its layers deny it."""
    findings = book.findings
    known = [layer for layer in layers if layer]
    strange = [layer for layer in known if not media_types.is_layer(layer.media_type)]
    if config and not _says_image(config, where, book):
        findings.add(Rule.ARTIFACT, where, f"an artifact ({config.media_type}), and not an image")
        return False
    if strange and len(strange) == len(known):
        kind = strange[0].media_type
        findings.add(Rule.ARTIFACT, where, f"an artifact with layers of {kind}, and not an image")
        return False
    for layer in strange:
        message = f"layer {layer.digest} is of the type {layer.media_type!r}"
        findings.add(Rule.UNSUPPORTED, where, message)
    return True


def _says_image(config: Descriptor, where: str, book: VerificationContext) -> bool:
    """Whether the config is an image's. One that cannot be read is what its type says."""
    for content in book.find(config.digest, where) or ():
        with suppress(TarkitError):
            return is_image_config(content.read(), config.media_type)
    return config.media_type in media_types.CONFIGS


def _claim(blob: Descriptor, claim: Claim, where: str, book: VerificationContext) -> None:
    """Put *claim* on what *blob* names, or note that it is missing."""
    found = book.find(blob.digest, where)
    for content in found or ():
        book.claims.add(content, claim)
    if found is None or found:
        return
    if blob.is_foreign:
        message = f"layer {blob.digest} is not there, and to be had from {blob.urls[0]}"
        book.findings.add(Rule.ABSENT_FOREIGN_LAYER, where, message)
    else:
        book.findings.add(Rule.MISSING_BLOB, where, f"blob {blob.digest} is missing")


def _read_config(
    config: Descriptor, layers: int, where: str, book: VerificationContext
) -> list[Digest | None] | None:
    """The diff IDs in the config, one a layer; ``None`` where they are not to be had."""
    found = book.find(config.digest, where)
    if found == ():
        book.findings.add(Rule.MISSING_BLOB, where, f"config {config.digest} is missing")
    diff_ids = None
    for content in found or ():
        data = read_small(content, book.findings)
        if data is not None and held(data, config, content.name, book.findings):
            diff_ids = check_config(data, layers, content.name, book.findings)
            with suppress(TarkitError):
                book.platforms[config.digest] = ImageConfig.parse(data).platform
    return diff_ids


def check_config(
    data: bytes, layers: int, where: str, findings: Findings
) -> list[Digest | None] | None:
    """Check a config of an image with that many *layers*; the diff IDs, where there is one a layer."""
    document = parse_document(data, "config", where, findings)
    if not isinstance(document, dict):
        return None
    rootfs = document.get("rootfs")
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if findings.holds(Rule.SCHEMA, where) and not isinstance(diff_ids, list):
        return None  # which is what the schema said
    found = digests(diff_ids, "rootfs.diff_ids", where, findings)
    if len(found) != layers:
        message = f"{len(found)} diff IDs for {layers} layers"
        findings.add(Rule.LAYER_COUNT, where, message)
        return None
    _check_history(document, layers, where, findings)
    return found


def _check_history(
    document: Mapping[str, Any], layers: int, where: str, findings: Findings
) -> None:
    """Where there is a history, each of its entries that is not empty stands for a layer."""
    history = document.get("history")
    if not isinstance(history, list) or not history:
        return
    entries = [entry for entry in history if isinstance(entry, dict)]
    count = sum(entry.get("empty_layer") is not True for entry in entries)
    message = f"the history tells of {count} layers, and there are {layers}"
    if count > layers:
        findings.add(Rule.HISTORY_TOO_LONG, where, message)
    elif count < layers:
        findings.add(Rule.HISTORY_TOO_SHORT, where, message)
