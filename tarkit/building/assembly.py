"""Assemble a new image: write the layers, then the config with its history, then the manifest."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import BinaryIO

from tarkit.building.layer import Change, LayerWriter
from tarkit.building.settings import Settings
from tarkit.building.source import BuiltSource
from tarkit.image import media_types
from tarkit.image.config import ImageConfig
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.document import JSON, dump_json, parse_object
from tarkit.image.manifest import Manifest
from tarkit.image.media_types import Compression, Family
from tarkit.image.platform import Platform
from tarkit.protocols import Source
from tarkit.rootfs.filesystem import FileSystem
from tarkit.rootfs.layer_data import LayerData
from tarkit.rootfs.merge import Merger
from tarkit.rootfs.overlay.overlay import Overlay
from tarkit.selection.select import read_config, select_image
from tarkit.streams.hashing import file_digest
from tarkit.tar.epoch import source_date_epoch
from tarkit.tar.spool import new_spool

_LAST_SECOND = 253_402_300_799  # of the year 9999, the last one of RFC 3339


@dataclass(frozen=True, slots=True)
class NewLayer:
    """A layer to write: the *change* that writes its entries, and the *instruction* for the history."""

    change: Change
    keep_times: bool
    instruction: str


Step = NewLayer | Settings


@dataclass(slots=True)
class _LayerFiles(Overlay):
    """An overlay that writes each of *steps* to a file of its own while it changes the tree."""

    steps: Sequence[NewLayer] = ()
    stack: ExitStack = field(default_factory=ExitStack)
    written: list[BinaryIO] = field(default_factory=list)

    def lay(self, contents: LayerData, merger: Merger) -> None:
        """Apply the steps to the merged tree, and write each of them to its file."""
        for step in self.steps:
            file = self.stack.enter_context(new_spool())
            work = LayerWriter(contents, merger, file, keep_times=step.keep_times)
            step.change(work)
            work.close()
            self.written.append(file)


def assemble(
    base: Source | None, platform: Platform | None, steps: Sequence[Step], stack: ExitStack
) -> BuiltSource:
    """Return the image that *steps* make of *base*'s image for *platform*, or of an empty image.

    *stack* closes the temporary files of the new layers.
    """
    source = base or scratch(platform or Platform.system())
    manifest = Manifest.parse(select_image(source, platform if base else None))
    document = parse_object(read_config(source, manifest))
    files = _write_layers(source, platform if base else None, steps, stack)
    family = media_types.family_of(manifest.media_type) or Family.OCI
    layers = [_descriptor(file, family) for file in files]
    _update(document, manifest, steps, layers)
    config = dump_json(document)
    result = Manifest(
        manifest.media_type,
        Descriptor(media_types.config_type(manifest.media_type), Digest.of(config), len(config)),
        (*manifest.layers, *layers),
        manifest.annotations,
    )
    contents = {layer.digest: file for layer, file in zip(layers, files, strict=True)}
    return BuiltSource(base, result.serialize(), config, contents)


def scratch(platform: Platform) -> BuiltSource:
    """Return an image for *platform* without any layers."""
    document = platform.to_json() | {"rootfs": {"type": "layers", "diff_ids": []}}
    config = dump_json(document)
    described = Descriptor(media_types.OCI_CONFIG, Digest.of(config), len(config))
    manifest = Manifest(media_types.OCI_MANIFEST, described, ())
    return BuiltSource(None, manifest.serialize(), config, {})


def _write_layers(
    source: Source, platform: Platform | None, steps: Sequence[Step], stack: ExitStack
) -> list[BinaryIO]:
    new = [step for step in steps if isinstance(step, NewLayer)]
    if not new:
        return []  # the layers of the base need not be read
    overlay = _LayerFiles(steps=new, stack=stack)
    FileSystem.of(source, platform=platform, overlay=overlay).close()
    return overlay.written


def _descriptor(file: BinaryIO, family: Family) -> Descriptor:
    media_type = media_types.layer_type(media_types.OCI_LAYER, family, Compression.NONE)
    assert media_type is not None
    size = os.fstat(file.fileno()).st_size
    return Descriptor(media_type, file_digest(file, "the new layer"), size)


def _update(
    document: JSON, manifest: Manifest, steps: Sequence[Step], layers: Sequence[Descriptor]
) -> None:
    """Apply *steps* to the config *document*, and add their history and diff IDs."""
    config = ImageConfig.parse(dump_json(document))
    config.require_layers(len(manifest.layers))
    created = document["created"] = _created()
    history = document["history"] = list(document.get("history") or [])
    described = sum(not entry.empty_layer for entry in config.history)
    history += [{} for _ in range(len(manifest.layers) - described)]  # the base has no history
    for step in steps:
        entry = {"created": created, "comment": "tarkit"}
        if isinstance(step, NewLayer):
            history.append({**entry, "created_by": step.instruction})
            continue
        for instruction in step.apply(document):
            history.append({**entry, "created_by": instruction, "empty_layer": True})
    diff_ids = [*config.diff_ids, *(layer.digest for layer in layers)]
    document["rootfs"] = {"type": "layers", "diff_ids": list(map(str, diff_ids))}


def _created() -> str:
    seconds = min(source_date_epoch() or 0, _LAST_SECOND)
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
