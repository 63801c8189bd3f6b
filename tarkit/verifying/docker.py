"""Check every image that the ``manifest.json`` of a docker archive lists."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from tarkit.errors import TarkitError
from tarkit.findings import Rule
from tarkit.image import media_types
from tarkit.image.digest import Digest
from tarkit.image.document import METADATA_LIMIT, as_object
from tarkit.transports.docker_archive.format import MANIFEST_FILE
from tarkit.transports.docker_archive.items import ManifestItem
from tarkit.values import dataclass
from tarkit.verifying.contents import ArchiveContents, StoredBlob
from tarkit.verifying.documents import read_document
from tarkit.verifying.images import VerificationContext, check_config
from tarkit.verifying.layers import Claim

_CONFIG_DIGEST = re.compile(r"(?:.*/)?(?:sha256:)?([0-9a-f]{64})(?:\.json)?")
_LAYER_DIGEST = re.compile(r"(?:.*/)?([0-9a-f]{64})\.tar\.gz")
_UNREADABLE = ManifestItem("", (), ())


@dataclass(frozen=True, slots=True)
class DockerImage:
    """An image in ``manifest.json``: its names and the digest of its config."""

    names: tuple[str, ...]
    config: Digest


def read_items(context: VerificationContext) -> tuple[ManifestItem, ...]:
    """Return the items of ``manifest.json`` in order; an unreadable item has an empty config."""
    document = read_document(
        context.contents, MANIFEST_FILE, "docker-archive-manifest", context.findings
    )
    if not isinstance(document, list):
        return ()
    if not document:
        context.findings.add(Rule.NO_IMAGES, MANIFEST_FILE, "lists no image")
    items = []
    for at, value in enumerate(document):
        try:
            item = as_object(value, where=MANIFEST_FILE)
            items.append(ManifestItem.from_json(item, where=MANIFEST_FILE))
        except TarkitError as error:
            items.append(_UNREADABLE)
            if not context.findings.holds(Rule.SCHEMA, MANIFEST_FILE):
                context.findings.add(Rule.MALFORMED_DOCUMENT, MANIFEST_FILE, f"[{at}]: {error}")
    return tuple(items)


def check_items(
    items: Sequence[ManifestItem], contents: ArchiveContents, context: VerificationContext
) -> Iterator[DockerImage]:
    """Check *items*; yield the images whose configs could be read."""
    for item in items:
        if item.config:
            config = _check_item(item, contents, context)
            if config:
                yield DockerImage(item.repo_tags, config)


def _check_item(
    item: ManifestItem, contents: ArchiveContents, context: VerificationContext
) -> Digest | None:
    try:
        found = contents.named(item.config)
        context.referenced.update(found)
        data = contents.archive.read(item.config, METADATA_LIMIT)
    except TarkitError as error:
        context.findings.blame(error, item.config, Rule.MALFORMED_DOCUMENT)
        # The layers can still be decompressed and counted as referenced.
        _claim_layers(item, [None] * len(item.layers), contents, context)
        return None
    actual = Digest.of(data)
    named = _CONFIG_DIGEST.fullmatch(item.config)
    if named and named[1] != actual.hex:
        message = f"the name does not match the digest of the content, {actual}"
        context.findings.add(Rule.CONFIG_NAME, found[-1].name, message)
    diff_ids = check_config(data, len(item.layers), found[-1].name, context.findings)
    _claim_layers(item, diff_ids or [None] * len(item.layers), contents, context)
    return actual


def _claim_layers(
    item: ManifestItem,
    diff_ids: Sequence[Digest | None],
    contents: ArchiveContents,
    context: VerificationContext,
) -> None:
    """Add a claim about every layer; a layer listed twice needs to be stored only once."""
    present: set[Digest | None] = set()
    missing: dict[str, Digest | None] = {}
    for path, diff_id in zip(item.layers, diff_ids, strict=True):
        try:
            found = contents.named(path)
        except TarkitError as error:
            context.findings.blame(error, path)
            continue
        # Docker also loads an archive if another path has a layer with the same diff ID.
        if found:
            present.add(diff_id)
        else:
            missing[path] = diff_id
        for content in found:
            _claim_layer(item, path, diff_id, content, context)
    for path, diff_id in missing.items():
        if diff_id is None or diff_id not in present:
            context.findings.add(Rule.MISSING_BLOB, MANIFEST_FILE, f"layer {path!r} is missing")


def _claim_layer(
    item: ManifestItem,
    path: str,
    diff_id: Digest | None,
    content: StoredBlob,
    context: VerificationContext,
) -> None:
    """Add the claims about the layer at *path*: diff ID, name, and ``LayerSources``."""
    context.referenced.add(content)
    named = _LAYER_DIGEST.fullmatch(path)  # crane names layers after their compressed digest
    digest = Digest("sha256", named[1]) if named else content.digest
    if digest == diff_id:
        digest = None  # some tools name compressed layers by diff ID, which is checked anyway
    context.claims.add(content, Claim(digest, diff_id=diff_id, layer=True))
    source = item.layer_sources.get(diff_id) if diff_id else None
    if source and not source.urls:  # an entry with URLs describes the download, not this file
        media_type = source.media_type if media_types.is_layer(source.media_type) else ""
        claim = Claim(source.digest, source.size, diff_id, media_type, layer=True)
        context.claims.add(content, claim)
