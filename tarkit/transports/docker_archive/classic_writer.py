"""Write docker archives like skopeo's: plain layers named by diff ID, and Docker 1.x's files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from tarkit.errors import MalformedError
from tarkit.image import media_types
from tarkit.image.config import ImageConfig, chain_ids
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.document import JSON, METADATA_LIMIT, dump_json
from tarkit.image.manifest import Manifest, RawManifest
from tarkit.image.media_types import Compression, Family
from tarkit.image.reference import Reference
from tarkit.layout.archive_output import ArchiveOutput
from tarkit.protocols import ImageEntry, Profile
from tarkit.streams.chunks import read_bounded
from tarkit.streams.verify import VerifyingReader
from tarkit.transports.docker_archive.body import (
    NamedImages,
    add_docker_files,
    require_sha256,
)
from tarkit.transports.docker_archive.items import ManifestItem
from tarkit.values import dataclass

PROFILE = Profile(
    media_types=frozenset({media_types.DOCKER_MANIFEST}),
    family=Family.DOCKER,
    default_compression=dict.fromkeys(Compression, Compression.NONE),
    holds=frozenset({Compression.NONE}),
    ordered=True,
    keeps_manifest=False,
    absent_layers=False,
    artifacts=False,
)

_TOP_LAYER_KEYS = (
    "architecture", "config", "container", "container_config", "created", "docker_version", "os",
)  # fmt: skip


@dataclass(slots=True)
class _Image:
    config: Digest
    layers: tuple[Digest, ...]
    top_layer: str


class ClassicBody:
    """The images of a classic archive, as an ``ArchiveBody``."""

    def __init__(self, output: ArchiveOutput) -> None:
        self.output = output
        self._images = NamedImages[_Image]()
        self._configs: dict[Digest, ImageConfig] = {}
        self._legacy: dict[str, None] = {}

    def destination(self, references: tuple[Reference, ...]) -> ClassicDestination:
        """Return the destination of an image under *references*."""
        return ClassicDestination(self, references)

    def keeping(self, image: ImageEntry, references: tuple[Reference, ...]) -> ClassicDestination:
        """Return the destination of an image; this format has no index that could be kept."""
        return self.destination(references)

    def add_config(self, data: bytes) -> None:
        """Append a config unless the archive has it."""
        digest = Digest.of(data)
        if digest not in self._configs:
            self._configs[digest] = ImageConfig.parse(data, where=str(digest))
            self.output.add(f"{digest.hex}.json", data)

    def commit(self, manifest: Manifest, references: tuple[Reference, ...]) -> None:
        """Add an image, or only its names if the image exists.

        Raises :class:`MalformedError` if the same config was added with different layers.
        """
        require_sha256(manifest.config.digest, self.output.where)
        layers = tuple(layer.digest for layer in manifest.layers)
        image = self._images.get(manifest.config.digest)
        if image is None:
            top = self._add_legacy(layers, self._configs[manifest.config.digest])
            image = _Image(manifest.config.digest, layers, top)
        if image.layers != layers:
            raise MalformedError(
                f"config {image.config} is used with two sets of layers", where=self.output.where
            )
        self._images.add(image.config, image, references)

    def _add_legacy(self, layers: tuple[Digest, ...], config: ImageConfig) -> str:
        """Append the files of Docker 1.x, a directory per layer; return the ID of the top layer."""
        # A layer ID is the hash of the layer's document, which includes the ID of its parent. The
        # result matches containers/image byte for byte.
        parent = ""
        for position, (layer, chain_id) in enumerate(zip(layers, chain_ids(layers), strict=True)):
            document: JSON = {"layer_id": str(chain_id)}
            if position == len(layers) - 1:
                # Only the document of the top layer contains the image's config.
                document |= {key: config.document.get(key) for key in _TOP_LAYER_KEYS}
            if parent:
                document["parent"] = parent
            parent = hashlib.sha256(_sorted_json(document)).hexdigest()
            # The hash covers "layer_id", but the stored document has "id" instead.
            del document["layer_id"]
            document["id"] = parent
            self._add_legacy_layer(parent, layer, _sorted_json(document))
        return parent

    def _add_legacy_layer(self, layer_id: str, layer: Digest, document: bytes) -> None:
        if layer_id not in self._legacy:
            self._legacy[layer_id] = None
            self.output.add_symlink(f"{layer_id}/layer.tar", f"../{layer.hex}.tar")
            self.output.add(f"{layer_id}/VERSION", b"1.0")
            self.output.add(f"{layer_id}/json", document)

    def blob_name(self, digest: Digest) -> str:
        """Return the name of the member that holds the layer with *digest*."""
        return f"{digest.hex}.tar"

    @contextmanager
    def undoing(self) -> Iterator[None]:
        """Forget the configs and layers that the block wrote, if it raises."""
        configs, legacy = len(self._configs), len(self._legacy)
        try:
            yield
        except BaseException:
            while len(self._configs) > configs:
                self._configs.popitem()
            while len(self._legacy) > legacy:
                self._legacy.popitem()
            raise

    def finish(self) -> bool:
        """Append ``manifest.json`` and ``repositories``; return False if there are no images."""
        items = [
            ManifestItem(
                config=f"{image.config.hex}.json",
                repo_tags=names,
                layers=tuple(f"{layer.hex}.tar" for layer in image.layers),
            )
            for image, names in self._images
        ]
        top_layers = {name: image.top_layer for image, names in self._images for name in names}
        add_docker_files(self.output, items, top_layers)
        return bool(items)


class ClassicDestination:
    """Receives an image of a classic archive, as a :class:`tarkit.protocols.Destination`."""

    profile = PROFILE

    def __init__(self, body: ClassicBody, references: tuple[Reference, ...]) -> None:
        self.where = body.output.where
        self._body = body
        self._references = references
        self._top: RawManifest | None = None

    def try_reuse(
        self,
        descriptor: Descriptor,
        *,
        diff_id: Digest | None,
        compressions: frozenset[Compression],
    ) -> Descriptor | None:
        """Return the layer with *diff_id* in this archive, or None; other layers are not reused."""
        # Layers are stored uncompressed, so the digest of a layer is its diff ID.
        size = self._body.output.size(diff_id) if diff_id else None
        if diff_id is None or size is None:
            return None
        return Descriptor(media_types.DOCKER_LAYER, diff_id, size)

    def put_blob(self, blob: VerifyingReader, media_type: str) -> Descriptor:
        """Append the config or layer *blob* and return its descriptor."""
        # The config's content is needed later for the legacy files.
        if media_type in media_types.CONFIGS:
            self._body.add_config(read_bounded(blob, METADATA_LIMIT))
        else:
            self._body.output.put_blob(blob, self._body.blob_name)
        return Descriptor(media_type, blob.digest, blob.size)

    def put_manifest(self, manifest: RawManifest) -> None:
        """Keep *manifest* for :meth:`commit`; the format does not store the manifest itself."""
        self._top = manifest

    def commit(self) -> Descriptor:
        """Add the image of the last manifest to the archive."""
        if self._top is None:
            raise RuntimeError("commit() before put_manifest()")
        self._body.commit(Manifest.parse(self._top), self._references)
        return self._top.descriptor


def _sorted_json(document: JSON) -> bytes:
    """Serialize *document* like a Go map, with sorted keys and escaped HTML characters.

    The layer IDs are the hashes of these bytes.
    """
    data = dump_json(dict(sorted(document.items())))
    for character in "<>&":
        data = data.replace(character.encode(), f"\\u{ord(character):04x}".encode())
    return data
