"""Cache mounts: mutable refs that last from build to build, found by the ID of the cache."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tarkit.cache.facts import CachePolicy, RecordType
from tarkit.cache.manager import CacheManager
from tarkit.cache.options import RefOptions
from tarkit.cache.refs import ImmutableRef, MutableRef
from tarkit.errors import LockedError, NotFoundError
from tarkit.llb.messages import CacheSharing
from tarkit.streams.cancellation import check

_KEY = "tarkit.cache-mount"
_PAUSE = 0.05  # seconds between attempts to get a cache that another process uses


class CacheMounts:
    """The cache mounts in the store of *manager*. Threads may use it at once."""

    def __init__(self, manager: CacheManager) -> None:
        self._manager = manager
        self._lock = threading.Lock()
        self._shared: dict[str, _Shared] = {}

    @contextmanager
    def directory(
        self, cache_id: str, base: ImmutableRef | None, sharing: CacheSharing
    ) -> Iterator[tuple[MutableRef, Path]]:
        """Provide a cache as a directory for the block; *base* is its first content.

        Changes are kept even if the block raises. A private cache that is in use is not shared:
        another one is made. A locked one is waited for. A shared one is the same directory for all
        users in this process, and waited for if another process has it.
        """
        index = f"cache-dir:{cache_id}" + (f":{base.id}" if base is not None else "")
        if sharing != CacheSharing.SHARED:
            with self._used(index, base, is_private=sharing == CacheSharing.PRIVATE) as used:
                yield used
            return
        shared = self._join(index)
        try:
            with shared.lock:
                if shared.used is None:
                    shared.used = shared.stack.enter_context(
                        self._used(index, base, is_private=False)
                    )
            yield shared.used
        finally:
            self._leave(index, shared)

    def _join(self, index: str) -> _Shared:
        with self._lock:
            shared = self._shared.setdefault(index, _Shared())
            shared.users += 1
            return shared

    def _leave(self, index: str, shared: _Shared) -> None:
        with shared.lock:
            with self._lock:
                shared.users -= 1
                if shared.users:
                    return
                del self._shared[index]
            shared.stack.close()

    @contextmanager
    def _used(
        self, index: str, base: ImmutableRef | None, *, is_private: bool
    ) -> Iterator[tuple[MutableRef, Path]]:
        with self._ref(index, base, is_private=is_private) as ref, ExitStack() as stack:
            mount = ref.mount()
            path = mount.__enter__()
            # also after an error, since the cache is kept
            stack.callback(mount.__exit__, None, None, None)
            yield ref, path

    def _ref(self, index: str, base: ImmutableRef | None, *, is_private: bool) -> MutableRef:
        while True:
            check()
            found = self._manager.search(index)
            for each in found:
                try:
                    return self._manager.get_mutable(each.id)
                except (LockedError, NotFoundError):
                    continue
            if not found or is_private:
                return self._new(index, base)
            time.sleep(_PAUSE)

    def _new(self, index: str, base: ImmutableRef | None) -> MutableRef:
        options = RefOptions(
            f"cache mount {index.partition(':')[2]}",
            record_type=RecordType.CACHE_MOUNT,
            policy=CachePolicy.RETAIN,
        )
        ref = self._manager.new(base, options)
        ref.set(_KEY, index, index=index)
        return ref


class _Shared:
    """A cache that several processes of this engine use at once."""

    def __init__(self) -> None:
        self.users = 0
        self.lock = threading.Lock()
        self.used: tuple[MutableRef, Path] | None = None
        self.stack = ExitStack()
