"""File operations beyond the recorded cases: archives, modes, chains, and hostile paths."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from tarkit import llb
from tarkit.errors import MalformedError, NotFoundError, RefusedError, UnsafePathError
from tarkit.llb import messages
from tarkit.llb.definition import Definition
from tarkit.llb.messages import FileAction, FileActionMkFile, FileOp, Input, Op
from tarkit.llb.vertices import digest_of
from tarkit.solver.operations.modes import parse_mode
from tests.solver.engines import Counts, build, counts, engine

__all__ = ["counts"]

SCRATCH = llb.scratch()


def archive(*members: tarfile.TarInfo | tuple[str, bytes], mode: str = "w") -> bytes:
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode=mode) as made:  # type: ignore[call-overload]
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                made.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size, info.uid = len(member[1]), 7
                made.addfile(info, io.BytesIO(member[1]))
    return output.getvalue()


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def unpacked(data: bytes, **options: object) -> llb.State:
    source = SCRATCH.file(llb.mkfile("/archive", data))
    copy = llb.copy(source, "/archive", "/d/", unpack=True, create_dest_path=True, **options)  # type: ignore[arg-type]
    return SCRATCH.file(copy)


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz", "w:bz2"])
def test_archives_are_unpacked(tmp_path: Path, mode: str) -> None:
    data = archive(
        ("a", b"a"), ("sub/b", b"b"), link("s", "sub"), link("h", "a", tarfile.LNKTYPE),
        ("s/c", b"c"), mode=mode,
    )  # fmt: skip
    with engine(tmp_path) as solver:
        assert build(solver, unpacked(data)) == {
            "/d": "directory", "/d/a": "a", "/d/h": "a", "/d/s": "sub", "/d/sub": "directory",
            "/d/sub/b": "b", "/d/sub/c": "c",
        }  # fmt: skip


def test_an_owner_applies_to_all_entries(tmp_path: Path) -> None:
    state = unpacked(archive(("a", b"a")), owner=(1, 2))
    with engine(tmp_path) as solver, solver.solve(state.marshal()) as solution:
        ref = solution.result()
        assert ref is not None
        assert [(e.uid, e.gid) for e in ref.files.walk("/d")] == [(1, 2), (1, 2)]


@pytest.mark.parametrize("data", [b"", b"text", b"\x1f\x8b broken", bytes(2000)])
def test_other_files_are_copied(tmp_path: Path, data: bytes) -> None:
    with engine(tmp_path) as solver:
        found = build(solver, unpacked(data))
    assert set(found) == {"/d", "/d/archive"}


def test_entries_cannot_leave_the_destination(tmp_path: Path) -> None:
    with engine(tmp_path) as solver:
        found = build(solver, unpacked(archive(("../../x", b"x"), ("/y", b"y"))))
        assert set(found) == {"/d", "/d/x", "/d/y"}
        with pytest.raises(UnsafePathError):
            build(solver, unpacked(archive(link("out", "/"), ("out/etc", b""))))
        with pytest.raises(UnsafePathError):
            build(solver, unpacked(archive(link("up", ".."), link("h", "up/x", tarfile.LNKTYPE))))


@pytest.mark.parametrize(
    ("text", "mode", "is_directory", "expected"),
    [
        ("0755", 0o600, False, 0o755),
        ("u+x", 0o644, False, 0o744),
        ("go=", 0o777, False, 0o700),
        ("a+X", 0o644, False, 0o644),
        ("a+X", 0o744, False, 0o755),
        ("a+X", 0o644, True, 0o755),
        ("u=rwx,g=u,o-rwx", 0o007, False, 0o770),
        ("g=o", 0o705, False, 0o755),
        ("+t", 0o755, True, 0o1755),
        ("u+s,g+s", 0o755, False, 0o6755),
        ("u-s", 0o4755, False, 0o755),
        ("u=rwx", 0o4755, False, 0o755),
        ("ug+rw-x", 0o111, False, 0o661),
    ],
)
def test_modes_as_text(text: str, mode: int, is_directory: bool, expected: int) -> None:
    assert oct(parse_mode(text)(mode, is_directory)) == oct(expected)


@pytest.mark.parametrize("text", ["", "zz", "u", "u+", "+", "8", "u+x,", "77777x", "=q"])
def test_texts_that_are_no_modes(text: str) -> None:
    if text in ("u+", "+"):  # as chmod(1): no permissions
        assert parse_mode(text)(0o644, False) == 0o644
        return
    with pytest.raises(MalformedError):
        parse_mode(text)


def test_paths_never_leave_the_root(tmp_path: Path) -> None:
    base = SCRATCH.file(llb.mkdir("/d").symlink("../../../../x", "/d/link").mkdir("/x"))
    state = base.file(llb.mkfile("/../../a", "a").mkfile("/d/link/b", "b"))
    copied = SCRATCH.file(llb.copy(state, "../../x/../x/b", "../../../c"))
    with engine(tmp_path) as solver:
        assert build(solver, state)["/x/b"] == "b"
        assert build(solver, copied) == {"/c": "b"}


@pytest.mark.parametrize(
    ("actions", "error"),
    [
        (llb.mkfile("/.wh.a", ""), RefusedError),
        (llb.mkfile("/" + "n" * 300, ""), RefusedError),
        (llb.mkfile("/a\0b", ""), RefusedError),
        (llb.rm("/"), RefusedError),
        (llb.rm("/none"), NotFoundError),
        (llb.mkfile("/file", "").mkfile("/file/below", ""), RefusedError),
        (llb.symlink("b", "/a").symlink("a", "/b").mkfile("/a/x", ""), UnsafePathError),
        (
            llb.copy(SCRATCH.file(llb.mkfile("/a", "")), "/[", "/b", allow_wildcard=True),
            MalformedError,
        ),
    ],
)
def test_refusals(tmp_path: Path, actions: llb.FileActions, error: type[Exception]) -> None:
    with engine(tmp_path) as solver, pytest.raises(error):
        build(solver, SCRATCH.file(actions))


def test_a_failed_operation_leaves_no_ref(tmp_path: Path) -> None:
    with engine(tmp_path) as solver:
        with pytest.raises(NotFoundError):
            build(solver, SCRATCH.file(llb.mkfile("/a", "a").mkfile("/none/b", "b")))
        assert solver.manager.disk_usage() == []


def test_hostile_patterns_take_little_time(tmp_path: Path) -> None:
    source = SCRATCH.file(llb.mkfile("/" + "a" * 200, "x"))
    pattern = "/" + "a*" * 60 + "b"
    copy = llb.copy(source, pattern, "/d", allow_wildcard=True, allow_empty_wildcard=True)
    with engine(tmp_path) as solver:
        assert build(solver, SCRATCH.file(copy)) == {}


def test_actions_may_form_a_graph(tmp_path: Path) -> None:
    """Two actions go on from the same one, and both are outputs."""

    def mkfile(name: str, input: int, output: int) -> FileAction:
        made = FileActionMkFile(path=f"/{name}", mode=0o644, data=name.encode(), timestamp=-1)
        return FileAction(input=input, secondary_input=-1, output=output, mkfile=made)

    actions = [mkfile("base", -1, -1), mkfile("one", 0, 0), mkfile("two", 0, 1)]
    vertex = Op(file=FileOp(actions=actions)).encode()
    with engine(tmp_path) as solver:
        found = []
        for index in range(2):
            terminal = Op(inputs=[Input(digest=digest_of(vertex), index=index)]).encode()
            definition = Definition(messages.Definition(vertices=[vertex, terminal]))
            with solver.solve(definition) as solution:
                ref = solution.result()
                assert ref is not None
                found.append(sorted(e.path for e in ref.files.walk())[1:])
    assert found == [["/base", "/one"], ["/base", "/two"]]


def test_data_of_other_layers_is_not_copied(tmp_path: Path) -> None:
    def staged() -> int:
        return sum(p.stat().st_size for p in (tmp_path / "store" / "staging").rglob("*"))

    large = SCRATCH.file(llb.mkfile("/large", bytes(1 << 20)))
    with engine(tmp_path) as solver:
        build(solver, large)
        before = staged()
        with solver.solve(SCRATCH.file(llb.copy(large, "/large", "/copy")).marshal()) as solution:
            assert solution.result() is not None
            assert staged() - before < 1 << 14


def test_a_layer_is_opened_once_for_all_its_files(tmp_path: Path, counts: Counts) -> None:
    many = SCRATCH.file(llb.mkdir("/d"))
    for number in range(50):
        many = many.file(llb.mkfile(f"/d/{number}", str(number)))
    merged = SCRATCH.file(llb.copy(many, "/d", "/d"))
    with engine(tmp_path) as solver:
        build(solver, merged)
        counts.clear()
        with solver.solve(SCRATCH.file(llb.copy(merged, "/d", "/e")).marshal()) as solution:
            assert solution.result() is not None
    assert 0 < counts.layers < 5
