"""Outputs from a daemon that may be hostile."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from tarkit.errors import RefusedError, TransportError
from tarkit.gateway.buildkit.messages.files import Packet, PacketType, Stat
from tarkit.gateway.buildkit.messages.status import BytesMessage
from tarkit.gateway.buildkit.outputs import RemoteOutput
from tarkit.gateway.buildkit.services.filesend import send_handlers
from tarkit.gateway.buildkit.services.targets import target_of
from tarkit.gateway.buildkit.status import StatusError
from tarkit.gateway.stat import CHARACTER, DEVICE, DIRECTORY, FIFO, SETUID, SYMLINK
from tests.gateway.buildkit.joined import joined

SEND = "/moby.filesync.v1.FileSend/DiffCopy"
DIR, FILE = DIRECTORY | 0o755, 0o644
TIME = 1_600_000_000_123_456_789


def send(path: Path, entries: Sequence[Stat], contents: dict[str, bytes] | None = None) -> None:
    """Send a directory as a daemon does; raises the status of the client."""
    with (
        target_of(RemoteOutput("local", str(path))) as target,
        joined(send_handlers([target])) as daemon,
    ):
        call = daemon.call(SEND)
        for entry in entries:
            call.send(Packet(stat=entry))
        call.send(Packet())
        for packet in call.messages(Packet):
            if packet.type is PacketType.FIN:
                call.send(Packet(type=PacketType.FIN))
                continue
            name = entries[packet.id].path
            call.send(Packet(type=PacketType.DATA, id=packet.id, data=(contents or {})[name]))
            call.send(Packet(type=PacketType.DATA, id=packet.id))


def test_a_directory_has_modes_times_and_links(tmp_path: Path) -> None:
    entries = [
        Stat(path="a", mode=DIRECTORY | 0o500, mod_time=TIME),
        Stat(path="a/file", mode=SETUID | 0o750, size=4, mod_time=TIME),
        Stat(path="a-b", mode=SYMLINK | 0o777, linkname="/outside", mod_time=TIME),
        Stat(path="hard", mode=0o750, linkname="a/file"),
        Stat(path="pipe", mode=FIFO | 0o600, mod_time=TIME),
    ]
    out = tmp_path / "out"
    send(out, entries, {"a/file": b"text"})
    assert sorted(each.relative_to(out).as_posix() for each in out.rglob("*")) == [
        "a", "a-b", "a/file", "hard", "pipe"
    ]  # fmt: skip
    assert (out / "hard").read_bytes() == b"text"
    assert (out / "hard").stat().st_ino == (out / "a/file").stat().st_ino
    assert (out / "a-b").readlink() == Path("/outside")
    assert (out / "a").stat().st_mode & 0o7777 == 0o500
    assert (out / "a/file").stat().st_mode & 0o7777 == 0o4750
    for name in ("a", "a/file", "a-b", "pipe"):
        assert (out / name).lstat().st_mtime_ns == TIME
    assert [each.name for each in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    "entries",
    [
        [Stat(path="../up", mode=FILE)],
        [Stat(path="/abs", mode=FILE)],
        [Stat(path="a/../b", mode=FILE)],
        [Stat(path="", mode=FILE)],
        [Stat(path="a/", mode=DIR)],
        [Stat(path="a\0b", mode=FILE)],
        [Stat(path="a/b", mode=FILE)],  # no parent
        [Stat(path="b", mode=FILE), Stat(path="a", mode=FILE)],
        [Stat(path="a", mode=DIR), Stat(path="a", mode=DIR)],
        [Stat(path="a", mode=SYMLINK, linkname="/tmp"), Stat(path="a/b", mode=FILE)],
        [Stat(path="a", mode=FILE), Stat(path="a/b", mode=FILE)],
        [Stat(path="a", mode=FILE, linkname="/etc/passwd")],
        [Stat(path="a", mode=FILE, linkname="../../etc/passwd")],
        [Stat(path="a", mode=SYMLINK, linkname="/etc"), Stat(path="b", linkname="a")],
        [Stat(path="a", mode=1 << 24)],  # a socket
    ],
    ids=lambda entries: "-".join(repr(entry.path) for entry in entries),
)
def test_paths_that_could_lead_out_are_refused(tmp_path: Path, entries: list[Stat]) -> None:
    with pytest.raises((StatusError, TransportError)):
        send(tmp_path / "out", entries, {"a": b"", "b": b""})
    assert not list(tmp_path.iterdir())


def test_data_that_nobody_asked_for_is_refused(tmp_path: Path) -> None:
    output = RemoteOutput("local", str(tmp_path / "out"))
    with ExitStack() as stack:
        target = stack.enter_context(target_of(output))
        call = stack.enter_context(joined(send_handlers([target]))).call(SEND)
        call.send(Packet(stat=Stat(path="a", mode=DIR)))
        call.send(Packet(type=PacketType.DATA, id=0, data=b"x"))
        with pytest.raises(StatusError, match="nobody asked for"):
            call.receive(Packet)
        with pytest.raises(TransportError, match="sent no output"):
            stack.close()
    assert not list(tmp_path.iterdir())


def test_a_file_appears_with_the_end_of_the_build(tmp_path: Path) -> None:
    path = tmp_path / "out.tar"
    path.write_text("old")
    with (
        target_of(RemoteOutput("tar", str(path))) as target,
        joined(send_handlers([None, target])) as daemon,
    ):
        call = daemon.call(SEND, [("buildkit-attachable-exporter-id", "1")])
        for _ in range(100):
            call.send(BytesMessage(data=bytes(100_000)))
        call.close_sending()
        assert call.receive(BytesMessage) is None
        assert path.read_text() == "old"
        with pytest.raises(StatusError, match="twice"):
            daemon.call(SEND, [("buildkit-attachable-exporter-id", "1")]).receive(BytesMessage)
        for number in ("0", "2", "-1", "x"):
            metadata = [("buildkit-attachable-exporter-id", number)]
            with pytest.raises(StatusError, match="no output has the number"):
                daemon.call(SEND, metadata).receive(BytesMessage)
    assert path.stat().st_size == 10_000_000


def test_an_output_that_never_came_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "out.tar"
    output = RemoteOutput("tar", str(path))
    with pytest.raises(TransportError, match="the daemon sent no output"), target_of(output):
        pass
    assert not list(tmp_path.iterdir())


def test_an_occupied_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    output = RemoteOutput("local", str(tmp_path))
    with pytest.raises(RefusedError, match="not an empty directory"), target_of(output):
        pass


def test_a_device_needs_root(tmp_path: Path) -> None:
    entry = Stat(path="null", mode=DEVICE | CHARACTER | 0o666, devmajor=1, devminor=3)
    if os.geteuid() == 0:
        send(tmp_path / "out", [entry])
        assert (tmp_path / "out/null").stat().st_rdev == os.makedev(1, 3)
        return
    with pytest.raises(StatusError, match="not permitted"):
        send(tmp_path / "out", [entry])
