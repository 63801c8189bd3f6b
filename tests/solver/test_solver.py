"""Solving definitions: results, keys and the order of work, by counting calls."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

import tarkit
from tarkit import llb
from tarkit.errors import (
    CancelledError,
    LimitExceededError,
    MalformedError,
    NotFoundError,
    TarkitError,
    UnsupportedError,
    VerificationError,
)
from tarkit.llb import messages
from tarkit.llb.definition import Definition
from tarkit.llb.messages import FileAction, FileActionMkFile, FileOp, Input, Op
from tarkit.llb.vertices import digest_of
from tarkit.solver.events import LogEvent, VertexEvent
from tarkit.solver.local_solver import LocalSolver
from tarkit.streams.cancellation import Cancellation
from tests.solver.engines import Counts, build, counts, definition_of, engine, texts

__all__ = ["counts"]

SCRATCH = llb.scratch()


def written(base: llb.State, *names: str) -> llb.State:
    """Return *base* with one file operation for each name, which is also the content."""
    for name in names:
        base = base.file(llb.mkfile(f"/{name}", name), custom_name=name)
    return base


@pytest.fixture
def context(tmp_path: Path) -> Path:
    directory = tmp_path / "context"
    (directory / "sub").mkdir(parents=True)
    (directory / "a").write_text("a")
    (directory / "sub" / "b").write_text("b")
    return directory


def test_a_chain_of_files_is_solved_and_exported(tmp_path: Path) -> None:
    with engine(tmp_path) as solver:
        definition = definition_of(written(SCRATCH.file(llb.mkdir("/d")), "a", "d/b"))
        with solver.solve(definition) as solution:
            ref = solution.result()
            assert texts(ref) == {"/d": "directory", "/a": "a", "/d/b": "d/b"}
            assert ref is not None
            with tarkit.open_writer(f"oci:{tmp_path / 'out'}:v1") as writer:
                tarkit.copy_image(ref, writer.destination("v1"))
    with (
        tarkit.open_source(f"oci:{tmp_path / 'out'}:v1") as image,
        tarkit.FileSystem.of(image) as files,
    ):
        assert files.read_text("/d/b") == "d/b"


def test_an_empty_definition_has_no_result(tmp_path: Path) -> None:
    with engine(tmp_path) as solver, solver.solve(definition_of(SCRATCH)) as solution:
        assert solution.result() is None


def test_nothing_is_done_before_the_result_is_needed(tmp_path: Path, counts: Counts) -> None:
    with engine(tmp_path) as solver, solver.solve(definition_of(written(SCRATCH, "a"))) as solution:
        assert not counts.maps
        solution.result()
        solution.result()
        assert counts.runs == {"a": 1}


def test_another_day_starts_warm(tmp_path: Path, counts: Counts) -> None:
    state = written(SCRATCH, "a", "b", "c")
    with engine(tmp_path) as solver:
        build(solver, state)
    assert counts.runs == counts.maps == {"a": 1, "b": 1, "c": 1}
    counts.clear()
    with (
        engine(tmp_path) as solver,
        solver.solve(definition_of(state), on_event=counts.events.append) as solution,
    ):
        solution.result()
        assert not counts.runs
        assert counts.maps == {"a": 1, "b": 1, "c": 1}
        assert counts.layers == 0
        assert counts.cached() == ["b", "c"]  # a vertex without inputs shows its own lookup
        assert texts(solution.result()) == {"/a": "a", "/b": "b", "/c": "c"}


def test_a_changed_step_runs_with_those_above(tmp_path: Path, counts: Counts) -> None:
    with engine(tmp_path) as solver:
        build(solver, written(SCRATCH, "a", "b", "c"))
        counts.clear()
        assert build(solver, written(SCRATCH, "a", "x", "c")) == {"/a": "a", "/x": "x", "/c": "c"}
        assert counts.runs == {"x": 1, "c": 1}


def test_shared_vertices_run_once(tmp_path: Path, counts: Counts) -> None:
    base = written(SCRATCH, "base")
    sides = [written(base, name) for name in ("left", "right")]
    merged = llb.merge([*sides, base])
    with engine(tmp_path) as solver:
        assert set(build(solver, merged)) == {"/base", "/left", "/right"}
    assert counts.runs == {"base": 1, "left": 1, "right": 1, "merge": 1}


def test_two_builds_share_a_running_vertex(tmp_path: Path, counts: Counts) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def pause() -> None:
        entered.set()
        go_on.wait(30)

    counts.before["base"] = pause
    base = written(SCRATCH, "base")
    results: dict[str, object] = {}
    with engine(tmp_path) as solver:
        threads = [
            threading.Thread(
                target=lambda name=name: results.update({name: build(solver, written(base, name))})
            )
            for name in ("one", "two")
        ]
        threads[0].start()
        assert entered.wait(30)
        threads[1].start()
        while counts.maps["two"] == 0:  # it waits for the same vertex now
            go_on.wait(0.01)
        go_on.set()
        for thread in threads:
            thread.join(30)
    assert results == {
        "one": {"/base": "base", "/one": "one"},
        "two": {"/base": "base", "/two": "two"},
    }
    assert counts.runs == {"base": 1, "one": 1, "two": 1}


def test_a_failure_names_the_step_and_can_be_tried_again(tmp_path: Path, counts: Counts) -> None:
    state = written(SCRATCH, "a", "missing/b", "c")
    with engine(tmp_path) as solver:
        definition = definition_of(state)
        with solver.solve(definition, on_event=counts.events.append) as solution:
            for _ in range(2):
                with pytest.raises(NotFoundError, match=r"missing/b.*no such directory"):
                    solution.result()
                assert solution.failed == definition.digests[1]
    assert counts.runs == {"a": 1, "missing/b": 2}
    failed = [e for e in counts.events if isinstance(e, VertexEvent) and e.error]
    assert {event.name for event in failed} == {"missing/b"}


def test_a_failure_cancels_what_nobody_else_needs(tmp_path: Path, counts: Counts) -> None:
    started, released = threading.Event(), threading.Event()

    def wait_for_cancellation() -> None:
        from tarkit.streams.cancellation import wait

        started.set()
        wait(released, 30)

    def fail() -> None:
        assert started.wait(30)
        raise UnsupportedError("no")

    counts.before |= {"slow": wait_for_cancellation, "bad": fail}
    state = llb.merge([written(SCRATCH, "slow"), written(SCRATCH, "bad")])
    with engine(tmp_path) as solver:
        with pytest.raises(UnsupportedError, match="no"):
            build(solver, state, counts)
        counts.before.clear()
        # the cancelled vertex begins again
        assert build(solver, written(SCRATCH, "slow")) == {"/slow": "slow"}
    assert counts.runs["slow"] == 2


def test_work_that_another_build_needs_goes_on(tmp_path: Path, counts: Counts) -> None:
    started, released = threading.Event(), threading.Event()

    def pause() -> None:
        from tarkit.streams.cancellation import wait

        started.set()
        assert wait(released, 30)

    counts.before["shared"] = pause
    shared = written(SCRATCH, "shared")
    with engine(tmp_path) as solver:
        first, second = (
            solver.solve(definition_of(written(shared, name))) for name in ("one", "two")
        )
        failures: list[BaseException] = []

        def solve_first() -> None:
            try:
                first.result()
            except TarkitError as error:
                failures.append(error)

        one = threading.Thread(target=solve_first)
        two = threading.Thread(target=second.result)
        one.start()
        assert started.wait(30)
        two.start()
        while counts.maps["two"] == 0:
            released.wait(0.01)
        first.cancel()
        one.join(30)
        released.set()
        two.join(30)
        assert [type(error) for error in failures] == [CancelledError]
        assert texts(second.result()) == {"/shared": "shared", "/two": "two"}
    assert counts.runs["shared"] == 1


def test_a_cancellation_ends_the_build_at_once(tmp_path: Path, counts: Counts) -> None:
    cancellation = Cancellation()
    stopped: list[bool] = []

    def never() -> None:
        from tarkit.streams.cancellation import wait

        cancellation.cancel()
        try:
            wait(threading.Event(), 600)
        finally:
            stopped.append(True)

    counts.before["a"] = never
    with engine(tmp_path) as solver:
        with cancellation, pytest.raises(CancelledError):
            build(solver, written(SCRATCH, "a"))
        counts.before.clear()
        assert build(solver, written(SCRATCH, "a")) == {"/a": "a"}
    assert stopped


def test_closing_the_solver_ends_its_builds(tmp_path: Path, counts: Counts) -> None:
    started = threading.Event()

    def never() -> None:
        from tarkit.streams.cancellation import wait

        started.set()
        wait(threading.Event(), 600)

    counts.before["a"] = never
    failures: list[type[BaseException]] = []
    with engine(tmp_path) as solver:
        solution = solver.solve(definition_of(written(SCRATCH, "a")))

        def solve() -> None:
            try:
                solution.result()
            except BaseException as error:  # noqa: BLE001  compared below
                failures.append(type(error))

        thread = threading.Thread(target=solve)
        thread.start()
        assert started.wait(30)
        solver.close()
        thread.join(30)
    assert failures == [CancelledError]


def test_no_cache_runs_everything_once_and_keeps_it(tmp_path: Path, counts: Counts) -> None:
    state = written(SCRATCH, "a", "b")
    with engine(tmp_path) as solver:
        build(solver, state)
        build(solver, state, no_cache=True)
        assert counts.runs == {"a": 2, "b": 2}
        build(solver, state)
        assert counts.runs == {"a": 2, "b": 2}


def test_an_ignored_step_always_runs(tmp_path: Path, counts: Counts) -> None:
    ignored = SCRATCH.file(llb.mkfile("/a", "a"), custom_name="a", ignore_cache=True)
    read = SCRATCH.file(llb.copy(ignored, "/a", "/b"), custom_name="copy")
    with engine(tmp_path) as solver:
        for _ in range(2):
            assert build(solver, written(read, "c")) == {"/b": "a", "/c": "c"}
    # its consumer knows it by its content only, and those above by their keys again
    assert counts.runs == {"a": 2, "copy": 1, "c": 1}


def test_results_above_an_ignored_step_are_kept(tmp_path: Path, counts: Counts) -> None:
    """A later build that ignores no caches finds them by the definition."""

    def chain(*, ignored: bool) -> llb.State:
        first = SCRATCH.file(llb.mkfile("/a", "a"), custom_name="a", ignore_cache=ignored)
        return written(first, "b", "c")

    with engine(tmp_path) as solver:
        build(solver, chain(ignored=True))
    counts.runs.clear()
    with engine(tmp_path) as solver:
        build(solver, chain(ignored=False))
    assert not counts.runs


def test_a_copy_is_known_by_the_content_that_it_reads(
    tmp_path: Path, counts: Counts, context: Path
) -> None:
    copied = written(SCRATCH, "base").file(
        llb.copy(llb.local("context"), "/sub", "/sub"), custom_name="copy"
    )
    with engine(tmp_path, locals={"context": context}) as solver:
        expected = {"/base": "base", "/sub": "directory", "/sub/b": "b", "/top": "top"}
        assert build(solver, written(copied, "top")) == expected
        (context / "a").write_text("changed, but not read")
        counts.clear()
        assert build(solver, written(copied, "top"), counts) == expected
        assert counts.runs == {"local://context": 1}
        assert counts.cached() == ["copy", "top"]
        (context / "sub" / "b").write_text("changed")
        counts.clear()
        assert build(solver, written(copied, "top"))["/sub/b"] == "changed"
        assert counts.runs == {"local://context": 1, "copy": 1, "top": 1}


def test_equal_content_needs_no_equal_definition(tmp_path: Path, counts: Counts) -> None:
    def copied(source: llb.State) -> llb.State:
        return SCRATCH.file(llb.copy(source, "/x", "/y"), custom_name="copy")

    one = SCRATCH.file(llb.mkfile("/x", "same"), custom_name="one")
    two = SCRATCH.file(llb.mkfile("/other", "").mkfile("/x", "same"), custom_name="two")
    with engine(tmp_path) as solver:
        build(solver, copied(one))
        build(solver, copied(two))
        assert counts.runs == {"one": 1, "two": 1, "copy": 1}
        counts.clear()
    with engine(tmp_path) as solver:  # the definition leads to the key now
        build(solver, copied(two))
    assert not counts.runs


def test_a_lost_result_is_made_again(tmp_path: Path, counts: Counts) -> None:
    state = written(SCRATCH, "a", "b")
    with engine(tmp_path) as solver:
        build(solver, state)
        solver.manager.prune([tarkit.PrunePolicy(all=True)])
        assert build(solver, state) == {"/a": "a", "/b": "b"}
        assert build(solver, state) == {"/a": "a", "/b": "b"}
    assert counts.runs == {"a": 2, "b": 2}


def test_merges_and_differences(tmp_path: Path) -> None:
    base = written(SCRATCH, "base")
    above = written(base, "a", "b")
    other = written(SCRATCH, "other")
    with engine(tmp_path) as solver:
        assert build(solver, llb.diff(base, above)) == {"/a": "a", "/b": "b"}
        assert build(solver, llb.merge([other, llb.diff(base, above)])) == {
            "/a": "a", "/b": "b", "/other": "other",
        }  # fmt: skip
        assert build(solver, llb.diff(above, above)) == {}


def test_required_states_are_built_too(tmp_path: Path, counts: Counts) -> None:
    with engine(tmp_path) as solver:
        state = written(SCRATCH, "a").requires("id", written(SCRATCH, "b"))
        assert build(solver, state) == {"/a": "a"}
    assert counts.runs["b"] == 1


def test_a_nested_build(tmp_path: Path, counts: Counts) -> None:
    inner = definition_of(written(SCRATCH, "inner")).encode()
    holder = SCRATCH.file(llb.mkfile("/buildkit.llb.definition", inner), custom_name="holder")
    with engine(tmp_path) as solver:
        assert build(solver, written(holder.build(), "top")) == {"/inner": "inner", "/top": "top"}
        counts.clear()
    with engine(tmp_path) as solver:
        assert build(solver, holder.build()) == {"/inner": "inner"}
    assert not counts.runs


def test_a_nested_build_outlives_the_build_that_began_it(tmp_path: Path, counts: Counts) -> None:
    started, go_on = threading.Event(), threading.Event()

    def pause() -> None:
        started.set()
        assert go_on.wait(30)

    counts.before["slow"] = pause
    inner = definition_of(written(SCRATCH, "first", "slow")).encode()
    state = SCRATCH.file(llb.mkfile("/def", inner), custom_name="holder").build("def")
    results: list[dict[str, str]] = []
    with engine(tmp_path) as solver:
        first = solver.solve(definition_of(state))
        one = threading.Thread(target=lambda: suppressed(first.result))
        one.start()
        assert started.wait(30)
        second = solver.solve(definition_of(written(state, "top")))
        two = threading.Thread(target=lambda: results.append(texts(second.result())))
        two.start()
        while counts.maps["top"] == 0:
            go_on.wait(0.01)
        first.close()
        go_on.set()
        one.join(30)
        two.join(30)
    assert results == [{"/first": "first", "/slow": "slow", "/top": "top"}]
    assert counts.runs["slow"] == 1


def suppressed(function: Callable[[], object]) -> None:
    with suppress(TarkitError):
        function()


def test_a_nested_build_cannot_contain_itself(tmp_path: Path, context: Path) -> None:
    source = llb.local("context", session_id="fixed")
    definition = definition_of(source.build("def"))
    (context / "def").write_bytes(definition.encode())
    with (
        engine(tmp_path, locals={"context": context}) as solver,
        solver.solve(definition) as solution,
        pytest.raises(TarkitError, match="depends on itself"),
    ):
        solution.result()


def test_a_nested_definition_may_be_garbage(tmp_path: Path) -> None:
    holder = SCRATCH.file(llb.mkfile("/def", b"\xff garbage"))
    with engine(tmp_path) as solver, pytest.raises(MalformedError, match="def"):
        build(solver, holder.build("def"))


def test_processes_need_a_runtime_when_they_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tarkit.executor.executor.find_programs", list)
    state = written(SCRATCH, "a").run(["/bin/true"]).root()
    with (
        engine(tmp_path) as solver,
        pytest.raises(UnsupportedError, match=r"processes need an OCI runtime"),
    ):
        build(solver, state)


def test_cache_imports_are_refused(tmp_path: Path) -> None:
    with engine(tmp_path) as solver, pytest.raises(UnsupportedError, match="import"):
        solver.solve(definition_of(SCRATCH), cache_imports=[object()])


@pytest.mark.parametrize(
    ("vertices", "message"),
    [
        (lambda: [b"\xff"], "vertex sha256:"),
        (lambda: [op(file_op()), op(file_op())], "not the name of one result"),
        (lambda: [op(Op(inputs=[Input(digest="sha256:none")]))], "is missing"),
        (
            lambda: [op(Op(inputs=[Input(digest="sha256:no")], file=FileOp())), head(b"")],
            "is missing",
        ),
        (lambda: [op(file_op(input=7)), head(op(file_op(input=7)))], "has no input 7"),
        (lambda: [op(Op()), head(op(Op()))], "has no operation"),
    ],
)
def test_invalid_definitions_are_refused(
    tmp_path: Path, vertices: Callable[[], list[bytes]], message: str
) -> None:
    with engine(tmp_path) as solver, pytest.raises(VerificationError, match=message):
        solver.solve(Definition(messages.Definition(vertices=vertices())))


def test_a_definition_that_is_too_large_is_refused(tmp_path: Path) -> None:
    data = op(file_op(data=bytes(9 << 20)))
    other = op(file_op(data=bytes(9 << 20) + b"1"))
    with engine(tmp_path) as solver, pytest.raises(LimitExceededError):
        solver.solve(Definition(messages.Definition(vertices=[data, other, head(other)])))


def test_a_missing_output_is_an_error(tmp_path: Path) -> None:
    vertex = op(file_op())
    terminal = Op(inputs=[Input(digest=digest_of(vertex), index=3)]).encode()
    definition = Definition(messages.Definition(vertices=[vertex, terminal]))
    with (
        engine(tmp_path) as solver,
        solver.solve(definition) as solution,
        pytest.raises(MalformedError, match="no output 3"),
    ):
        solution.result()


def test_a_long_chain_needs_no_recursion(tmp_path: Path, counts: Counts) -> None:
    deep = written(SCRATCH, "a")
    for number in range(1500):
        deep = deep.requires(str(number))
    with engine(tmp_path) as solver:
        assert build(solver, deep) == {"/a": "a"}


def test_events_tell_the_life_of_a_vertex(tmp_path: Path, context: Path) -> None:
    events: list[object] = []
    state = SCRATCH.file(llb.copy(llb.local("context"), "/a", "/a"))
    with (
        engine(tmp_path, locals={"context": context}) as solver,
        solver.solve(definition_of(state), on_event=events.append) as solution,
    ):
        solution.result()
    copies = [e for e in events if isinstance(e, VertexEvent) and e.name == "copy /a /a"]
    assert [(e.started is not None, e.completed is not None) for e in copies] == [
        (False, False), (True, False), (True, True),
    ]  # fmt: skip
    assert copies[-1].inputs == (definition_of_first(events),)
    assert not any(isinstance(event, LogEvent) for event in events)


def test_explanations_name_what_changed(tmp_path: Path, context: Path) -> None:
    def explained(state: llb.State, build: str = "app") -> list[str]:
        with (
            engine(tmp_path, locals={"context": context}) as solver,
            solver.solve(definition_of(state)) as solution,
        ):
            solution.result()
            return [str(each) for each in solution.explain(build)]

    def state(text: str) -> llb.State:
        first = SCRATCH.file(llb.mkfile("/x", text), custom_name="first")
        copied = first.file(llb.copy(llb.local("context"), "/a", "/a"), custom_name="copy")
        return written(copied, "last")

    assert [line for line in explained(state("one")) if "local" not in line] == [
        f"{name}: was not part of the last build" for name in ("first", "copy", "last")
    ]
    assert [line for line in explained(state("one")) if "local" not in line] == []
    changed = {line.partition(":")[0]: line for line in explained(state("two!"))}
    assert changed.keys() >= {"first", "copy", "last"}
    assert "4 bytes" in changed["first"]
    assert "input 0" in changed["copy"]
    (context / "a").write_text("changed")
    changed = {line.partition(":")[0]: line for line in explained(state("two!"))}
    assert "first" not in changed
    assert "content" in changed["copy"]
    assert "/a" in changed["copy"]
    assert all("not part" in line for line in explained(state("two!"), "another"))


def test_a_receiver_of_events_that_fails_ends_its_build(tmp_path: Path) -> None:
    def broken(event: object) -> None:
        raise ValueError("broken receiver")

    with engine(tmp_path) as solver:
        with pytest.raises(ValueError, match="broken receiver"):
            build_with(solver, written(SCRATCH, "a"), broken)
        assert build(solver, written(SCRATCH, "a")) == {"/a": "a"}


def build_with(solver: LocalSolver, state: llb.State, on_event: Callable[[object], None]) -> None:
    with solver.solve(definition_of(state), on_event=on_event) as solution:
        solution.result()


def definition_of_first(events: list[object]) -> str:
    return next(e.digest for e in events if isinstance(e, VertexEvent) and "local" in e.name)


def op(message: Op) -> bytes:
    return message.encode()


def head(vertex: bytes) -> bytes:
    return Op(inputs=[Input(digest=digest_of(vertex))]).encode()


def file_op(*, input: int = -1, data: bytes = b"") -> Op:
    action = FileAction(
        input=input, secondary_input=-1, output=0, mkfile=FileActionMkFile(path="/a", data=data)
    )
    return Op(file=FileOp(actions=[action]))
