"""Users by name and number."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tarkit.errors import NotFoundError
from tarkit.executor.container import User
from tarkit.executor.users import find_user
from tarkit.rootfs.chain import open_chain
from tarkit.rootfs.writable.filesystem import WritableFileSystem

PASSWD = b"root:x:0:0::/:\njoe:x:500:501::/:\n# a comment\nbad:x:y:z\n"
GROUP = b"joe:x:501:\nwww:x:33:joe,ann\nwheel:x:10:ann\n"


@pytest.fixture
def files(tmp_path: Path) -> Iterator[WritableFileSystem]:
    with (
        open_chain([], where="empty") as base,
        WritableFileSystem(base, tmp_path / "staged") as opened,
    ):
        yield opened


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", User()),
        (":www", User(0, 33)),
        ("joe", User(500, 501, (33,))),
        ("500", User(500, 501, (33,))),
        ("joe:wheel", User(500, 10)),
        ("joe:7", User(500, 7)),
        ("12", User(12, 0)),
        ("12:34", User(12, 34)),
    ],
)
def test_users_are_names_or_numbers(files: WritableFileSystem, text: str, expected: User) -> None:
    files.mkdir("/etc")
    files.write("/etc/passwd", PASSWD)
    files.write("/etc/group", GROUP)
    assert find_user(text, files) == expected


@pytest.mark.parametrize("text", ["ghost", "bad", "joe:ghosts", "0:x", "²"])
def test_unknown_names_are_errors(files: WritableFileSystem, text: str) -> None:
    files.mkdir("/etc")
    files.write("/etc/passwd", PASSWD)
    with pytest.raises(NotFoundError, match=r"no (user|group) "):
        find_user(text, files)


def test_an_image_without_accounts_has_numbers_only(files: WritableFileSystem) -> None:
    assert find_user("5:6", files) == User(5, 6)
    with pytest.raises(NotFoundError):
        find_user("root", files)
