"""The scheduler: one thread that owns all vertices, and workers that execute and report back."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from typing import Any

from tarkit.errors import MalformedError, TarkitError
from tarkit.solver.content import ContentDigests
from tarkit.solver.events import LogEvent, StatusEvent, VertexEvent
from tarkit.solver.jobs import Job
from tarkit.solver.lookup import Lookup
from tarkit.solver.operation import Nested, Ref
from tarkit.solver.states import AT_WORK, Depth, Need, State
from tarkit.solver.vertex import Input, Vertex, Waiter, reason
from tarkit.streams.closeable import Closeable
from tarkit.streams.threads import start_thread
from tarkit.streams.workers import Pool
from tarkit.values import replace

Expand = Callable[[Vertex, Nested], Input | None]
"""Adds the definition of a nested build to the graph of its vertex, and returns its result."""


class Scheduler(Closeable):
    """Makes the transitions of :mod:`tarkit.solver.states`, each in the one thread that owns them.

    Other threads call :meth:`post`. A vertex moves only while somebody waits for it; what nobody
    waits for any more is cancelled. *workers* is the number of operations that run at a time.
    """

    def __init__(
        self,
        lookup: Lookup,
        expand: Expand,
        drop_unused: Callable[[Vertex], None],
        content: ContentDigests,
        *,
        workers: int,
    ) -> None:
        self._lookup = lookup
        self._expand = expand
        self._drop_unused = drop_unused
        self._content = content
        self._inbox: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._ready: deque[Vertex] = deque()
        self._context = copy_context()  # workers inherit the cancellations of the caller
        self._pool = Pool(workers, "tarkit-worker")
        self._busy: set[Vertex] = set()
        self._waiting: set[Job] = set()
        self._steps: dict[State, Callable[[Vertex], bool]] = {
            State.NEW: self._begin,
            State.ASKING: self._ask,
            State.KEYED: self._decide,
            State.GATHERING: self._gather,
            State.NESTED: self._adopt,
        }
        self._thread = start_thread(self._loop, "tarkit-solver")

    def post(self, action: Callable[[], None]) -> None:
        """Let the owner of the graph call *action*."""
        self._inbox.put(action)

    def close(self) -> None:
        """Cancel all work and wait for its end."""
        self.post(self._cancel_all)
        self._inbox.put(None)
        self._thread.join()
        self._pool.shutdown(wait=True, cancel_futures=True)
        while not self._inbox.empty():  # reports of work that ended after the owner
            action = self._inbox.get()
            if action is not None:
                action()

    def _loop(self) -> None:
        while (action := self._inbox.get()) is not None:
            try:
                action()
                self.settle()
            except Exception as error:  # noqa: BLE001  a bug must not leave builds waiting
                for job in self._waiting:
                    job.fail(error)

    def settle(self) -> None:
        """Make all transitions that are possible now."""
        while self._ready:
            vertex = self._ready.popleft()
            try:
                while vertex.need and (step := self._steps.get(vertex.state)) and step(vertex):
                    pass
            except Exception as error:  # noqa: BLE001  the build raises it
                self._fail(vertex, error)

    # needs

    def demand(self, wanted: Input, waiter: Waiter, need: Need) -> None:
        """Note that *waiter* needs an output."""
        vertex = wanted.vertex
        vertex.outputs.add(wanted.index)
        if isinstance(waiter, Job):
            self._waiting.add(waiter)
        if vertex.state is State.FAILED:
            vertex.reset()
        if vertex.waiters.get(waiter, Need.NOTHING) < need:
            vertex.waiters[waiter] = need
        if vertex.state is State.DONE and not vertex.reaches(need, wanted.index):
            self._keyed(vertex, vertex.depth)
        self._ready.append(vertex)

    def withdraw(self, vertex: Vertex, waiter: Waiter) -> None:
        """Note that *waiter* needs nothing of *vertex* any more; cancel what nobody needs."""
        pending = [(vertex, waiter)]
        while pending:
            current, gone = pending.pop()
            current.waiters.pop(gone, None)
            if isinstance(gone, Job):
                self._waiting.discard(gone)
            if not current.waiters:
                pending += [(each, current) for each in self._below(current)]
                if current.state in AT_WORK:
                    current.cancellation.cancel()

    def _below(self, vertex: Vertex) -> Iterable[Vertex]:
        inputs = vertex.inputs if vertex.nested is None else (*vertex.inputs, vertex.nested)
        return [each.vertex for each in inputs if vertex in each.vertex.waiters]

    def _let_go(self, vertex: Vertex) -> None:
        for each in self._below(vertex):
            self.withdraw(each, vertex)

    def _reached(self, vertex: Vertex, wanted: Iterable[Input], need: Need) -> bool:
        """Ask for *wanted*; return whether all is there."""
        missing = [each for each in wanted if not each.vertex.reaches(need, each.index)]
        for each in missing:
            self.demand(each, vertex, need)
        return not missing

    def _wake(self, vertex: Vertex) -> None:
        """Continue whoever waits for *vertex*."""
        for waiter in list(vertex.waiters):
            if isinstance(waiter, Vertex):
                self._ready.append(waiter)
            elif isinstance(waiter, Job) and waiter.head is not None:
                index = waiter.head.index
                if vertex.reaches(Need.RESULT, index):
                    del vertex.waiters[waiter]
                    self._waiting.discard(waiter)
                    waiter.succeed(vertex.results[index])

    # transitions

    def _begin(self, vertex: Vertex) -> bool:
        vertex.become(State.MAPPING)
        if vertex.is_source:
            self._show(vertex, started=time.time())
        if vertex.map is None and vertex.is_source:
            self._work(vertex, vertex.operation.cache_map, self._mapped)
            return False
        self._mapped(vertex, vertex.map or vertex.operation.cache_map())
        return True

    def _mapped(self, vertex: Vertex, found: Any) -> None:
        vertex.map = found
        vertex.become(State.ASKING)

    def _ask(self, vertex: Vertex) -> bool:
        """Ask the inputs for the next kind of keys."""
        depth = Depth(vertex.depth + 1)
        if depth is not Depth.CONTENT:
            need = Need.KEY if depth is Depth.DEFINITIONS else Need.ALL_KEYS
            if not self._reached(vertex, vertex.inputs, need):
                return False
        else:
            assert vertex.map is not None
            rules = vertex.map.inputs
            read = [at for at, rule in enumerate(rules) if rule.content is not None]
            if vertex.need is Need.RESULT and self._lookup.is_hopeless(vertex):
                self._reached(vertex, vertex.inputs, Need.RESULT)  # begin with all at once
            if not self._reached(vertex, [vertex.inputs[at] for at in read], Need.RESULT):
                return False
            if read:
                vertex.become(State.HASHING)
                refs = {at: vertex.input_result(at) for at in read}
                work = partial(self._content.compute, vertex.map, refs)
                self._work(vertex, work, self._hashed)
                return False
        self._keyed(vertex, depth)
        return True

    def _hashed(self, vertex: Vertex, digests: dict[int, str]) -> None:
        vertex.hashed = digests
        vertex.content = {at: self._lookup.content_key(digest) for at, digest in digests.items()}
        self._keyed(vertex, Depth.CONTENT)

    def _keyed(self, vertex: Vertex, depth: Depth) -> None:
        vertex.become(State.KEYED)
        vertex.depth = depth if vertex.inputs else Depth.CONTENT
        self._lookup.look_up(vertex)
        if not vertex.inputs and vertex.event.completed is None:
            now = time.time()
            self._show(vertex, started=vertex.event.started or now, completed=now)
        self._wake(vertex)

    def _decide(self, vertex: Vertex) -> bool:
        """Load a result, look for further keys, or run the operation."""
        found = all(vertex.found.get(each) or each in vertex.results for each in vertex.outputs)
        if found and vertex.need is Need.RESULT and self._lookup.load(vertex):
            now = time.time()
            self._show(vertex, started=now, completed=now, cached=True)
            self._done(vertex)
            return False
        found = all(vertex.found.get(each) for each in vertex.outputs)
        if vertex.depth < Depth.CONTENT and vertex.need >= Need.ALL_KEYS and not found:
            vertex.become(State.ASKING)
            return True
        if vertex.depth is Depth.CONTENT and vertex.need is Need.RESULT:
            vertex.become(State.GATHERING)
            return True
        return False

    def _gather(self, vertex: Vertex) -> bool:
        if not self._reached(vertex, vertex.inputs, Need.RESULT):
            return False
        vertex.become(State.RUNNING)
        self._show(vertex, started=vertex.event.started or time.time(), completed=None)
        inputs = vertex.input_results()
        report = partial(self._report, vertex)
        self._work(vertex, lambda: vertex.operation.run(inputs, report), self._ran)
        return False

    def _ran(self, vertex: Vertex, outcome: Any) -> None:
        if isinstance(outcome, Nested):
            vertex.become(State.NESTED)
            vertex.nested = self._expand(vertex, outcome)
            self._ready.append(vertex)
            return
        self._finish(vertex, dict(enumerate(outcome)))

    def _adopt(self, vertex: Vertex) -> bool:
        """Take over the result of a nested build."""
        result: Ref = None
        if vertex.nested is not None:
            if not self._reached(vertex, [vertex.nested], Need.RESULT):
                return False
            result = vertex.nested.vertex.results[vertex.nested.index]
        self._finish(vertex, {0: result.clone() if result is not None else None})
        return False

    def _finish(self, vertex: Vertex, results: dict[int, Ref]) -> None:
        vertex.release()
        vertex.results = results
        for output in vertex.outputs - results.keys():
            raise MalformedError(f"has no output {output}", where=vertex.event.name)
        vertex.ran = True
        self._lookup.save(vertex)
        self._show(vertex, completed=time.time())
        self._done(vertex)

    def _done(self, vertex: Vertex) -> None:
        vertex.become(State.DONE)
        for each in vertex.unshown():
            self._emit(each, replace(each.event, cached=True))
        self._let_go(vertex)
        self._wake(vertex)

    # failures

    def _fail(self, vertex: Vertex, error: BaseException) -> None:
        """Fail *vertex* and all who wait for it."""
        self._show(vertex, completed=time.time(), error=reason(error))
        pending = [vertex]
        while pending:
            current = pending.pop()
            if current is not vertex and current.state in AT_WORK:
                current.cancellation.cancel()  # its worker reports later
            else:
                current.become(State.FAILED)
                current.error = error
            waiters = list(current.waiters)
            current.waiters.clear()
            self._let_go(current)
            for waiter in waiters:
                if isinstance(waiter, Vertex):
                    pending.append(waiter)
                elif isinstance(waiter, Job):
                    self._waiting.discard(waiter)
                    waiter.fail(error, vertex)

    def _cancel_all(self) -> None:
        for vertex in list(self._busy):
            vertex.cancellation.cancel()

    # workers

    def _work(self, vertex: Vertex, work: Callable[[], Any], then: Callable[..., None]) -> None:
        """Let a worker do *work*, and call *then* with its result."""
        cancellation = vertex.cancellation

        def run() -> None:
            result, error = None, None
            try:
                with cancellation:
                    result = work()
            except BaseException as caught:  # noqa: BLE001  reported to the owner
                error = caught
            self.post(partial(self._reported, vertex, then, result, error))

        self._busy.add(vertex)
        try:
            self._pool.submit(self._context.copy().run, run)
        except (TarkitError, RuntimeError):
            self._busy.discard(vertex)
            vertex.reset()
            raise

    def _reported(
        self,
        vertex: Vertex,
        then: Callable[..., None],
        result: Any,
        error: BaseException | None,
    ) -> None:
        self._busy.discard(vertex)
        if vertex.cancellation.cancelled:
            _discard(result)
            if vertex.event.started is not None:
                self._show(vertex, completed=time.time(), error="cancelled")
            vertex.reset()
        elif error is not None:
            self._fail(vertex, error)
        else:
            try:
                then(vertex, result)
            except Exception as failure:  # noqa: BLE001  the build raises it
                self._fail(vertex, failure)
        self._ready.append(vertex)
        self._drop_unused(vertex)

    # events

    def _report(self, vertex: Vertex, event: LogEvent | StatusEvent) -> None:
        named = replace(event, vertex=vertex.digest)

        def emit() -> None:
            for job in vertex.jobs:
                job.emit(named)

        self.post(emit)

    def _show(self, vertex: Vertex, **changes: Any) -> None:
        vertex.shown = True
        self._emit(vertex, replace(vertex.event, error=changes.pop("error", ""), **changes))

    def _emit(self, vertex: Vertex, event: VertexEvent) -> None:
        vertex.event = event
        for job in vertex.jobs:
            job.emit(event)


def _discard(result: Any) -> None:
    """Release the references of work that was cancelled."""
    if isinstance(result, list | tuple):
        for ref in result:
            if ref is not None:
                ref.release()
