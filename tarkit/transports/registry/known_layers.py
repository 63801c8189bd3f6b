"""Find the layers of existing images by diff ID, so that repeated copies reuse them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from tarkit.errors import CancelledError, TarkitError
from tarkit.image.config import ImageConfig
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import Index, Manifest, RawManifest
from tarkit.image.walk import leaves
from tarkit.transports.registry.repository import Repository

_MANIFESTS_LIMIT = 32  # each manifest takes two requests, with its config


def layers_by_diff_id(
    repository: Repository, tags: Iterable[str]
) -> Mapping[Digest, Sequence[Descriptor]]:
    """Return the layers of the images tagged *tags*, by diff ID.

    Manifests that are missing or broken, or do not describe an image, are skipped.
    """
    layers: dict[Digest, list[Descriptor]] = defaultdict(list)
    for raw in _manifests(repository, tags):
        with _skipping_errors():
            for diff_id, layer in _layers_of(repository, Manifest.parse(raw)):
                layers[diff_id].append(layer)
    return layers


def _manifests(repository: Repository, tags: Iterable[str]) -> Iterator[RawManifest]:
    """Yield the manifests behind *tags*, including those in indexes."""
    budget = iter(range(_MANIFESTS_LIMIT))

    def read(name: str | Digest) -> RawManifest | None:
        if next(budget, None) is not None:
            with _skipping_errors():
                return repository.try_manifest(name)
        return None

    for tag in tags:
        raw = read(tag)
        if raw is not None and not raw.is_index:
            yield raw
        elif raw is not None:
            with _skipping_errors():
                entries = Index.parse(raw).manifests
                ways = leaves(entries, lambda entry: read(entry.digest), where=repository.name)
                yield from filter(None, (read(way[-1].digest) for way in ways))


def _layers_of(repository: Repository, manifest: Manifest) -> Iterable[tuple[Digest, Descriptor]]:
    data = repository.try_blob(manifest.config)
    if data is None:
        return ()
    manifest.require_image(data)
    config = ImageConfig.parse(data)
    config.require_layers(len(manifest.layers))
    return zip(config.diff_ids, manifest.layers, strict=True)


@contextmanager
def _skipping_errors() -> Iterator[None]:
    """Ignore errors of an optional step, but not a cancellation."""
    try:
        yield
    except CancelledError:
        raise
    except TarkitError:
        return
