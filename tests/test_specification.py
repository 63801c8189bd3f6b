"""docs/specification.md holds: what it names is there, and so is the test that shows it."""

from __future__ import annotations

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "specification.md"
NAME = re.compile(r"`(tarkit(?:\.\w+)+)`")
TEST = re.compile(r"`(tests/[\w/.]+\.py)::(\w+)`")
COMMAND = re.compile(r"`tarkit (\w+)")

CACHE = [
    "Accessor",
    "BaseLayer",
    "CachePolicyDefault",
    "CachePolicyRetain",
    "ClearValueAndIndex",
    "Clone",
    "Commit",
    "Controller",
    "DescHandler",
    "DescHandlerKey",
    "DescHandlers",
    "Diff",
    "DiskUsage",
    "ErrLocked",
    "ErrNoBlobs",
    "ExternalRefChecker",
    "ExternalRefCheckerFunc",
    "Extract",
    "FileList",
    "Finalize",
    "Get",
    "GetByBlob",
    "GetCreatedAt",
    "GetDescription",
    "GetEqualMutable",
    "GetExternal",
    "GetLayerType",
    "GetMutable",
    "GetRecordType",
    "GetRemotes",
    "GetString",
    "HasCachePolicyDefault",
    "HasCachePolicyRetain",
    "ID",
    "IdentityMapping",
    "ImmutableRef",
    "IsNotFound",
    "Layer",
    "LayerChain",
    "Manager",
    "ManagerOpt",
    "ManagerOpt.Applier",
    "ManagerOpt.ContentStore",
    "ManagerOpt.Differ",
    "ManagerOpt.GarbageCollect",
    "ManagerOpt.LeaseManager",
    "ManagerOpt.MetadataStore",
    "ManagerOpt.MountPoolRoot",
    "ManagerOpt.PruneRefChecker",
    "ManagerOpt.Root",
    "ManagerOpt.Snapshotter",
    "Merge",
    "MetadataStore",
    "MigrateV2",
    "Mountable",
    "MutableRef",
    "NeedsRemoteProviderError",
    "New",
    "NewManager",
    "NoUpdateLastUsed",
    "Prune",
    "Ref",
    "Ref.DescHandler",
    "Ref.Release",
    "RefList",
    "RefMetadata",
    "RefOption",
    "SetCachePolicyDefault",
    "SetCachePolicyRetain",
    "SetCreatedAt",
    "SetDescription",
    "SetExternal",
    "SetLayerType",
    "SetRecordType",
    "SetString",
    "Unlazier",
    "Unlazy",
    "WithCreationTime",
    "WithDescription",
    "WithImageRef",
    "WithRecordType",
    "progress.Controller",
    "session.Group",
]


def rows() -> list[str]:
    """The lines of all tables that name something of a specification and are no heading."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.startswith("| `")]


def test_there_is_a_row_for_what_is_specified() -> None:
    assert len(rows()) > 20


def test_every_name_of_the_cache_manager_has_a_row() -> None:
    """The names in the documentation of BuildKit's package ``cache``."""
    section = PAGE.read_text(encoding="utf-8").partition("## BuildKit: the cache manager")[2]
    listed = [
        name
        for row in section.splitlines()
        if row.startswith("| `")
        for name in re.findall(r"`([\w.]+)`", row.split("|")[1])
    ]
    assert sorted(listed) == sorted(CACHE)


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.split("`")[1])
def test_a_row_names_what_is_there_and_a_test_that_is_there(row: str) -> None:
    assert NAME.search(row) or COMMAND.search(row), "no name of tarkit's"
    assert TEST.search(row), "no test"
    for name in NAME.findall(row):
        assert resolve(name) is not None
    for file, test in TEST.findall(row):
        assert test in functions(ROOT / file), f"{file} has no {test}"


def resolve(name: str) -> object:
    """What a dotted name stands for: a module, or an attribute of what is before the last dot."""
    parent, _, last = name.rpartition(".")
    try:
        return import_module(name)
    except ModuleNotFoundError:
        holder = resolve(parent)
        classes = holder.__mro__ if isinstance(holder, type) else ()
        declared = {field for kind in classes for field in vars(kind).get("__annotations__", ())}
        return last if last in declared else getattr(holder, last)


def functions(file: Path) -> set[str]:
    """The names of the functions in *file*."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
