"""Answers about processes and containers of build functions, from the embedded engine."""

from __future__ import annotations

import signal
from collections.abc import Callable
from io import BytesIO
from typing import Any

from tarkit import gateway, llb
from tarkit.errors import BuildError, TarkitError
from tarkit.gateway import Client
from tarkit.llb.messages import MountType
from tests.golden.runner import Case, Skipped

Container = gateway.Container
Process = gateway.ContainerProcess
_HIDDEN = ("OTEL_", "TRACEPARENT")


def base() -> llb.State:
    """Return the root filesystem: busybox, and accounts."""
    return llb.local("root").network("none")


def run(client: Client, case: Case) -> None:
    """Do what the case is named after, and compare the outcome."""
    name: str = case["name"]
    got = case["got"]
    if "failing" in name:
        _compare(got, lambda: _failing(client, name))
        return
    answer = _ANSWERS.get(name)
    if answer is None:
        raise Skipped("there is nothing like it in the embedded engine")
    answer(client, got)


def _failing(client: Client, name: str) -> None:
    state = base().run(["/bin/busybox", "sh", "-c", "exit 42"]).root()
    if name.startswith("solve-"):
        client.solve(state, evaluate=True)
        return
    ref = client.solve(state).single_ref()
    assert ref is not None
    if "readfile" in name:
        ref.read_file("/x")
    else:
        ref.evaluate()


def _compare(got: Any, call: Callable[[], object]) -> None:
    """Compare the exit code of the failure of *call* with that in the message of the recorded one."""
    try:
        call()
    except TarkitError as error:
        message = (got.get("err") or got)["message"]
        code = getattr(error, "exit_code", None)
        assert code is None or f"exit code: {code}" in message
        return
    raise AssertionError(f"no error, but BuildKit says: {got}")


def _open(client: Client, **changes: Any) -> Container:
    ref = client.solve(base()).single_ref()
    mounts = changes.pop("mounts", None) or [gateway.Mount(dest="/", ref=ref)]
    return client.new_container(
        gateway.NewContainerRequest(mounts=mounts, net_mode=llb.NetMode.NONE)
    )


def _start(container: Container, script: str, **options: Any) -> Process:
    args = options.pop("args", ["/bin/busybox", "sh", "-c", script])
    return container.start(gateway.StartRequest(args=args, **options))


def _outcome(client: Client, got: Any, script: str, **options: Any) -> None:
    """Run *script* in a container of its own, and compare output and exit code."""
    out, errors = BytesIO(), BytesIO()
    container = _open(client)
    process = _start(container, script, stdout=out, stderr=errors, **options)
    try:
        process.wait()
        code = 0
    except BuildError as error:
        code = error.exit_code or -1
    _release(container)
    assert code == got.get("exit_code", 0)
    assert _shown(out.getvalue().decode()) == _shown(got["out"])
    if not got.get("stderr", "").startswith("runc"):
        assert errors.getvalue().decode() == got.get("stderr", "")


def _shown(text: str) -> str:
    return "".join(line for line in text.splitlines(True) if not line.startswith(_HIDDEN))


def _release(container: Container) -> None:
    try:
        container.release()
    except BuildError:
        return  # of a process that failed, as in BuildKit


def _after_end(client: Client, got: Any) -> None:
    container = _open(client)
    _start(container, ":").wait()
    _compare(got, lambda: _start(container, ":").wait())
    _release(container)


def _release_after_failure(client: Client, got: Any) -> None:
    container = _open(client)
    process = _start(container, "exit 3")
    _compare(got, process.wait)
    _compare(got, container.release)


def _second(client: Client, got: Any) -> None:
    container = _open(client)
    _start(container, "/bin/busybox sleep 100")
    out = BytesIO()
    process = _start(container, "echo pid $$; exit 7", stdout=out)
    _compare(got, process.wait)
    assert out.getvalue().startswith(b"pid ")
    _release(container)


def _signal(client: Client, got: Any) -> None:
    container = _open(client)
    process = _start(container, "/bin/busybox sleep 100")
    process.signal(signal.SIGKILL)
    if got is not None:
        _compare(got, process.wait)
    _release(container)


def _wait_after_release(client: Client, got: Any) -> None:
    container = _open(client)
    process = _start(container, "/bin/busybox sleep 100")
    _release(container)
    _compare(got, process.wait)


def _stdin(client: Client, got: Any) -> None:
    out = BytesIO()
    container = _open(client)
    _start(container, "cat", stdin=BytesIO(b"piped"), stdout=out).wait()
    _release(container)
    assert out.getvalue().decode() == got["out"]


_DEFAULTS = "/bin/busybox pwd; /bin/busybox env | /bin/busybox sort; "
_ANSWERS: dict[str, Callable[[Client, Any], None]] = {
    "ctr-exit-3": lambda client, got: _outcome(client, got, "echo out; echo err >&2; exit 3"),
    "ctr-missing-binary": lambda client, got: _outcome(client, got, "", args=["/nope"]),
    "ctr-defaults": lambda client, got: _outcome(
        client, got, f"{_DEFAULTS}/bin/busybox id; echo $$"
    ),
    "ctr-env-cwd-user": lambda client, got: _outcome(
        client, got, f"{_DEFAULTS}/bin/busybox id -u", env=["A=1"], cwd="/tmp", user="12:34"
    ),
    "ctr-second-after-pid1-exit": _after_end,
    "ctr-release": _release_after_failure,
    "ctr-exec-while-pid1-runs": _second,
    "ctr-stdin": _stdin,
    "ctr-signal": _signal,
    "ctr-signal-sent": _signal,
    "ctr-wait-after-release": _wait_after_release,
    "newcontainer-without-root": lambda client, got: _open(
        client, mounts=[gateway.Mount(dest="/x")]
    ).release(),
    "newcontainer-unknown-result-id": lambda client, got: _compare(
        got, lambda: _open(client, mounts=[gateway.Mount(dest="/", result_id="nosuch")])
    ),
    "newcontainer-tmpfs-root": lambda client, got: _compare(
        got, lambda: _open(client, mounts=[gateway.Mount(dest="/", mount_type=MountType.TMPFS)])
    ),
}
