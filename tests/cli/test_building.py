"""Test ``tarkit build``: options, outputs, progress and failures."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import jsonschema
import pytest

import tarkit as library
from tarkit import llb
from tarkit.cli.excerpts import failure_text
from tarkit.cli.secrets import parse_agents, parse_secrets
from tarkit.cli.shells import shell_of
from tarkit.cli.steps import Steps
from tarkit.errors import BuildError, SourcePosition
from tarkit.solver.events import LogEvent, StatusEvent, VertexEvent
from tests.cli.conftest import Tarkit

COMMAND = [sys.executable, "-m", "tarkit", "build"]
SCHEMA = Path(__file__).parents[2] / "schemas" / "event.json"
posix_only = pytest.mark.skipif(os.name != "posix", reason="needs a pseudoterminal")

PROGRAM = """
from tarkit import llb

def build(client):
    context = llb.local("context")
    return llb.scratch().file(llb.mkdir("/d")).file(llb.copy(context, "/a.txt", "/d/b.txt"))

def failing(client):
    context = llb.local("context")
    base = llb.scratch().file(llb.mkdir("/d"))
    return base.file(llb.copy(context, "/none", "/d/b.txt"))

def running():
    return llb.scratch().run(["/bin/true"])

def options(client):
    opts = client.build_opts()
    client.warn("sha256:aa", "careful\\n")
    text = repr(sorted(opts.opts.items()))
    return client.solve(llb.scratch().file(llb.mkfile("/opts", text)))

def raising(client):
    return client.solve(llb.scratch()).ref.evaluate()

def waiting(client):
    import time
    print("waiting", flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change to a directory with a program, and a directory to build from."""
    (tmp_path / "hello.py").write_text(PROGRAM)
    (tmp_path / "context").mkdir()
    (tmp_path / "context" / "a.txt").write_text("hello")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TARKIT_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path


def files_in(location: str) -> list[str]:
    with library.open_source(location) as source, library.FileSystem.of(source) as files:
        return [entry.path for entry in files.walk()]


def test_an_image_is_built_and_found_in_the_cache(tarkit: Tarkit) -> None:
    arguments = ["hello.py:build", "--local", "context=context"]
    result = tarkit("build", *arguments, "--output", "type=oci,dest=hello.tar")
    assert (result.code, result.out) == (0, "")
    assert "#3 copy /a.txt /d/b.txt\n#3 DONE" in result.err
    assert "exporting to oci image format" in result.err
    assert result.err.endswith("tarkit: wrote hello.tar\n")
    assert files_in("oci-archive:hello.tar") == ["/", "/d", "/d/b.txt"]
    again = tarkit("build", *arguments, "--output", "type=docker,dest=again.tar,name=app:1")
    assert "copy /a.txt /d/b.txt\n#3 CACHED" in again.err
    assert files_in("docker-archive:again.tar:app:1") == ["/", "/d", "/d/b.txt"]
    anew = tarkit("build", *arguments, "--no-cache")
    assert "CACHED" not in anew.err
    assert anew.err.endswith("no output given: the result stays in the store\n")


def test_the_changed_inputs_are_explained(tarkit: Tarkit, here: Path) -> None:
    arguments = ["hello.py", "--local", "context=context", "--explain", "--progress", "plain"]
    first = tarkit("build", *arguments)
    assert (
        "tarkit: mkdir /d: was not part of the last build\ntarkit: copy /a.txt /d/b.txt: was not part of the last build\n"
        in first.err
    )
    assert "not part of the last build" not in tarkit("build", *arguments).err
    (here / "context" / "a.txt").write_text("other")
    changed = tarkit("build", *arguments).err
    assert "tarkit: copy /a.txt /d/b.txt: content of input 1 (/a.txt) changed: sha256:" in changed


def test_a_failing_step_shows_its_lines(tarkit: Tarkit, here: Path) -> None:
    arguments = ["hello.py:failing", "--local", "context=context", "-o", "out"]
    result = tarkit("build", *arguments)
    assert (result.code, result.out) == (3, "")
    assert not (here / "out").exists()
    *_, excerpt = result.err.partition("hello.py:11\n")
    lines = excerpt.splitlines()
    assert lines[3] == '  11 | >>>     return base.file(llb.copy(context, "/none", "/d/b.txt"))'
    assert lines[-1] == "tarkit: hello.py:11: copy /none /d/b.txt: /none: not found"
    quiet = tarkit("build", *arguments, "-q")
    assert (quiet.code, quiet.err) == (3, f"{lines[-1]}\n")


def test_a_failed_build_keeps_the_output_of_an_earlier_one(tarkit: Tarkit, here: Path) -> None:
    arguments = ["--local", "context=context", "-o", "type=oci,dest=a.tar"]
    tarkit("build", "hello.py", *arguments)
    before = (here / "a.tar").read_bytes()
    assert tarkit("build", "hello.py:failing", *arguments).code == 3
    assert (here / "a.tar").read_bytes() == before
    (here / "context" / "a.txt").write_text("other")
    assert tarkit("build", "hello.py", *arguments).code == 0
    assert (here / "a.tar").read_bytes() != before


def test_a_process_needs_a_runtime(tarkit: Tarkit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tarkit.executor.executor.find_programs", list)
    result = tarkit("build", "hello.py:running")
    assert result.code == 6
    assert "tarkit: hello.py:14: /bin/true: processes need an OCI runtime; install" in result.err


def test_the_check_names_what_is_missing(tarkit: Tarkit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tarkit.executor.checking.find_programs", list)
    result = tarkit("build", "--check")
    assert (result.code, result.out.splitlines()[0]) == (6, "runtime: none")
    assert "cannot run processes: processes need an OCI runtime" in result.err
    assert json.loads(tarkit("build", "--check", "--json").out)["runtime"] == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "no program given"),
        (("hello.py", "--secret", "src=x"), "use id=ID,src=FILE or id=ID,env=NAME"),
        (("hello.py", "--secret", "id=a,src=x,env=Y"), "use id=ID"),
        (("hello.py", "--secret", "id=a,type=odd"), "use id=ID"),
        (("hello.py", "--secret", "id=a,type=file"), "use id=ID"),
        (("hello.py", "--secret", "id=a,src="), "use id=ID"),
        (("hello.py", "--secret", "id=a,env=NOT_THERE"), "secret 'a': no variable 'NOT_THERE'"),
        (("hello.py", "--ssh", "default"), "SSH_AUTH_SOCK is not set"),
        (("hello.py", "--on-error", "shell"), "--on-error shell needs a terminal"),
        (("hello.py", "--allow", "everything"), "is not one of network.host, security.insecure"),
    ],
)
def test_secrets_and_privileges_are_checked(
    tarkit: Tarkit, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    result = tarkit("build", *arguments)
    assert result.code in (2, 3)
    assert message in result.err


def test_the_shell_is_that_of_the_process() -> None:
    assert shell_of(["/bin/busybox", "sh", "-c", "exit 1"]) == ["/bin/busybox", "sh"]
    assert shell_of(["/bin/bash", "-c", "x"]) == ["/bin/bash"]
    assert shell_of(["/bin/make"]) == shell_of(["-c"]) == ["/bin/sh"]


def test_secrets_are_files_or_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOKEN", "t")
    Path("file").write_bytes(b"\0f")
    texts = ["id=a,src=file", "id=b,env=TOKEN", "id=TOKEN", "id=file", "id=c,type=file,source=file"]
    expected = {"a": b"\0f", "b": b"t", "TOKEN": b"t", "file": b"\0f", "c": b"\0f"}
    assert parse_secrets(texts) == expected
    monkeypatch.setenv("SSH_AUTH_SOCK", "/agent")
    assert parse_agents(["default", "", "key=/other"]) == {
        "default": Path("/agent"), "key": Path("/other"),
    }  # fmt: skip


def test_options_and_arguments_reach_the_function(
    tarkit: Tarkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FROM_OUTSIDE", "1")
    result = tarkit(
        "build", "hello.py:options", "--opt", "k=a=b", "--build-arg", "V=2",
        "--build-arg", "FROM_OUTSIDE", "--build-arg", "NOT_THERE", "--platform", "linux/arm64",
        "--progress", "plain", "-o", "out",
    )  # fmt: skip
    assert result.code == 0
    assert "WARNING: careful\\n\n" in result.err
    expected = {"build-arg:V": "2", "build-arg:FROM_OUTSIDE": "1", "k": "a=b"}
    expected["platform"] = "linux/arm64"
    assert Path("out/opts").read_text() == repr(sorted(expected.items()))


def test_json_is_one_object_and_events(tarkit: Tarkit) -> None:
    schema = json.loads(SCHEMA.read_text())
    arguments = ["--local", "context=context", "-o", "type=oci,dest=a.tar,name=app", "--json"]
    result = tarkit("build", "hello.py", *arguments)
    events = [json.loads(line) for line in result.err.splitlines()]
    for event in events:
        jsonschema.validate(event, schema)
    assert {"step", "part", "end"} == {event["event"] for event in events}
    assert events[-1] == {"event": "end"}
    assert result.document["image.name"] == "docker.io/library/app:latest"
    failed = tarkit("build", "hello.py:failing", "--progress", "json", "--local", "context=context")
    events = [json.loads(line) for line in failed.err.splitlines()]
    for event in events:
        jsonschema.validate(event, schema)
    assert (events[-1]["event"], events[-1]["exit_code"]) == ("error", 3)
    warned = tarkit("build", "hello.py:options", "--progress", "json")
    (warning,) = (e for e in map(json.loads, warned.err.splitlines()) if e["event"] == "warning")
    jsonschema.validate(warning, schema)


def test_the_metadata_file_has_the_digests(tarkit: Tarkit) -> None:
    arguments = ["--local", "context=context", "-o", "type=oci,dest=a.tar"]
    tarkit("build", "hello.py", *arguments, "--metadata-file", "meta.json")
    document = json.loads(Path("meta.json").read_text())
    with library.open_source("oci-archive:a.tar") as source:
        assert document["containerimage.digest"] == str(source.manifest().digest)
    assert document["containerimage.descriptor"]["size"] > 0


def test_an_output_can_be_standard_output() -> None:
    arguments = ["hello.py", "--local", "context=context", "-o", "-"]
    result = subprocess.run([*COMMAND, *arguments], capture_output=True, check=True, timeout=60)
    Path("out.tar").write_bytes(result.stdout)
    with tarfile.open("out.tar") as archive:
        assert "d/b.txt" in [name.removeprefix("./") for name in archive.getnames()]


def test_a_definition_is_built_from_standard_input() -> None:
    definition = llb.scratch().file(llb.copy(llb.local("context"), "/a.txt", "/x")).marshal()
    arguments = ["-", "--local", "context=context", "-o", "type=local,dest=out"]
    result = subprocess.run(
        [*COMMAND, *arguments],
        input=definition.encode(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert Path("out/x").read_text() == "hello"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--local", "context"], 2, "--local: 'context' is not NAME=VALUE"),
        (["--local", "context=none"], 3, "none: is not a directory"),
        (["--opt", "a"], 2, "--opt: 'a' is not NAME=VALUE"),
        (["-o", "type=registry,name=a"], 6, "comes in a later version"),
        (["-o", "type=tar"], 2, "has no dest"),
        (["-o", "type=tar,dest=none/a.tar"], 3, "no such directory"),
        (["-o", "context"], 6, "exists and is not an empty directory"),
        (["--metadata-file", "none/meta.json"], 3, "none: no such directory"),
        (["-o", "-", "--json"], 2, "standard output can have one output only"),
        (["--engine", "unix:///run/a.sock"], 1, "unix:///run/a.sock: no daemon is listening"),
        (["--engine", "tcp://localhost:1", "--tlsdir", "."], 1, "no daemon is listening"),
        (["--frontend", "dockerfile.v0"], 6, "the local engine has no frontends"),
        (["--engine", "remote"], 2, "unknown engine 'remote'"),
        ([], 3, "hint: no access to the directory 'context'"),
    ],
)
def test_failures(tarkit: Tarkit, arguments: list[str], code: int, message: str) -> None:
    result = tarkit("build", "hello.py", *arguments)
    assert (result.code, result.out) == (code, "")
    assert message.removeprefix("hint: ") in result.err.splitlines()[-1]


def in_terminal(*arguments: str, stdout: str | None = None) -> tuple[int, str]:
    """Run a command in a pseudoterminal of 80 columns; return its exit code and output.

    The file *stdout* gets its standard output.
    """
    import pty

    process, terminal = pty.fork()
    if process == 0:
        if stdout is not None:
            os.dup2(os.open(stdout, os.O_WRONLY | os.O_CREAT, 0o666), 1)
        os.environ |= {"COLUMNS": "80", "LINES": "24", "TERM": "xterm"}
        os.execv(sys.executable, [*COMMAND, *arguments])
    output = b""
    while True:
        try:
            chunk = os.read(terminal, 65536)
        except OSError:
            break
        if not chunk:
            break
        output += chunk
    _, status = os.waitpid(process, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), output.decode()


@posix_only
def test_a_terminal_shows_the_steps() -> None:
    code, text = in_terminal("hello.py", "--local", "context=context", "-o", "out")
    last = text.rpartition("[+] Building ")[2]
    assert code == 0
    assert re.match(r"\d+\.\ds \(4/4\) FINISHED\r\n", last)
    assert re.search(r"=> copy /a.txt /d/b.txt +\d\.\ds\r\n", last)
    code, text = in_terminal("hello.py", "--local", "context=context")
    assert re.search(r"=> CACHED copy /a.txt /d/b.txt +0\.0s", text)
    code, text = in_terminal("hello.py:failing", "--local", "context=context")
    assert code == 3
    assert re.search(r"=> ERROR copy /none /d/b.txt +\d\.\ds\r\n.*hello.py:11\r\n---", text, re.S)


@posix_only
def test_an_output_on_standard_output_has_nothing_else() -> None:
    code, text = in_terminal(
        "hello.py", "--local", "context=context", "-o", "type=docker,dest=-", stdout="out.tar"
    )
    assert code == 0
    assert "FINISHED" in text
    assert files_in("docker-archive:out.tar") == ["/", "/d", "/d/b.txt"]
    code, text = in_terminal("hello.py", "--local", "context=context", "-o", "-")
    assert code == 2
    assert "will not write an archive to a terminal" in text


@posix_only
def test_an_interrupted_build_leaves_nothing(here: Path) -> None:
    arguments = [*COMMAND, "hello.py:waiting", "-o", "type=oci,dest=a.tar"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"waiting\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.endswith(b"tarkit: interrupted\n")
    assert not (here / "a.tar").exists()


@posix_only
@pytest.mark.parametrize("lines", range(1, 13, 2))
def test_a_killed_build_leaves_nothing_incomplete(here: Path, tarkit: Tarkit, lines: int) -> None:
    arguments = ["hello.py", "--local", "context=context", "-o", "type=oci,dest=a.tar"]
    command = [*COMMAND, *arguments, "--progress", "json"]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        for _ in range(lines):
            process.stderr.readline()
        process.kill()
        process.communicate(timeout=60)
    names = {path.name for path in here.iterdir()} - {"__pycache__"}
    assert {name for name in names if not name.startswith(".")} - {"a.tar"} <= {
        "hello.py", "context", "store",
    }  # fmt: skip
    if (here / "a.tar").exists():
        assert library.verify("oci-archive:a.tar").ok
    assert tarkit("build", *arguments).code == 0
    assert files_in("oci-archive:a.tar") == ["/", "/d", "/d/b.txt"]


# the text of steps


def test_steps_fit_the_terminal_and_escape_names() -> None:
    steps = Steps()
    for number in range(50):
        name = f"step {number} \x1b[31m" + "x" * 100
        steps.add(VertexEvent(str(number), name, started=1.0, completed=3.5))
    steps.add(VertexEvent("last", "last", started=1.0))
    steps.add(StatusEvent("last", "a", "download", 3, 9, 1.0, started=1.0))
    steps.add(LogEvent("last", 1, b"one\ntwo\rthree\nfour", 1.0))
    lines = steps.lines(60, 20)
    assert len(lines) == 20
    assert all(len(line) <= 60 for line in lines)
    assert "\x1b" not in "".join(lines)
    assert lines[0].endswith("(50/51)")
    assert [line.strip() for line in lines[-3:]] == [
        "=> => # one", "=> => # three", "=> => # four",
    ]  # fmt: skip
    assert "=> => download 3 / 9" in lines[-4]
    steps.finished = True
    assert len(steps.lines(60, 20)) == 56


def test_running_steps_are_shown_rather_than_others() -> None:
    steps = Steps()
    steps.add(VertexEvent("first", "first", started=1.0))
    for number in range(50):
        steps.add(VertexEvent(str(number), f"step {number}", started=1.0, completed=3.5))
    lines = [line.split()[1:-1] for line in steps.lines(60, 5)[1:]]
    assert lines == [["first"], ["step", "47"], ["step", "48"], ["step", "49"]]


def test_the_end_of_a_log_and_included_source_are_shown() -> None:
    steps = Steps()
    step = steps.add(VertexEvent("a", "make\n", started=1.0, completed=2.0, error="no"))
    steps.add(LogEvent("a", 2, b"".join(b"line %d\n" % n for n in range(200)), 1.0))
    position = SourcePosition("Dockerfile", 2, 2, b"FROM a\nRUN \x1b make\nRUN b\n")
    error = BuildError("failed", positions=[position])
    assert failure_text(error, step, None) == [
        "------", " > make\\n:", *(f"line {n}" for n in range(180, 200)), "------",
        "Dockerfile:2", "-" * 20,
        "   1 |     FROM a", "   2 | >>> RUN \\x1b make", "   3 |     RUN b", "-" * 20,
    ]  # fmt: skip


def test_a_file_that_a_foreign_definition_names_is_not_shown(here: Path) -> None:
    (here / "secret").write_text("secret\n")
    error = BuildError("failed", positions=[SourcePosition(str(here / "secret"), 1, 1)])
    assert failure_text(error, None, None) == []
