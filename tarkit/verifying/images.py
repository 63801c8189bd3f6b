"""Check an image: its manifest against its config, and both against its layers."""

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
from tarkit.progress import ProgressTracker
from tarkit.verifying.contents import BlobLookup, StoredBlob
from tarkit.verifying.documents import (
    descriptor,
    descriptors,
    digests,
    matches_descriptor,
    parse_document,
    read_small,
)
from tarkit.verifying.layers import Claim, Claims


class VerificationContext:
    """The state of a verification: the container's contents, claims about them, and findings."""

    def __init__(self, contents: BlobLookup, tracker: ProgressTracker) -> None:
        self.contents = contents
        self.tracker = tracker
        self.claims = Claims()
        self.findings = Findings()
        self.referenced: set[StoredBlob] = set()
        self.platforms: dict[Digest, Platform] = {}  # by config digest

    def find(self, digest: Digest) -> tuple[StoredBlob, ...] | None:
        """Return all files stored as *digest* and mark them as referenced.

        Returns an empty tuple if there are none, and None if the lookup itself failed.
        """
        try:
            found = self.contents.blob(digest)
        except TarkitError as error:
            self.findings.blame(error, self.contents.place(digest))
            return None
        self.referenced.update(found)
        return found


def check_image(document: JSON, where: str, context: VerificationContext) -> Digest | None:
    """Check a manifest; return the digest of its config if it is an image, or None."""
    config = descriptor(document.get("config"), "config", where, context.findings)
    layers = descriptors(document, "layers", where, context.findings)
    if not _is_image(config, layers, where, context):
        for blob in (config, *layers):
            if blob:
                _claim(blob, Claim(blob.digest, blob.size), where, context)
        return None
    diff_ids = config and _read_config(config, len(layers), where, context)
    for layer, diff_id in zip(layers, diff_ids or [None] * len(layers), strict=True):
        if layer:
            claim = Claim(layer.digest, layer.size, diff_id, layer.media_type, layer=True)
            _claim(layer, claim, where, context)
    return config.digest if config else None


def _is_image(
    config: Descriptor | None,
    layers: Sequence[Descriptor | None],
    where: str,
    context: VerificationContext,
) -> bool:
    """Return True if this is an image, based on its config and the types of its layers."""
    findings = context.findings
    known = [layer for layer in layers if layer]
    strange = [layer for layer in known if not media_types.is_layer(layer.media_type)]
    if config and not _is_image_config(config, context):
        findings.add(Rule.ARTIFACT, where, f"is an artifact ({config.media_type}), not an image")
        return False
    # A single unknown type is a broken image; if all types are unknown, it is an artifact.
    if strange and len(strange) == len(known):
        kind = strange[0].media_type
        findings.add(Rule.ARTIFACT, where, f"is an artifact with layers of {kind}, not an image")
        return False
    for layer in strange:
        message = f"layer {layer.digest} has the unsupported type {layer.media_type!r}"
        findings.add(Rule.UNSUPPORTED, where, message)
    return True


def _is_image_config(config: Descriptor, context: VerificationContext) -> bool:
    """Return True if the config belongs to an image; if unreadable, its media type decides."""
    for content in context.find(config.digest) or ():
        with suppress(TarkitError):
            return is_image_config(content.read(), config.media_type)
    return config.media_type in media_types.CONFIGS


def _claim(blob: Descriptor, claim: Claim, where: str, context: VerificationContext) -> None:
    """Add *claim* about the stored *blob*, or a finding that it is missing."""
    found = context.find(blob.digest)
    for content in found or ():
        context.claims.add(content, claim)
    if found is None or found:  # a failed lookup has already added a finding
        return
    if blob.is_foreign:
        message = f"layer {blob.digest} is not stored, but is available at {blob.urls[0]}"
        context.findings.add(Rule.ABSENT_FOREIGN_LAYER, where, message)
    else:
        context.findings.add(Rule.MISSING_BLOB, where, f"blob {blob.digest} is missing")


def _read_config(
    config: Descriptor, layers: int, where: str, context: VerificationContext
) -> list[Digest | None] | None:
    """Return the diff IDs in the config, one per layer, or None if they cannot be read."""
    found = context.find(config.digest)
    if found == ():
        context.findings.add(Rule.MISSING_BLOB, where, f"config {config.digest} is missing")
    diff_ids = None
    for content in found or ():
        data = read_small(content, context.findings)
        if data is not None and matches_descriptor(data, config, content.name, context.findings):
            diff_ids = check_config(data, layers, content.name, context.findings)
            with suppress(TarkitError):
                context.platforms[config.digest] = ImageConfig.parse(data).platform
    return diff_ids


def check_config(
    data: bytes, layers: int, where: str, findings: Findings
) -> list[Digest | None] | None:
    """Check the config of an image with *layers* layers.

    Returns the diff IDs, or None if their number differs from that of the layers.
    """
    document = parse_document(data, "config", where, findings)
    if not isinstance(document, dict):
        return None
    rootfs = document.get("rootfs")
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if findings.holds(Rule.SCHEMA, where) and not isinstance(diff_ids, list):
        return None  # already reported by the schema
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
    """Compare the history, if any, with the layers; each non-empty entry describes a layer."""
    history = document.get("history")
    if not isinstance(history, list) or not history:
        return
    entries = [entry for entry in history if isinstance(entry, dict)]
    count = sum(entry.get("empty_layer") is not True for entry in entries)
    message = f"the history describes {count} layers, but there are {layers}"
    if count > layers:
        findings.add(Rule.HISTORY_TOO_LONG, where, message)
    elif count < layers:
        findings.add(Rule.HISTORY_TOO_SHORT, where, message)
