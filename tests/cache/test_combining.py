"""Merges and diffs of random refs, and of layers that cannot be moved as they are."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings

from tarkit.cache.facts import UNCOMPRESSED
from tarkit.cache.manager import CacheManager
from tarkit.cache.policies import PrunePolicy
from tarkit.cache.refs import ImmutableRef
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.media_types import OCI_LAYER
from tarkit.rootfs.filesystem import FileSystem
from tests.cache.refs import RETAIN, made
from tests.rootfs.chains import files_of
from tests.rootfs.layers import Item, directory, file, hard, link, pack
from tests.rootfs.random_changes import Step, change_staged, steps
from tests.rootfs.test_layer_writer import facts


def changed(manager: CacheManager, parent: ImmutableRef | None, todo: list[Step]) -> ImmutableRef:
    """Return a ref with the changes *todo*."""
    active = manager.new(parent)
    for step in todo:
        change_staged(active.files, step)
    return active.commit()


def ref_of(manager: CacheManager, *layers: list[Item]) -> ImmutableRef:
    """Return the ref with *layers*, as blobs."""
    ref = None
    for layer in layers:
        data = pack(layer)
        digest = manager.store.content.add(data)
        annotations = {UNCOMPRESSED: str(Digest.of(data))}
        descriptor = Descriptor(OCI_LAYER, digest, len(data), annotations=annotations)
        ref = manager.get_by_blob(descriptor, ref)
    assert ref is not None
    return ref


def paths(files: FileSystem) -> list[str]:
    return [entry.path for entry in files.walk()]


@given(steps(), steps(), steps())
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_merge_with_a_difference_is_the_upper_ref(
    common: list[Step], below: list[Step], above: list[Step]
) -> None:
    with tempfile.TemporaryDirectory() as directory, CacheManager.open(directory) as manager:
        base = changed(manager, None, common)
        lower, upper = changed(manager, base, below), changed(manager, base, above)
        merged = manager.merge([lower, manager.diff(lower, upper)])
        assert merged is not None
        assert facts(merged.files) == facts(upper.files)
        chain = manager.merge([base, manager.diff(base, upper)])
        assert chain is not None
        assert facts(chain.files) == facts(upper.files)


def test_the_example_of_buildkit(manager: CacheManager) -> None:
    def add(parent: ImmutableRef | None, script: dict[str, tuple[str, int]]) -> ImmutableRef:
        active = manager.new(parent)
        for path, (text, mode) in script.items():
            if path.endswith("/"):
                active.files.mkdir(path, mode=mode)
            else:
                active.files.write(path, text.encode(), mode=mode)
        return active.commit()

    a = add(
        None, {"foo": ("A", 0o644), "a": ("A", 0o644), "bar/": ("", 0o700), "bar/A": ("A", 0o644)}
    )
    active = manager.new(a)
    active.files.remove("foo")
    active.files.write("b", b"B")
    active.files.write("bar/B", b"B")
    b = active.commit()
    active = manager.new()
    active.files.write("foo", b"C", mode=0o775)
    active.files.write("c", b"C")
    active.files.mkdir("bar", mode=0o777)
    active.files.write("bar/A", b"C", mode=0o400)
    active.files.symlink("symlink", "foo")
    active.files.link("hardlink", "bar/A")
    c = active.commit()
    ba = manager.diff(a, b)

    one = manager.merge([a, ba, c])
    assert one is not None
    assert paths(one.files) == [
        "/", "/a", "/b", "/bar", "/bar/A", "/bar/B", "/c", "/foo", "/hardlink", "/symlink",
    ]  # fmt: skip
    assert one.files.read_text("foo") == "C"
    assert one.files.stat("bar").mode == 0o777
    assert (one.files.read_text("bar/A"), one.files.stat("bar/A").mode) == ("C", 0o400)
    assert one.files.stat("hardlink").links == 2

    two = manager.merge([c, a, ba])
    assert two is not None
    assert not two.files.exists("foo")
    assert two.files.stat("bar").mode == 0o700
    assert two.files.read_text("bar/A") == "A"
    assert two.files.read_text("bar/B") == "B"
    assert (two.files.read_text("hardlink"), two.files.stat("hardlink").links) == ("C", 1)


def test_a_layer_that_refers_to_lower_ones_is_written_again(manager: CacheManager) -> None:
    lower = [directory("usr"), directory("usr/lib"), file("usr/lib/a"), link("lib", "usr/lib")]
    upper = [file("lib/b"), file("usr/lib/.wh..wh..opq"), hard("usr/c", "lib/a")]
    image = ref_of(manager, lower, upper)
    base = made(manager, "lib-of-base")
    merged = manager.merge([base, image])
    assert merged is not None
    expected = ["/", "/lib", "/lib-of-base", "/usr", "/usr/c", "/usr/lib", "/usr/lib/b"]
    assert paths(image.files) == [path for path in expected if path != "/lib-of-base"]
    assert paths(merged.files) == expected
    other = manager.merge([base, manager.diff(ref_of(manager, lower), image)])
    assert other is not None
    assert "/usr/lib/b" in paths(other.files)
    # as an image it has the same files
    with FileSystem.of(merged) as files:
        assert paths(files) == expected


def test_the_blobs_of_a_merge_have_its_files(manager: CacheManager) -> None:
    lower = [directory("usr"), file("usr/a"), file("usr/b")]
    image = ref_of(manager, lower, [file("usr/.wh..wh..opq"), file("usr/c")])
    base = ref_of(manager, [directory("usr"), file("usr/of-base")])
    merged = manager.merge([base, image])
    assert merged is not None
    assert paths(merged.files) == ["/", "/usr", "/usr/c", "/usr/of-base"]
    (remote,) = merged.get_remotes(create=True)
    ref = None
    for descriptor in remote.descriptors:
        ref = manager.get_by_blob(descriptor, ref)
    assert ref is not None
    assert paths(ref.files) == paths(merged.files)
    assert [each.digest for each in remote.descriptors[:2]] == [
        each.digest
        for part in (base, manager.get(image.record.parents[0]))
        for each in part.get_remotes()[0].descriptors
    ]


def test_a_merge_of_layers_that_stand_alone_writes_nothing(manager: CacheManager) -> None:
    first, second = made(manager, "a"), made(manager, "b")
    for ref in (first, second):
        ref.finalize()
    tars = sorted((manager.store.root / "layers").iterdir())
    merged = manager.merge([first, second])
    assert merged is not None
    assert paths(merged.files) == ["/", "/a", "/b"]
    assert sorted((manager.store.root / "layers").iterdir()) == tars


def test_copied_files_outlive_their_source(root: Path) -> None:
    with CacheManager.open(root) as manager:
        source = made(manager, "source")
        source.finalize()
        active = manager.new(None, RETAIN)
        active.files.copy(source.files, "source", "copied")
        source.release()
        manager.prune([PrunePolicy()])
        assert active.files.read_text("copied") == "source"
        ref_id = active.id
    with CacheManager.open(root) as manager:
        manager.prune([PrunePolicy(filters=["id==none"])])
        with manager.get(ref_id) as ref:
            assert ref.files.read_text("copied") == "source"
    with CacheManager.open(root) as manager:
        manager.prune([PrunePolicy()])
        assert not [*root.glob("layers/*.tar")]


def test_files_of_an_image_elsewhere_are_stored(manager: CacheManager) -> None:
    active = manager.new()
    with files_of([file("x", "elsewhere")]) as source:
        active.files.copy(source, "x", "x")
    assert active.commit().files.read_text("x") == "elsewhere"
