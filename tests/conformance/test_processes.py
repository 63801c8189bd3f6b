"""Processes and containers of the embedded engine, with the real runtime."""

from __future__ import annotations

import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import pytest

import tarkit
from tarkit import gateway, llb
from tests.conformance.tools import PATIENCE, SYSTEM_PATH, Tool, find_tool

HELLO = """\
from tarkit import llb

def build(client):
    context = llb.local("context")
    base = llb.scratch().file(llb.mkdir("/bin")).file(llb.copy(context, "/busybox", "/bin/busybox"))
    return base.run(["/bin/busybox", "sh", "-c", "echo hello > /greeting"]).root()
"""
SECRET = b"hunter2-\xf0\x9f\x94\x91-secret"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture(scope="module", autouse=True)
def runtime() -> None:
    for name in ("runc", "busybox"):
        find_tool(name)


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a static busybox."""
    busybox = shutil.which("busybox")
    assert busybox is not None
    directory = tmp_path_factory.mktemp("context")
    shutil.copy(busybox, directory / "busybox")
    return directory


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("processes") / "store"


Build = Callable[..., gateway.BuildResponse]


@pytest.fixture
def build(store: Path, context: Path) -> Iterator[Build]:
    with tarkit.build_client(store=store) as builder:
        yield lambda task, **options: builder.build(task, local={"context": context}, **options)


def base() -> llb.State:
    copied = llb.copy(llb.local("context"), "/busybox", "/bin/busybox")
    return llb.scratch().file(llb.mkdir("/bin")).file(copied).network("none")


def sh(script: str, state: llb.State | None = None, **options: object) -> llb.ExecState:
    return (state or base()).run(["/bin/busybox", "sh", "-c", script], **options)  # type: ignore[arg-type]


def files_after(build: Build, state: llb.State, tmp_path: Path) -> Path:
    out = tmp_path / "out"
    build(state, output=f"type=local,dest={out}")
    return out


def test_the_program_of_the_guide(tmp_path: Path, context: Path) -> None:
    (tmp_path / "hello.py").write_text(HELLO)
    command = [sys.executable, "-m", "tarkit", "build", "hello.py:build", "--store", "store",
               "--local", f"context={context}", "--output", "type=oci,dest=hello.tar"]  # fmt: skip
    subprocess.run(command, cwd=tmp_path, check=True)
    with tarkit.open_image(tmp_path / "hello.tar") as image:
        assert image.files.read_text("/greeting") == "hello\n"


def test_the_program_of_the_guide_without_root(context: Path) -> None:
    work = Path("/var/tmp") / f"tarkit-{os.urandom(4).hex()}"
    work.mkdir()
    try:
        work.chmod(0o755)
        (work / "hello.py").write_text(HELLO)
        os.chown(work, 65534, 65534)
        # the user may read everything, since Python may be installed for root only
        user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]  # fmt: skip
        command = [*user, sys.executable, "-m", "tarkit", "build", "hello.py:build",
                   "--store", "store", "--local", f"context={context}",
                   "--output", "type=oci,dest=hello.tar"]  # fmt: skip
        env = {"PATH": SYSTEM_PATH, "HOME": str(work), "PYTHONPATH": ":".join(sys.path)}
        done = subprocess.run(
            command, cwd=work, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        with tarkit.open_image(work / "hello.tar") as image:
            assert image.files.read_text("/greeting") == "hello\n"
            assert image.files.stat("/greeting").uid == 0
    finally:
        shutil.rmtree(work)


def test_changes_become_a_layer_and_mount_points_do_not(build: Build, tmp_path: Path) -> None:
    mounts = [llb.bind("/m/n", llb.scratch(), readonly=True), llb.tmpfs("/t")]
    state = sh("echo a > /a; /bin/busybox mkdir /d; echo x > /t/x", mounts=mounts)
    out = files_after(build, state.root(), tmp_path)
    assert sorted(each.name for each in out.iterdir()) == ["a", "bin", "d", "dev", "proc", "sys"]


def test_a_read_only_root_cannot_be_changed(build: Build, tmp_path: Path) -> None:
    mounts = [llb.bind("/out", llb.scratch())]
    run = sh("! echo > /x && echo y > /out/y", mounts=mounts, readonly_root=True)
    out = files_after(build, run.mount("/out"), tmp_path)
    assert [each.name for each in out.iterdir()] == ["y"]


def test_outputs_are_the_changed_mounts(build: Build, tmp_path: Path) -> None:
    content = llb.scratch().file(llb.mkdir("/sub")).file(llb.mkfile("/sub/old", "old"))
    run = sh("/bin/busybox cp /in/old /out/sub/new", mounts=[
        llb.bind("/in", content, selector="/sub", readonly=True), llb.bind("/out", content),
    ])  # fmt: skip
    out = files_after(build, run.mount("/out"), tmp_path)
    assert (out / "sub" / "new").read_text() == "old"


def test_a_cache_lasts_and_is_listed_and_pruned(build: Build, store: Path, tmp_path: Path) -> None:
    for text in ("1", "2"):
        cache = llb.cache("/cache", "test", sharing="locked")
        run = sh(f"echo {text} >> /cache/log; /bin/busybox cp /cache/log /out/", mounts=[
            cache, llb.bind("/out", llb.scratch()),
        ])  # fmt: skip
        (tmp_path / text).mkdir()
        out = files_after(build, run.mount("/out"), tmp_path / text)
    assert (out / "log").read_text() == "1\n2\n"
    listed = tarkit_command("store", "du", "--store", store, "--filter", "type==exec.cachemount")
    assert "cache mount test" in listed


def test_a_shared_cache_is_one_directory(build: Build) -> None:
    """Two processes that run at once see each other's files."""
    wait = "for i in $(/bin/busybox seq 100); do [ -e /c/{0} ] && exit 0; /bin/busybox sleep .1; done; exit 1"
    runs = [
        sh(f"echo > /c/{own}; {wait.format(other)}", mounts=[llb.cache("/c", "both")]).root()
        for own, other in ("ab", "ba")
    ]
    build(llb.merge([sh(":").root(), *runs]))


def test_secrets_are_nowhere_but_in_the_process(build: Build, store: Path, tmp_path: Path) -> None:
    mounts = [llb.secret("/run/secrets/token", id="token", uid=7, mode=0o440),
              llb.secret(env="TOKEN", id="token"), llb.bind("/out", llb.scratch())]  # fmt: skip
    script = "/bin/busybox stat -c '%u %a' /run/secrets/token > /out/stat; "
    script += '[ "$TOKEN" = "$(/bin/busybox cat /run/secrets/token)" ] && echo same > /out/same'
    out = tmp_path / "out"
    run = sh(script, mounts=mounts)
    with tarkit.build_client(store=store):
        build(run.mount("/out"), output=f"type=local,dest={out}", secrets={"token": SECRET})
        build(
            run.root(), output=f"type=tar,dest={tmp_path / 'root.tar'}", secrets={"token": SECRET}
        )
    assert (out / "stat").read_text() == "7 440\n"
    assert (out / "same").read_text() == "same\n"
    places = [*store.rglob("*"), *tmp_path.rglob("*"), *Path("/dev/shm").rglob("*")]
    for path in (each for each in places if each.is_file()):
        assert SECRET not in path.read_bytes(), path


def test_missing_secrets_fail_unless_optional(build: Build) -> None:
    with pytest.raises(tarkit.BuildError, match="no secret 'absent'"):
        build(sh(":", mounts=[llb.secret("/s", id="absent")]).root())
    build(sh("[ ! -e /s ]", mounts=[llb.secret("/s", id="absent", optional=True)]).root())


def test_exit_codes_are_those_of_the_process(build: Build) -> None:
    for script, code in (("exit 9", 9), ("/bin/busybox sh -c 'kill -9 $$'; exit $?", 137)):
        with pytest.raises(tarkit.BuildError, match=f"exit code {code}") as caught:
            build(sh(script).root())
        assert caught.value.exit_code == code
    build(sh("exit 9", valid_exit_codes=[9]).root())


def test_the_sandbox_has_a_network_and_privileges_are_asked_for(build: Build) -> None:
    find_tool("slirp4netns")
    inside = "/bin/busybox ip -4 addr show tap0 && /bin/busybox grep -q 10.0.2.3 /etc/resolv.conf"
    build(sh(inside, base().network("sandbox")).root())
    host = sh(
        "/bin/busybox grep CapEff /proc/self/status | /bin/busybox grep -q a80425fb", network="host"
    )
    with pytest.raises(tarkit.RefusedError, match=r"network\.host is not allowed"):
        build(host.root())
    build(host.root(), allow=["network.host"])
    build(
        sh("/bin/busybox mkdir /m; /bin/busybox mount -t tmpfs x /m", security="insecure").root(),
        allow=["security.insecure"],
    )


@pytest.mark.parametrize(
    "script",
    [
        "/bin/busybox mount -t tmpfs x /bin",
        "/bin/busybox umount /proc",
        "/bin/busybox mknod /disk b 254 0 && /bin/busybox head -c 1 /disk",
        "/bin/busybox chroot /proc/1/root /bin/busybox ls /canary",
        "echo 1 > /proc/sysrq-trigger",
        "/bin/busybox unshare -m /bin/busybox true",
        "/bin/busybox touch /in/x",
    ],
)
def test_a_hostile_process_gets_nowhere(build: Build, script: str) -> None:
    mounts = [llb.bind("/in", llb.scratch(), readonly=True)]
    with pytest.raises(tarkit.BuildError, match="exit code"):
        build(sh(script, mounts=mounts).root())


def test_a_root_replaced_by_links_harms_nothing(build: Build, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    canary.mkdir()
    (canary / "file").write_text("alive")
    script = f"/bin/busybox rm -r /etc; /bin/busybox ln -s {canary} /etc; /bin/busybox ln -s / /l"
    state = sh(f"/bin/busybox mkdir -p /etc; {script}").root()
    build(state, output=f"type=tar,dest={tmp_path / 'out.tar'}")
    build(sh("echo x > /l/y", state).root())
    assert [path.name for path in canary.iterdir()] == ["file"]
    assert (canary / "file").read_text() == "alive"


def test_a_cancelled_build_ends_all_processes(build: Build) -> None:
    marker = f"{os.getpid()}.25"
    script = f"trap '' TERM; /bin/busybox sleep {marker} & /bin/busybox sleep {marker}"
    cancellation = tarkit.Cancellation()
    timer = threading.Timer(2, cancellation.cancel)
    timer.start()
    with pytest.raises(tarkit.CancelledError), cancellation:
        build(sh(script).root())
    assert not running(marker)


def test_a_killed_tarkit_leaves_nothing_after_the_next_process(
    build: Build, context: Path, tmp_path: Path
) -> None:
    marker = f"{os.getpid()}.75"
    program = HELLO.replace("echo hello > /greeting", f"/bin/busybox sleep {marker}")
    (tmp_path / "sleep.py").write_text(program)
    command = [sys.executable, "-m", "tarkit", "build", "sleep.py", "--store", "store",
               "--local", f"context={context}"]  # fmt: skip
    with subprocess.Popen(command, cwd=tmp_path, start_new_session=True) as child:
        until(lambda: running(marker))
        child.send_signal(signal.SIGKILL)
    build(sh("true # after a kill").root())
    until(lambda: not running(marker))
    assert tarkit_command("store", "prune", "--all", "--store", tmp_path / "store") is not None
    assert str(tmp_path) not in Path("/proc/mounts").read_text()


def test_a_process_may_close_its_output(build: Build) -> None:
    build(sh("exec >&- 2>&-; /bin/busybox sleep 0.3; [ -d /proc/1 ]").root())


def test_a_runtime_that_is_killed_leaves_no_process(build: Build) -> None:
    marker = f"{os.getpid()}.5"

    def kill() -> None:
        until(lambda: running(marker))
        for path in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                name, _, rest = path.read_text().partition(") ")
                if name.endswith("(runc") and rest.split()[1] == str(os.getpid()):
                    os.kill(int(path.parent.name), signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    with pytest.raises(tarkit.BuildError, match="exit code 137"):
        build(sh(f"/bin/busybox sleep {marker}").root())
    thread.join()
    until(lambda: not running(marker))


def test_much_output_is_passed_on(build: Build) -> None:
    sizes: list[int] = []

    def count(event: object) -> None:
        sizes.append(len(getattr(event, "data", b"")))

    build(sh("/bin/busybox yes | /bin/busybox head -c 50000000").root(), on_event=count)
    assert sum(sizes) == 50_000_000


def test_a_container_runs_several_processes(build: Build) -> None:
    first, second, terminal = BytesIO(), BytesIO(), BytesIO()

    def task(client: gateway.Client) -> None:
        ref = client.solve(base()).single_ref()
        request = gateway.NewContainerRequest(
            mounts=[gateway.Mount(dest="/", ref=ref)], net_mode=llb.NetMode.NONE
        )
        with client.new_container(request) as container:

            def start(script: str, **options: object) -> gateway.ContainerProcess:
                args = ["/bin/busybox", "sh", "-c", script]
                return container.start(gateway.StartRequest(args=args, **options))  # type: ignore[arg-type]

            init = start("echo $$; cat; exec sleep 1000", stdin=BytesIO(b"input\n"), stdout=first)
            with pytest.raises(tarkit.BuildError) as caught:
                start("echo out; echo err >&2; exit 7", stdout=second, stderr=second).wait()
            assert caught.value.exit_code == 7
            shown = start("stty size; read x; echo got $x", tty=True, stdin=BytesIO(b"line\n"),
                          stdout=terminal)  # fmt: skip
            shown.resize(gateway.WinSize(33, 44))
            shown.wait()
            with pytest.raises(tarkit.UsageError):
                init.resize(gateway.WinSize(1, 1))
            until(lambda: first.getvalue() == b"1\ninput\n")
            init.signal(signal.SIGKILL)
            with pytest.raises(tarkit.BuildError, match="137"):
                init.wait()
            with pytest.raises(tarkit.NotFoundError, match="first process of the container"):
                start(":")

    with pytest.raises(tarkit.BuildError):  # releasing tells about processes that failed
        build(task)
    assert sorted(second.getvalue().splitlines()) == [b"err", b"out"]
    assert b"got line\r\n" in terminal.getvalue()


def test_twenty_containers_run_at_once(build: Build) -> None:
    outputs = [BytesIO() for _ in range(20)]

    def task(client: gateway.Client) -> None:
        ref = client.solve(base()).single_ref()
        request = gateway.NewContainerRequest(
            mounts=[gateway.Mount(dest="/", ref=ref)], net_mode=llb.NetMode.NONE
        )
        containers = [client.new_container(request) for _ in outputs]
        processes = [
            container.start(gateway.StartRequest(
                args=["/bin/busybox", "sh", "-c", f"echo {number}; echo x > /written"],
                stdout=output,
            ))
            for number, (container, output) in enumerate(zip(containers, outputs, strict=True))
        ]  # fmt: skip
        for process in processes:
            process.wait()
        for container in containers:
            container.release()
        assert ref is not None
        assert [each.path for each in ref.read_dir("/")] == ["bin"]

    build(task)
    assert [int(output.getvalue()) for output in outputs] == list(range(20))


def test_the_check_finds_a_runtime() -> None:
    found = tarkit.check_executor()
    assert (found.problems, found.rootless) == ((), False)


def tarkit_command(*arguments: str | Path) -> str:
    return Tool((sys.executable, "-m", "tarkit"))(*arguments)


def running(marker: str) -> bool:
    """Return True if a process has *marker* among its arguments."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"sleep" in arguments and marker.encode() in arguments:
            return True
    return False


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_shell_opens_where_a_step_failed(store: Path, context: Path, tmp_path: Path) -> None:
    program = HELLO.replace("echo hello > /greeting", "echo x > /made; exit 5").replace(
        "base.run(", 'base.file(llb.mkfile("/before", "here")).run('
    )
    (tmp_path / "fail.py").write_text(program)
    command = [sys.executable, "-m", "tarkit", "build", "fail.py", "--store", str(store),
               "--local", f"context={context}", "--on-error", "shell"]  # fmt: skip
    child, terminal = pty.fork()
    if not child:
        os.chdir(tmp_path)
        os.execv(command[0], command)
    shown = b""

    def wait_for(text: bytes) -> None:
        nonlocal shown
        end = time.monotonic() + PATIENCE
        while text not in shown:
            assert time.monotonic() < end, shown
            if select.select([terminal], [], [], 1)[0]:
                shown += os.read(terminal, 4096)

    wait_for(b"a shell in the state before the step failed")
    wait_for(b" # ")  # the prompt
    os.write(terminal, b"/bin/busybox cat /before; /bin/busybox ls /made; echo code$((40+2))\n")
    wait_for(b"code42")
    assert b"here" in shown
    assert b"No such file" in shown or b"not found" in shown
    os.write(terminal, b"exit\n")
    wait_for(b"failed with exit code 5")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
