"""Which blob of a repository is which layer: what lets a second copy reuse the compressed layers of the first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from tarkit.errors import CancelledError, TarkitError
from tarkit.image.config import ImageConfig
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import Index, Manifest
from tarkit.transports.registry.repository import Repository

_IMAGES_LIMIT = 32  # each costs two requests
_DEPTH_LIMIT = 8


def layers_by_diff_id(
    repository: Repository, tags: Iterable[str]
) -> Mapping[Digest, Sequence[Descriptor]]:
    """Return the layers of the images called *tags*, by diff ID.

    An image that is missing, broken or no image adds nothing and stops nothing.
    """
    lesson = _Lesson(repository)
    for tag in tags:
        lesson.learn(tag, _DEPTH_LIMIT)
    return lesson.layers


class _Lesson:
    """The layers found so far, and how many more images may be looked at."""

    def __init__(self, repository: Repository) -> None:
        self.layers: dict[Digest, list[Descriptor]] = defaultdict(list)
        self._repository = repository
        self._images_left = _IMAGES_LIMIT

    def learn(self, name: str | Digest, depth: int) -> None:
        """Add the layers of the image *name*, or of those in the index *name*."""
        if not depth or not self._images_left:
            return
        try:
            raw = self._repository.try_manifest(name)
            if raw is not None and raw.is_index:
                for child in Index.parse(raw).manifests:
                    self.learn(child.digest, depth - 1)
            elif raw is not None:
                self._images_left -= 1
                self._learn_image(Manifest.parse(raw))
        except CancelledError:
            raise
        except TarkitError:
            return

    def _learn_image(self, manifest: Manifest) -> None:
        data = self._repository.try_blob(manifest.config)
        if data is None:
            return
        manifest.require_image(data)
        config = ImageConfig.parse(data)
        config.require_layers(len(manifest.layers))
        for diff_id, layer in zip(config.diff_ids, manifest.layers, strict=True):
            self.layers[diff_id].append(layer)
