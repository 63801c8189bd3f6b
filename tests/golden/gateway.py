"""Answers of the gateway to calls of a build function, from the embedded engine."""

from __future__ import annotations

import atexit
import re
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import tarkit
from tarkit import gateway, llb
from tarkit.errors import BuildError, NotFoundError, TarkitError
from tarkit.executor.checking import check_executor
from tarkit.gateway import Client, FileRange, ReadDirRequest, ReadRequest, Result, SolveRequest
from tarkit.llb import messages
from tarkit.llb.messages import Input, Op, OpMetadata
from tarkit.solver.events import WarningEvent
from tests.golden import containers
from tests.golden.files import root_directory
from tests.golden.runner import Case, Skipped

Answer = Callable[[Client, Case], None]

_PROCESSES = ("failing-", "solve-failing-evaluate", "ctr-", "newcontainer-")


def run(case: Case) -> None:
    """Make the call that the case is named after, and compare the answer."""
    name: str = case["name"]
    if name.startswith(_PROCESSES):
        _run_processes(case)
        return
    if name == "container/build":
        raise Skipped("the answer of the build around the others")
    if name.startswith("dockerfile"):
        raise Skipped("the answer is that of a daemon's frontend")
    if name in _BUILDS:
        _BUILDS[name](case)
        return
    kind, _, rest = name.partition(" ")
    answer = _ANSWERS.get(name) or _FILES.get(kind)
    if answer is None:
        raise Skipped(f"unknown call {name}")

    def build(client: Client) -> None:
        answer(client, case | {"rest": rest})

    _builder().build(build, opts={"k": "v"})


def _run_processes(case: Case) -> None:
    """Run a case that needs processes."""
    if check_executor().problems:
        raise Skipped("this machine cannot run processes")

    def build(client: Client) -> None:
        containers.run(client, case)

    # a failed process that the function knows about does not fail the build
    _builder().build(build, local={"root": root_directory()})


@cache
def _builder() -> gateway.Builder:
    """Return a builder for all cases; its store is removed at exit."""
    stack = ExitStack()
    atexit.register(stack.close)
    directory = stack.enter_context(tempfile.TemporaryDirectory())
    return stack.enter_context(tarkit.build_client("local", store=Path(directory) / "store"))


def _tree(client: Client) -> gateway.Reference:
    """Return a reference to the tree that README.md describes."""
    actions = (
        llb.mkdir("/d")
        .mkfile("/d/a.txt", "0123456789", mode=0o640)
        .mkfile("/d/b.md", "b")
        .mkdir("/d/sub", mode=0o700)
        .symlink("a.txt", "/d/link")
        .symlink("../../../../d/a.txt", "/d/esc")
        .symlink("nowhere", "/d/dangling")
        .symlink("sub", "/d/dlink")
    )
    ref = client.solve(llb.scratch().file(actions)).single_ref()
    assert ref is not None
    return ref


# files


def _read_file(client: Client, case: Case) -> None:
    rest: str = case["rest"]
    request = ReadRequest(rest.split(" ")[0])
    if rest == "empty name":
        request = ReadRequest("")
    _compare(case, lambda: {"data": _read(client, rest, request).decode()})


def _read(client: Client, rest: str, request: ReadRequest) -> bytes:
    if rest.startswith("range "):
        offset, _, length = rest.removeprefix("range ").partition("+")
        request = ReadRequest("/d/a.txt", FileRange(int(offset), int(length or 1)))
    return _tree(client).read_file(request)


def _stat_file(client: Client, case: Case) -> None:
    def answer() -> dict[str, Any]:
        stat = _tree(client).stat_file(case["rest"])
        return {
            "linkname": stat.linkname,
            "mode": f"{stat.mode:o}",
            "path": stat.path or "<mount-dir-name>",
            "size": stat.size,
            "uid": stat.uid,
        }

    _compare(case, answer)


def _read_dir(client: Client, case: Case) -> None:
    path, _, pattern = case["rest"].partition(" ")

    def answer() -> dict[str, Any]:
        stats = _tree(client).read_dir(ReadDirRequest(path, pattern))
        lines = [f"{each.path} {each.mode:o} {each.size} {each.linkname}" for each in stats]
        return {"entries": lines or None}

    _compare(case, answer)


def _compare(case: Case, answer: Callable[[], dict[str, Any]]) -> None:
    """Compare an answer with the recorded one, or note that both fail."""
    got = case["got"]
    if got.get("err"):
        _fails(answer)
        return
    expected = {key: value for key, value in got.items() if key != "err"}
    assert answer() == expected


def _fails(call: Callable[[], object]) -> TarkitError:
    try:
        result = call()
    except TarkitError as error:
        return error
    raise AssertionError(f"no error, but {result!r}")


_FILES: dict[str, Answer] = {
    "readfile": _read_file,
    "statfile": _stat_file,
    "readdir": _read_dir,
}


# solving


def _build_opts(client: Client, case: Case) -> None:
    opts = client.build_opts()
    assert opts.opts == case["got"]["opts"]
    assert bool(opts.session_id) is case["got"]["session_id_set"]
    assert len(opts.workers) == case["got"]["workers"]


def _solve_nothing(client: Client, case: Case) -> None:
    result = client.solve(SolveRequest())
    assert (result.ref, result.refs, result.metadata) == (None, {}, {})


def _solve_scratch(client: Client, case: Case) -> None:
    assert client.solve(llb.scratch(), evaluate=True).ref is None


def _solve_failing(client: Client, case: Case) -> None:
    assert client.solve(llb.scratch().run(["/nope"])).ref is not None


def _evaluate(state: llb.State, *, kind: type[TarkitError] = TarkitError) -> Answer:
    def answer(client: Client, case: Case) -> None:
        error = _fails(lambda: client.solve(state, evaluate=True))
        assert isinstance(error, BuildError)
        assert isinstance(error.reason, kind)
        (position,) = error.positions
        assert position.filename.endswith("gateway.py")

    return answer


def _request(**fields: Any) -> Answer:
    def answer(client: Client, case: Case) -> None:
        _fails(lambda: client.solve(SolveRequest(**fields)))

    return answer


def _definition(*ops: Op, caps: dict[str, bool] | None = None) -> llb.Definition:
    vertices = [op.encode() for op in ops]
    definition = llb.Definition(messages.Definition(vertices=vertices))
    metadata = {digest: OpMetadata(caps=caps or {}) for digest in definition.digests}
    return llb.Definition(messages.Definition(vertices=vertices, metadata=metadata))


def _without_terminal() -> llb.Definition:
    return _definition(Op(source=messages.SourceOp(identifier="local://a")))


def _unknown_cap() -> llb.Definition:
    plain = llb.scratch().file(llb.mkdir("/a")).marshal()
    metadata = {digest: OpMetadata(caps={"no.such.cap": True}) for digest in plain.digests}
    return llb.Definition(messages.Definition(vertices=plain.vertices, metadata=metadata))


def _to_state(client: Client, case: Case) -> None:
    definition = client.marshal(llb.scratch().file(llb.mkdir("/a")))
    ref = client.solve(definition).single_ref()
    assert ref is not None
    assert (ref.to_state().marshal().vertices == definition.vertices) is case["got"]


def _inputs(client: Client, case: Case) -> None:
    assert len(client.inputs()) == case["got"]["n"]


def _warn(client: Client, case: Case) -> None:
    client.warn("sha256:aa", "careful", gateway.WarnOpts(url="http://u"))


def _map(client: Client) -> Result:
    result = Result()
    result.add_ref("a", _tree(client))
    return result


def _single_ref(client: Client, case: Case) -> None:
    _fails(_map(client).single_ref)


def _find_ref(client: Client, case: Case) -> None:
    assert (_map(client).find_ref("any") is None) is case["got"]["nil"]


_ANSWERS: dict[str, Answer] = {
    "build-opts": _build_opts,
    "solve-nothing": _solve_nothing,
    "solve-scratch": _solve_scratch,
    "solve-failing-lazy": _solve_failing,
    "solve-both": _request(definition=llb.scratch(), frontend="dockerfile.v0"),
    "solve-unknown-frontend": _request(frontend="nosuch.v0"),
    "file-rm-missing-evaluate": _evaluate(llb.scratch().file(llb.rm("/none"))),
    "file-copy-missing-evaluate": _evaluate(
        llb.scratch().file(llb.copy(llb.scratch().file(llb.mkdir("/a")), "/nope", "/x"))
    ),
    "local-not-enabled-evaluate": _evaluate(llb.local("not-enabled"), kind=NotFoundError),
    "definition-missing-vertex": _request(
        definition=_definition(Op(inputs=[Input(digest="sha256:" + "4a" * 32)]))
    ),
    "definition-without-terminal": _request(definition=_without_terminal()),
    "definition-unknown-cap": _request(definition=_unknown_cap()),
    "to-state-same-definition": _to_state,
    "inputs": _inputs,
    "warn": _warn,
    "warn-valid": _warn,
    "single-ref-of-map": _single_ref,
    "find-ref-single-entry-any-key": _find_ref,
}


# whole builds


def _solve_build(case: Case) -> None:
    """Compare the warnings that reach whoever asked for the build."""
    warnings: list[dict[str, Any]] = []

    def build(client: Client) -> None:
        for each in case["got"]["warnings"]:
            client.warn(each["vertex"], each["short"], gateway.WarnOpts(url=each["url"]))

    def listen(event: object) -> None:
        if isinstance(event, WarningEvent):
            short = event.short.decode()
            warnings.append(
                {"level": event.level, "short": short, "url": event.url, "vertex": event.vertex}
            )

    _builder().build(build, on_event=listen)
    assert warnings == case["got"]["warnings"]


def _error_build(case: Case) -> None:
    text: str = case["got"]["error"]["message"].removeprefix("failed to solve: ")

    def build(client: Client) -> None:
        raise RuntimeError(text)

    with pytest.raises(RuntimeError, match=re.escape(text)):
        _builder().build(build)


def _nil_build(case: Case) -> None:
    response = _builder().build(lambda client: None)
    assert response.exporter_response == (case["got"]["response"]["ExporterResponse"] or {})


def _map_build(case: Case) -> None:
    _fails(lambda: _builder().build(_map))


_BUILDS: dict[str, Callable[[Case], None]] = {
    "solve/build": _solve_build,
    "error/build": _error_build,
    "nil-result/build": _nil_build,
    "map/build": _map_build,
}
