"""Directories of this machine, of which only the changed files are read in later builds."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tarkit.cache.facts import CachePolicy, RecordType
from tarkit.cache.manager import CacheManager
from tarkit.cache.options import RefOptions
from tarkit.cache.refs import ImmutableRef, MutableRef
from tarkit.errors import LockedError, MalformedError, NotFoundError, RefusedError
from tarkit.llb.messages import Op
from tarkit.rootfs.content_hash import TreeDigests
from tarkit.solver.content import ContentDigests
from tarkit.solver.keys.cache_map import CacheMap
from tarkit.solver.keys.digests import joined_digest, text_digest
from tarkit.solver.keys.sources import local_map
from tarkit.solver.operation import Ref, Report
from tarkit.solver.operations.local_filter import LocalFilter, followed
from tarkit.solver.operations.local_sync import LocalSync, LocalWalk, is_current
from tarkit.solver.operations.local_table import LocalTable
from tarkit.solver.operations.progress import Steps
from tarkit.streams.directory import Directory
from tarkit.streams.os_errors import os_errors

_INDEX = "local-source"
_TABLE = "local-table"
_MOST_GARBAGE = 64 << 20  # bytes of data no longer used, before all is read again
_ROOT = text_digest("").encode()  # BuildKit's clients do not send the root directory


class LocalOperation:
    """A directory that the build may read.

    Its copy is a mutable ref that later builds bring up to date. It belongs to the directory and the
    shared key hint or, without hint, to the patterns. ``read`` counts the files that were read.
    """

    def __init__(
        self,
        op: Op,
        manager: CacheManager,
        locals: dict[str, Path],
        content: ContentDigests,
        name: str,
    ) -> None:
        assert op.source is not None
        self._op, self._attrs = op, op.source.attrs
        self._manager, self._locals, self._content = manager, locals, content
        self._name = name
        self.read = 0

    def cache_map(self) -> CacheMap:
        """See :class:`~tarkit.solver.operation.Operation`."""
        return local_map(self._op, self._attrs.get("local.session", ""))

    def run(self, inputs: Sequence[Ref], report: Report) -> Sequence[Ref]:
        """See :class:`~tarkit.solver.operation.Operation`."""
        path = self._path()
        with os_errors(path):
            top = Directory.open(path)
        with top, Steps(report).step("transferring files"):
            index = f"{_INDEX}:{self._key(path)}"
            ref, table = self._unchanged(index, top) or self._updated(index, top)
        self._remember(ref, table)
        return [ref]

    def _unchanged(self, index: str, top: Directory) -> tuple[ImmutableRef, LocalTable] | None:
        """Return the copy of an earlier build if the directory has not changed since."""
        if self._attrs.get("local.differ") == "none":
            return None
        for found in self._manager.search(index):
            with suppress(NotFoundError, LockedError):
                data = found.external(_TABLE)
                table = LocalTable.decode(data)
                if table is None or not is_current(LocalWalk(top, self._filter(top)), table):
                    continue
                ref = self._manager.get(found.id)
                if found.external(_TABLE) == data:
                    return ref, table
                ref.release()  # another process has brought it up to date since
        return None

    def _updated(self, index: str, top: Directory) -> tuple[ImmutableRef, LocalTable]:
        """Bring a copy up to date, and commit it."""
        with self._mutable(index) as active:
            table = self._table(active)
            active.set_external(_TABLE, None)  # until the files agree with it again
            sync = LocalSync(active.files, LocalWalk(top, self._filter(top)), table)
            sync.run()
            self.read = sync.read
            active.set_external(_TABLE, table.encode())
            return active.commit(), table

    def _path(self) -> Path:
        assert self._op.source is not None
        name = self._op.source.identifier.removeprefix("local://")
        path = self._locals.get(name)
        if path is None:
            raise NotFoundError(
                f"no access to the directory {name[:80]!r}", where=self._name,
                hint=f"give it to the build: --local {name[:80]}=DIR",
            )  # fmt: skip
        return path

    # the copy

    def _mutable(self, index: str) -> MutableRef:
        """Return the copy of an earlier build, or a new one if none is free."""
        for found in self._manager.search(index):
            with suppress(NotFoundError, LockedError, RefusedError):
                active = self._manager.get_mutable(found.id)
                table = LocalTable.decode(active.external(_TABLE))
                if table is not None and table.garbage <= max(_MOST_GARBAGE, table.live()):
                    return active
                active.policy = CachePolicy.DEFAULT  # removed with its last reference
                active.release()
        options = RefOptions(
            description=f"local source for {self._name.removeprefix('local://')}",
            record_type=RecordType.LOCAL_SOURCE,
            policy=CachePolicy.RETAIN,
        )
        active = self._manager.new(None, options)
        active.set(_INDEX, index, index=index)
        return active

    def _key(self, path: Path) -> str:
        hint = self._attrs.get("local.sharedkeyhint", "")
        names = ("local.includepattern", "local.excludepatterns", "local.followpaths")
        patterns = [] if hint else [self._attrs.get(name, "") for name in names]
        return joined_digest([self._name, os.path.realpath(path), hint, *patterns])

    def _table(self, active: MutableRef) -> LocalTable:
        table = LocalTable.decode(active.external(_TABLE))
        if table is None or self._attrs.get("local.differ") == "none":
            for name in list(active.files.tree.top.entries):
                active.files.drop([name])
            return LocalTable()
        return table

    def _remember(self, ref: ImmutableRef, table: LocalTable) -> None:
        """Note the digests of the files, so that nothing reads them again to compute keys."""
        known = self._content.of(ref)
        digests = TreeDigests(ref.files, known)
        tree = digests.tree
        digests.remember(tree.top, _ROOT)
        for path, digest in table.digests().items():
            trail = tree.trail(os.fsencode(path).split(b"/"), follow=False)
            if not trail.missing:
                digests.remember(trail.values[-1], digest.encode())

    # patterns

    def _filter(self, top: Directory) -> LocalFilter:
        include = self._patterns("local.includepattern")
        paths = self._patterns("local.followpaths")
        if paths:
            targets = followed(top, paths)
            include = [*include, *targets] if targets else include
        return LocalFilter(include, self._patterns("local.excludepatterns"))

    def _patterns(self, attribute: str) -> list[str]:
        text = self._attrs.get(attribute)
        if not text:
            return []
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
            raise MalformedError(f"{attribute} is not a list of patterns", where=self._name)
        return found
