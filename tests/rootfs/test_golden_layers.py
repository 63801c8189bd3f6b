"""Merges, differences and layers as BuildKit made them from the same definitions."""

from __future__ import annotations

import io
import json
import lzma
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tarkit.rootfs.chain import ChainLayer, open_chain
from tarkit.rootfs.filesystem import FileSystem
from tarkit.rootfs.layer_writer import write_layer
from tarkit.rootfs.self_contained import is_self_contained
from tarkit.rootfs.writable.filesystem import WritableFileSystem
from tarkit.tar.member import Member, MemberType
from tests.rootfs.chains import plain

GOLDEN = Path(__file__).parent.parent.parent / "fixtures" / "golden" / "files.jsonl.xz"
KINDS = {MemberType.FILE: "file", MemberType.DIRECTORY: "dir", MemberType.SYMLINK: "symlink"}
Chain = list[ChainLayer]


def cases() -> Iterator[Any]:
    """Yield the golden cases that concern merges, differences and layers."""
    with lzma.open(GOLDEN, "rt", encoding="utf-8") as lines:
        for line in lines:
            case = json.loads(line)
            if case["name"].startswith(("fs-merge", "fs-diff", "fs-layers")):
                yield pytest.param(case, id=case["name"])


def check_case(case: dict[str, Any], directory: Path) -> None:
    """Raise AssertionError unless the golden *case* gives the same layers or the same tree."""
    builder = Builder({node["id"]: node for node in case["nodes"]}, directory)
    chain = builder.chain(case["result"])
    if "layers" in case:
        assert [list(map(of_member, layer.listing)) for layer in chain] == [
            list(map(without_data, layer)) for layer in case["layers"]
        ]
        assert all(is_self_contained(layer.listing) for layer in chain)
        return
    files = open_chain(chain)
    found = []
    for entry in files.walk():
        if entry.path != "/":
            fact = dict(of_node(entry.path, files))
            if entry.type is MemberType.FILE:
                fact["data"] = files.read_text(entry.path)
            found.append(fact)
    assert found == [without_now(entry) for entry in case["tree"]]


class Builder:
    """Makes the chains of layers of *nodes*."""

    def __init__(self, nodes: dict[str, Any], directory: Path) -> None:
        self._nodes = nodes
        self._directory = directory
        self._made: dict[str, Chain] = {}

    def chain(self, name: str | None) -> Chain:
        if name is None:
            return []
        if name not in self._made:
            node = self._nodes[name]
            self._made[name] = getattr(self, node["kind"])(node)
        return self._made[name]

    def scratch(self, node: dict[str, Any]) -> Chain:
        return []

    def merge(self, node: dict[str, Any]) -> Chain:
        return [layer for each in node["inputs"] for layer in self.chain(each)]

    def diff(self, node: dict[str, Any]) -> Chain:
        lower, upper = self.chain(node["lower"]), self.chain(node["upper"])
        if upper[:-1] == lower and upper:
            return upper[-1:]
        return [layer_of(open_chain(lower), open_chain(upper))]

    def file(self, node: dict[str, Any]) -> Chain:
        below = self.chain(node["base"])
        base = open_chain(below)
        with WritableFileSystem(base, self._directory / node["id"]) as files:
            for action in node["actions"]:
                act(files, action, self)
            return [*below, layer_of(base, files)]


def act(files: WritableFileSystem, action: dict[str, Any], builder: Builder) -> None:
    time = int(action["created_ns"]) if "created_ns" in action else None
    owner = action.get("owner", {})
    user = (owner.get("uid", 0), owner.get("gid", 0))
    match action["action"]:
        case "mkfile":
            path, data = action["path"], action["data"].encode()
            mode = None if files.exists(path) else int(action["mode"], 8)  # as open(2) does
            files.write(path, data, mode=mode, owner=user, mtime_ns=time)
        case "mkdir" if files.exists(action["path"]):
            files.utime(action["path"], files.now(time))
        case "mkdir":
            files.mkdir(action["path"], mode=int(action["mode"], 8), owner=user, mtime_ns=time)
        case "copy":
            source, name = open_chain(builder.chain(action["from"])), Path(action["src"]).name
            files.copy(source, action["src"], f"{action['dest']}/{name}", owner=user)
        case "rm":
            files.remove(action["path"])
        case _:
            raise NotImplementedError(action)


def layer_of(lower: FileSystem, upper: FileSystem) -> ChainLayer:
    output = io.BytesIO()
    write_layer(lower, upper, output)
    return plain(output.getvalue())


def of_member(member: Member) -> dict[str, Any]:
    fact: dict[str, Any] = {
        "name": member.name.decode().rstrip("/"),
        "type": KINDS[member.type],
        "mode": f"{member.mode:04o}",
        "uid": member.uid,
        "gid": member.gid,
    }
    if member.type is not MemberType.DIRECTORY:
        fact["mtime"] = member.mtime_ns // 10**9
    if member.type is MemberType.FILE:
        fact["size"] = member.size
    return fact


def of_node(path: str, files: FileSystem) -> dict[str, Any]:
    member = files.tree.find(files.tree.parts(path), follow=False).member
    member.name = path[1:].encode()
    return of_member(member)


def without_now(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if value != "now"}


def without_data(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in without_now(entry).items() if key != "data"}


@pytest.mark.parametrize("case", list(cases()))
def test_the_result_is_that_of_buildkit(case: dict[str, Any], tmp_path: Path) -> None:
    check_case(case, tmp_path)
