"""Several threads with one manager, and one ref."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tarkit.cache.manager import CacheManager
from tests.cache.refs import Blob, made, snapshots, usage


def test_threads_read_one_lazy_chain(manager: CacheManager) -> None:
    blobs = [Blob({name: name * 1000}) for name in "abc"]
    ref = None
    for blob in blobs:
        ref = manager.get_by_blob(blob.descriptor, ref, blob.options)
    assert ref is not None

    def read(name: str) -> str:
        with ref.clone() as own:
            return own.files.read_text(name)

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(read, "abcabcabc")) == [name * 1000 for name in "abcabcabc"]
    assert [blob.opened for blob in blobs] == [1, 1, 1]
    assert snapshots(manager) == 3


def test_threads_finalize_and_read_one_commit(manager: CacheManager) -> None:
    active = manager.new()
    for name in "abcdef":
        active.files.write(name, name.encode())
    ref = active.commit()

    def use(number: int) -> str:
        if number % 2:
            ref.finalize()
        with ref.clone() as own:
            return own.files.read_text("f")

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(use, range(12))) == {"f"}
    assert snapshots(manager) == 1


def test_threads_build_on_one_ref(manager: CacheManager) -> None:
    base = made(manager, "base")

    def build(number: int) -> str:
        with made(manager, f"f{number}", base) as ref, manager.diff(base, ref) as difference:
            merged = manager.merge([base, difference])
            assert merged is not None
            with merged:
                assert merged.files.exists("base")
                return merged.files.read_text(f"f{number}")

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(build, range(12))) == [f"f{number}" for number in range(12)]
    base.release()
    assert usage(manager)[0] == 0
