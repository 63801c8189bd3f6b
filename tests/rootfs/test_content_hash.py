"""Digests of the content of paths, compared with those that BuildKit computed."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tarkit.errors import MalformedError, PathNotFoundError
from tarkit.rootfs.content_hash import KnownDigests, TreeDigests
from tarkit.rootfs.content_query import ContentQuery, content_digest
from tarkit.rootfs.filesystem import FileSystem
from tarkit.rootfs.merge import Merger
from tests.rootfs.chains import files_of
from tests.rootfs.layers import Item, file, members

GOLDEN = Path(__file__).parent.parent.parent / "fixtures" / "golden" / "contenthash.jsonl"
CASES = [json.loads(line) for line in GOLDEN.read_text("utf-8").splitlines()]
KINDS = {
    "file": tarfile.REGTYPE,
    "dir": tarfile.DIRTYPE,
    "symlink": tarfile.SYMTYPE,
    "hardlink": tarfile.LNKTYPE,
    "fifo": tarfile.FIFOTYPE,
    "char": tarfile.CHRTYPE,
}


def tree_of(entries: list[dict[str, Any]]) -> FileSystem:
    """Return the root filesystem of a golden case."""
    items = [Item("./", tarfile.DIRTYPE, mode=0o755)]
    for each in entries:
        default = 0o755 if each["type"] == "dir" else 0o644
        items.append(
            Item(
                each["path"],
                KINDS[each["type"]],
                each.get("data", "").encode(),
                each.get("link", ""),
                each.get("mode") or default,
                each.get("uid", 0),
                each.get("gid", 0),
                device=(each.get("major", 0), each.get("minor", 0)),
                pax={f"SCHILY.xattr.{k}": v for k, v in each.get("xattrs", {}).items()},
            )
        )
    return files_of(items)


def check_query(digests: TreeDigests, query: dict[str, Any]) -> None:
    """Raise AssertionError unless *query*, of a golden case, gives the expected digest or error."""
    asked = ContentQuery(
        query["path"],
        query.get("follow_links", False),
        query.get("wildcard", False),
        query.get("include", ()),
        query.get("exclude", ()),
        query.get("required", ()),
    )
    try:
        found = str(content_digest(digests, asked))
    except PathNotFoundError as error:
        found = f'"{error.where}": not found'
    except MalformedError as error:
        found = str(error)
        assert "syntax error in pattern" in query.get("error", ""), query
        return
    assert found == query.get("digest", query.get("error")), query


def check_case(case: dict[str, Any]) -> None:
    """Raise AssertionError unless all queries of the golden *case* give what BuildKit gave."""
    digests = TreeDigests(tree_of(case["tree"]))
    for query in case["queries"]:
        check_query(digests, query)


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["name"]))
def test_all_digests_are_those_of_buildkit(case: dict[str, Any]) -> None:
    check_case(case)


def test_the_digests_of_unchanged_directories_are_kept() -> None:
    case = next(case for case in CASES if case["name"] == "basic")
    files = tree_of(case["tree"])
    known = KnownDigests()
    before = TreeDigests(files, known)
    expected = content_digest(before, ContentQuery("/"))
    count = len(known.directories)

    Merger(tree=files.tree).add(5, members(file("d0/ghi/x", "", 0o600)))
    after = TreeDigests(files, known)
    assert content_digest(after, ContentQuery("/")) != expected
    assert content_digest(before, ContentQuery("/")) == expected
    assert len(known.directories) == count + 3  # the root, d0 and d0/ghi were copied
    fresh = content_digest(TreeDigests(files), ContentQuery("/"))
    assert content_digest(after, ContentQuery("/")) == fresh


def test_files_are_read_once_and_only_if_selected() -> None:
    opened = []
    files = tree_of([{"path": name, "type": "file", "data": name} for name in ("a", "b")])
    original = files.contents.open
    files.contents.open = lambda node: (opened.append(node.row), original(node))[1]  # type: ignore[assignment,func-returns-value]
    digests = TreeDigests(files)
    content_digest(digests, ContentQuery("", include=("a",)))
    assert len(opened) == 1
    content_digest(digests, ContentQuery("/"))
    content_digest(digests, ContentQuery("/"))
    assert len(opened) == 2


@pytest.mark.parametrize("pattern", ["[", "[a-", "[]", "a\\", "[b-a]"])
@pytest.mark.parametrize("kind", ["include", "exclude"])
def test_an_invalid_pattern_is_an_error(pattern: str, kind: str) -> None:
    query = ContentQuery("", **{kind: (pattern,)})  # type: ignore[arg-type]
    with pytest.raises(MalformedError, match="syntax error"):
        content_digest(TreeDigests(files_of([])), query)


def test_a_tree_may_be_deep() -> None:
    files = files_of([Item("d/" * 3000 + "f", data=b"x")])
    assert content_digest(TreeDigests(files), ContentQuery("/"))
