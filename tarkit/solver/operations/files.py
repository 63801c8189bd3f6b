"""File operations: chains of actions on root filesystems, which are never unpacked."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from tarkit.cache.manager import CacheManager
from tarkit.cache.options import RefOptions
from tarkit.cache.refs import ImmutableRef, MutableRef
from tarkit.errors import TarkitError, UsageError
from tarkit.llb.messages import ChownOpt, FileAction, FileOp, Op
from tarkit.rootfs.filesystem import FileSystem
from tarkit.solver.empty import files_of
from tarkit.solver.keys.cache_map import CacheMap
from tarkit.solver.keys.operations import operation_map
from tarkit.solver.operation import Ref, Report
from tarkit.solver.operations.copies import copy
from tarkit.solver.operations.edits import mkdir, mkfile, rm, symlink
from tarkit.solver.operations.owners import Owner, owner_of
from tarkit.streams.cancellation import check


class FileOperation:
    """A file operation. Its outputs are the results of the actions that name one."""

    def __init__(self, op: Op, manager: CacheManager, name: str) -> None:
        assert op.file is not None
        self._op, self._file = op, op.file
        self._manager = manager
        self._name = name

    def cache_map(self) -> CacheMap:
        """See :class:`~tarkit.solver.operation.Operation`."""
        return operation_map(self._op)

    def run(self, inputs: Sequence[Ref], report: Report) -> Sequence[Ref]:
        """See :class:`~tarkit.solver.operation.Operation`."""
        with ExitStack() as stack:
            actions = _Actions(self._file, inputs, self._manager, self._name, stack)
            for number in range(len(self._file.actions)):
                check()
                actions.carry_out(number)
            return actions.outputs()


class _Actions:
    """The results of actions so far. Positions count the inputs first, then the actions.

    An action changes the result of an earlier one in place if nothing later needs that.
    """

    def __init__(
        self,
        op: FileOp,
        inputs: Sequence[Ref],
        manager: CacheManager,
        name: str,
        stack: ExitStack,
    ) -> None:
        self._actions = op.actions
        self._first = len(inputs)
        self._results: list[Ref | MutableRef] = list(inputs)
        self._manager = manager
        self._name = name
        self._options = RefOptions(description=name)
        self._stack = stack

    def carry_out(self, number: int) -> None:
        """Carry out one action, all before it having been."""
        action = self._actions[number]
        active = self._begin(action.input, number)
        self._results.append(active)
        try:
            self._change(active, action)
        except TarkitError as error:
            error.where = f"{self._name}: {error.where}" if error.where else self._name
            raise

    def _begin(self, position: int, number: int) -> MutableRef:
        """Return a ref to change, with the content at *position*."""
        base = self._results[position] if position >= 0 else None
        if isinstance(base, MutableRef):
            if not self._is_needed(position, after=number):
                return base
            base = self._committed(position)
        assert not isinstance(base, MutableRef)
        active = self._manager.new(base, self._options)
        self._stack.enter_context(active)
        return active

    def _is_needed(self, position: int, *, after: int) -> bool:
        """Return whether the result at *position* is an output, or read by a later action."""
        if self._actions[position - self._first].output >= 0:
            return True
        if self._secondary(self._actions[after], position):
            return True
        return any(
            each.input == position or self._secondary(each, position)
            for each in self._actions[after + 1 :]
        )

    def _secondary(self, action: FileAction, position: int) -> bool:
        """Return whether an action reads accounts or files at *position*."""
        kind = action.which("action")
        owner: ChownOpt | None = getattr(getattr(action, kind or "", None), "owner", None)
        users = (owner.user, owner.group) if owner is not None else ()
        named = (each.by_name.input for each in users if each is not None and each.by_name)
        return action.secondary_input == position or position in named

    def _committed(self, position: int) -> ImmutableRef:
        found = self._results[position]
        if isinstance(found, MutableRef):
            committed = found.commit()
            self._stack.enter_context(committed)
            for at, each in enumerate(self._results):
                if each is found:
                    self._results[at] = committed
            return committed
        assert found is not None
        return found

    def _files(self, position: int) -> FileSystem | None:
        """Return the files at *position* for reading, None for scratch."""
        if position < 0 or position >= len(self._results):
            return None
        found = self._results[position]
        return found.files if isinstance(found, MutableRef) else files_of(found)

    def _change(self, active: MutableRef, action: FileAction) -> None:
        files = active.files
        match action.which("action"):
            case "copy":
                assert action.copy is not None
                source = self._files(action.secondary_input) or files_of(None)
                copy(files, source, action.copy, self._owner(action.copy.owner))
            case "mkfile":
                assert action.mkfile is not None
                mkfile(files, action.mkfile, self._owner(action.mkfile.owner))
            case "mkdir":
                assert action.mkdir is not None
                mkdir(files, action.mkdir, self._owner(action.mkdir.owner))
            case "symlink":
                assert action.symlink is not None
                symlink(files, action.symlink, self._owner(action.symlink.owner))
            case "rm":
                assert action.rm is not None
                rm(files, action.rm)
            case _:
                raise UsageError("the action is unknown")
        files.flush()

    def _owner(self, option: ChownOpt | None) -> Owner | None:
        return owner_of(option, self._files)

    def outputs(self) -> list[Ref]:
        """Return new references to the outputs, in order."""
        wanted = {
            action.output: self._first + number
            for number, action in enumerate(self._actions)
            if action.output >= 0
        }
        if sorted(wanted) != list(range(len(wanted))):
            raise UsageError(f"outputs {sorted(wanted)} have gaps", where=self._name)
        made: list[Ref] = []
        with ExitStack() as failed:
            for output in sorted(wanted):
                found = self._results[wanted[output]]
                ref = found.commit() if isinstance(found, MutableRef) else found
                made.append(ref if isinstance(found, MutableRef) or ref is None else ref.clone())
                failed.callback(_release, made[-1])
            failed.pop_all()
        return made


def _release(ref: Ref) -> None:
    if ref is not None:
        ref.release()
