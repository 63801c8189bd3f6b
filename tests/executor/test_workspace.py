"""Private directories of running containers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tarkit.errors import UnsafePathError
from tarkit.executor.agent import forwarding
from tarkit.executor.workspace import Workspaces

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="containers need Linux")

KILLED = """\
import os, signal, sys
from pathlib import Path
from tarkit.executor.workspace import Workspaces
from tarkit.executor import workspace
workspace._MEMORY = (sys.argv[1],)
with Workspaces().new(print) as path:
    (path / "secret").write_text("x")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def leftovers(workspaces: Workspaces) -> list[str]:
    return [path.name for path in workspaces.path.iterdir()]


@pytest.fixture
def workspaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspaces:
    monkeypatch.setattr("tarkit.executor.workspace._MEMORY", (str(tmp_path),))
    return Workspaces()


def test_a_workspace_exists_for_its_block(workspaces: Workspaces) -> None:
    with workspaces.new(print) as first, workspaces.new(print) as second:
        assert first.is_dir()
        assert first != second
        assert first.parent.stat().st_mode & 0o077 == 0
    assert leftovers(workspaces) == []


def test_a_killed_process_leaves_nothing_after_the_next_start(
    workspaces: Workspaces, tmp_path: Path
) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    (left,) = leftovers(workspaces)
    ended: list[str] = []
    with workspaces.new(ended.append):
        assert ended == [left]
        assert left not in leftovers(workspaces)


def test_living_workspaces_stay(workspaces: Workspaces) -> None:
    with workspaces.new(print) as path:
        workspaces.sweep(pytest.fail)
        assert path.is_dir()


def test_a_directory_of_others_is_refused(workspaces: Workspaces) -> None:
    workspaces.path.mkdir(mode=0o755)
    with pytest.raises(UnsafePathError, match="belongs to another user"), workspaces.new(print):
        pass


def test_a_socket_is_forwarded(tmp_path: Path) -> None:
    import socket
    import threading

    with socket.socket(socket.AF_UNIX) as agent, socket.socket(socket.AF_UNIX) as client:
        agent.bind(str(tmp_path / "agent"))
        agent.listen()

        def answer() -> None:
            connection, _ = agent.accept()
            with connection:
                connection.sendall(connection.recv(100).upper())

        thread = threading.Thread(target=answer)
        thread.start()
        with forwarding(tmp_path / "s", tmp_path / "agent"):
            client.connect(str(tmp_path / "s"))
            client.sendall(b"question")
            assert client.recv(100) == b"QUESTION"
        thread.join()
