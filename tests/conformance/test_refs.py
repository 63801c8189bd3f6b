"""Merges and differences of random refs, as umoci extracts them."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest

from tarkit import CacheManager, Descriptor, Digest, ImmutableRef, copy_image, open_writer
from tarkit.cache.facts import UNCOMPRESSED
from tarkit.image.media_types import OCI_LAYER
from tests.conformance.test_differences import kept, random_layers
from tests.conformance.tools import Tool
from tests.rootfs.trees import facts_of_directory, facts_of_image

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root unpacks everything")


def ref_of(manager: CacheManager, layers: list[bytes]) -> ImmutableRef:
    """Return the ref with *layers*, as blobs."""
    ref = None
    for layer in layers:
        digest = manager.store.content.add(layer)
        annotations = {UNCOMPRESSED: str(Digest.of(layer))}
        descriptor = Descriptor(OCI_LAYER, digest, len(layer), annotations=annotations)
        ref = manager.get_by_blob(descriptor, ref)
    assert ref is not None
    return ref


def test_umoci_extracts_a_merge_as_the_upper_ref(umoci: Tool, tmp_path: Path) -> None:
    random = Random(11)
    with CacheManager.open(tmp_path / "store") as manager:
        lower, upper = (ref_of(manager, random_layers(random)) for _ in range(2))
        merged = manager.merge([lower, manager.diff(lower, upper)])
        assert merged is not None
        with open_writer(f"oci:{tmp_path / 'layout'}") as writer:
            copy_image(merged, writer.destination("app"))
        umoci("unpack", "--image", f"{tmp_path / 'layout'}:app", tmp_path / "bundle")
        extracted = facts_of_directory(tmp_path / "bundle" / "rootfs")
        assert kept(extracted) == kept(facts_of_image(upper.files))


def test_umoci_extracts_a_merge_of_layers_that_were_moved(umoci: Tool, tmp_path: Path) -> None:
    random = Random(12)
    with CacheManager.open(tmp_path / "store") as manager:
        first, second = (ref_of(manager, random_layers(random)) for _ in range(2))
        merged = manager.merge([first, second])
        assert merged is not None
        assert merged.files.exists("/")
        assert [*(tmp_path / "store" / "layers").glob("moved-*.tar")]
        with open_writer(f"oci:{tmp_path / 'layout'}") as writer:
            copy_image(merged, writer.destination("app"))
        umoci("unpack", "--image", f"{tmp_path / 'layout'}:app", tmp_path / "bundle")
        extracted = facts_of_directory(tmp_path / "bundle" / "rootfs")
        assert kept(extracted) == kept(facts_of_image(merged.files))
