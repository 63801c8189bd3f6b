"""Lazy refs: nothing is transferred before it is needed, and origins survive restarts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tarkit.cache.facts import UNCOMPRESSED
from tarkit.cache.manager import CacheManager
from tarkit.cache.options import DescHandler, RefOptions
from tarkit.errors import DigestMismatchError, NeedsRemoteProviderError, UsageError
from tarkit.image.config import ImageConfig
from tarkit.image.descriptor import Descriptor
from tarkit.image.manifest import Manifest
from tarkit.progress import Event, Progress
from tarkit.protocols import Source
from tarkit.selection.select import read_config
from tarkit.transports.location import open_source
from tarkit.values import replace
from tests.cache.refs import Blob
from tests.store.images import layout_at


class Origin:
    """Opens locations, each a blob."""

    def __init__(self, **blobs: Blob) -> None:
        self.blobs = blobs
        self.opened: list[str] = []

    @contextmanager
    def __call__(self, location: str) -> Iterator[Source]:
        self.opened.append(location)
        yield self.blobs[location]  # type: ignore[misc]


def test_a_lazy_ref_is_fetched_when_it_is_read(manager: CacheManager) -> None:
    blob = Blob({"a": "text"})
    ref = manager.get_by_blob(blob.descriptor, None, blob.options)
    assert ref.is_lazy
    assert (ref.size, blob.opened) == (0, 0)
    assert ref.files.read_text("a") == "text"
    assert not ref.is_lazy
    ref.extract()
    assert blob.opened == 1


def test_unlazy_fetches_without_extracting(manager: CacheManager) -> None:
    blobs = [Blob({name: name}) for name in "ab"]
    base = manager.get_by_blob(blobs[0].descriptor, None, blobs[0].options)
    top = manager.get_by_blob(blobs[1].descriptor, base, blobs[1].options)
    top.unlazy()
    assert [blob.opened for blob in blobs] == [1, 1]
    assert top.is_blob_only
    assert base.is_blob_only


def test_all_missing_blobs_are_listed(root: Path) -> None:
    blobs = [Blob({name: name}) for name in "abc"]
    handlers = {key: value for blob in blobs for key, value in blob.options.handlers.items()}
    with CacheManager.open(root) as manager:
        with pytest.raises(NeedsRemoteProviderError) as caught:
            manager.get_by_blob(blobs[0].descriptor)
        assert caught.value.digests == (blobs[0].descriptor.digest,)
        ref = None
        for blob in blobs:
            ref = manager.get_by_blob(blob.descriptor, ref, RefOptions(handlers=handlers))
        assert ref is not None
        ref_id = ref.id
    with CacheManager.open(root) as manager:
        with pytest.raises(NeedsRemoteProviderError) as caught:
            manager.get(ref_id)
        assert set(caught.value.digests) == set(handlers)
        some = RefOptions(handlers=dict(list(handlers.items())[:2]))
        with pytest.raises(NeedsRemoteProviderError) as caught:
            manager.get(ref_id, some)
        assert caught.value.digests == (blobs[2].descriptor.digest,)
        with manager.get(ref_id, RefOptions(handlers=handlers)) as ref:
            assert ref.desc_handler(blobs[0].descriptor.digest) is not None
            assert ref.files.read_text("c") == "c"
    with CacheManager.open(root) as manager, manager.get(ref_id) as ref:
        assert ref.files.read_text("a") == "a"  # no longer lazy


def test_a_location_survives_a_restart(root: Path) -> None:
    blob = Blob({"a": "text"})
    options = RefOptions(handlers={blob.descriptor.digest: DescHandler(location="origin")})
    with CacheManager.open(root, open_location=Origin(origin=blob)) as manager:
        ref_id = manager.get_by_blob(blob.descriptor, None, options).id
    origin = Origin(origin=blob)
    with CacheManager.open(root, open_location=origin) as manager, manager.get(ref_id) as ref:
        assert origin.opened == []
        assert ref.files.read_text("a") == "text"
        assert origin.opened == ["origin"]
    with CacheManager.open(root) as manager, manager.get(ref_id) as ref:
        assert ref.files.read_text("a") == "text"


def test_a_wrong_blob_is_refused_and_can_be_fetched_again(manager: CacheManager) -> None:
    blob, other = Blob({"a": "text"}), Blob({"a": "evil"})
    right, blob.data = blob.data, other.data.ljust(len(blob.data), b"\0")[: len(blob.data)]
    ref = manager.get_by_blob(blob.descriptor, None, blob.options)
    with pytest.raises(DigestMismatchError):
        ref.extract()
    assert ref.is_lazy
    blob.data = right
    assert ref.files.read_text("a") == "text"


def test_a_blob_whose_plain_form_is_another_is_refused(manager: CacheManager) -> None:
    blob, other = Blob({"a": "text"}), Blob({"a": "other"})
    descriptor = replace(blob.descriptor, annotations=other.descriptor.annotations)
    ref = manager.get_by_blob(descriptor, None, blob.options)
    with pytest.raises(DigestMismatchError):
        ref.files.read_text("a")


def test_a_descriptor_without_diff_id(manager: CacheManager) -> None:
    blob = Blob({"a": "a"})
    plain = Descriptor(blob.descriptor.media_type, blob.descriptor.digest, blob.descriptor.size)
    with pytest.raises(UsageError, match="uncompressed"):
        manager.get_by_blob(plain, None, blob.options)


def test_new_on_a_lazy_ref_extracts_it(manager: CacheManager) -> None:
    blob = Blob({"a": "text"})
    base = manager.get_by_blob(blob.descriptor, None, blob.options)
    with manager.new(base) as active:
        assert not base.is_blob_only
        assert active.files.read_text("a") == "text"
        assert blob.opened == 1


def test_fetching_reports_progress(manager: CacheManager) -> None:
    blob = Blob({"a": "text" * 1000})
    seen: list[Progress] = []
    handler = DescHandler(blob, on_progress=seen.append)
    options = RefOptions(handlers={blob.descriptor.digest: handler})
    ref = manager.get_by_blob(blob.descriptor, None, options)
    assert seen == []
    ref.extract()
    assert seen[0].event is Event.STARTED
    assert (seen[-1].event, seen[-1].total_done) == (Event.FINISHED, len(blob.data))


def test_a_ref_in_a_location_is_lazy_until_it_is_read(
    root: Path, monkeypatch: pytest.MonkeyPatch, run: Callable[..., str], tmp_path: Path
) -> None:
    data = layout_at(tmp_path / "image", "image", {"a": b"from elsewhere"})
    with open_source(f"oci:{data}") as source:
        manifest = Manifest.parse(source.manifest())
        (diff_id,) = ImageConfig.parse(read_config(source, manifest)).diff_ids
    (layer,) = manifest.layers
    layer = replace(layer, annotations={UNCOMPRESSED: str(diff_id)})
    handlers = {layer.digest: DescHandler(location=f"oci:{data}")}
    with CacheManager.open(root, open_location=open_source) as manager:
        ref_id = manager.get_by_blob(layer, None, RefOptions(handlers=handlers)).id
        assert manager.store.content.blobs() == []
    monkeypatch.setenv("TARKIT_STORE", str(root))
    assert run("cat", f"store:@{ref_id}", "/a") == "from elsewhere"
    with CacheManager.open(root) as manager:
        assert len(manager.store.content.blobs()) == 1
        assert manager.metadata(ref_id).usage_count == 2
