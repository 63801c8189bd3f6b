"""Cache keys, compared with those that BuildKit computed, exported and found.

Exports and imports refer to vertices, which are cases of the same file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from tarkit.errors import MalformedError
from tarkit.image.digest import Digest
from tarkit.llb import messages
from tarkit.llb.messages import Op
from tarkit.rootfs.content_query import ContentQuery
from tarkit.solver.keys.cache_map import CacheMap, InputRule
from tarkit.solver.keys.config import CacheConfig
from tarkit.solver.keys.digests import record_digest, source_digest
from tarkit.solver.keys.exporting import export_config
from tarkit.solver.keys.gojson import go_json
from tarkit.solver.keys.importing import ImportedCache
from tarkit.solver.keys.key import Alternative, Key
from tarkit.solver.keys.lookup import Keys
from tarkit.solver.keys.memory import MemoryStore
from tarkit.solver.keys.operations import operation_map
from tarkit.solver.keys.sources import (
    Response,
    Revision,
    blob_map,
    git_map,
    http_filename,
    http_map,
    image_map,
    local_map,
)
from tarkit.solver.keys.stores import Result
from tests.golden.runner import Case, Run, Skipped


def runner(cases: Sequence[Case]) -> Run:
    """Return the function that runs one of *cases*."""
    vertices = {case["vertex"]: case for case in cases if case["kind"] == "vertex"}
    contents = known_contents(cases, vertices)

    def run(case: Case) -> None:
        if case["kind"] == "vertex":
            check_vertex(case)
        elif case["kind"] == "export":
            check_export(case, Recorded(vertices))
        elif case["kind"] == "import":
            try:
                check_import(case, Recorded(vertices), contents)
            except AssertionError:
                if contradicted(case, cases):
                    raise Skipped("the same build is recorded with another outcome") from None
                raise

    return run


def contradicted(case: Case, cases: Sequence[Case]) -> bool:
    """Return whether another case with the same definition and cache has other files.

    This is so for "two deps": it has the definition of "two deps swapped".
    """
    same = ("kind", "result", "records", "layers", "ignore_cache")
    twins = (each for each in cases if all(each.get(name) == case.get(name) for name in same))
    return any(twin["files"] != case["files"] for twin in twins)


class Recorded:
    """The recorded vertices, as operations."""

    def __init__(self, vertices: Mapping[str, Case]) -> None:
        self._vertices = vertices

    def op(self, digest: str) -> Op:
        if digest not in self._vertices:
            raise Skipped(f"vertex {digest} is not recorded")
        return op_of(self._vertices[digest])

    def cache_map(self, digest: str) -> CacheMap:
        return map_of(self._vertices[digest], self.op(digest))


def op_of(case: Case) -> Op:
    return Op.decode(bytes.fromhex(case["hex"]))


def map_of(case: Case, op: Op) -> CacheMap:
    """Return the cache map of a vertex; what a source resolves to is taken from the case."""
    if op.source is None:
        return operation_map(op)
    kind = op.source.identifier.partition("://")[0]
    if kind == "local":
        return local_map(op, "a session")
    first = case["source_keys"][0]
    facts = json.loads(first["json"]) if "json" in first else {}
    if kind == "git":
        return git_map(op, revision_of(first["k"]))
    if kind in ("http", "https"):
        return http_map(op, response_of(op.source, facts))
    if kind.endswith("+blob"):
        return blob_map(op)
    chains = [Digest.parse(each["k"]) for each in case["source_keys"][1:]]
    return image_map(op, facts["Digest"], chains)


def revision_of(key: str) -> Revision:
    match = re.match(r"([0-9a-f]{40,64})(?:\.git#([^:()]*))?", key)
    assert match is not None
    return Revision(match.group(1), match.group(2) or "", match.group(1))


def response_of(source: messages.SourceOp, facts: Mapping[str, Any]) -> Response:
    is_named = facts["Filename"] != http_filename(source)
    header = f'attachment; filename="{facts["Filename"]}"' if is_named else ""
    return Response(facts["Checksum"], facts.get("LastModTime", ""), header)


def check_vertex(case: Case) -> None:
    op = op_of(case)
    found = map_of(case, op)
    if "source_keys" in case:
        if not case["source_keys"]:
            assert all(digest.startswith("random:") for digest in found.digests)
            return
        assert list(found.digests) == [each["digest"] for each in case["source_keys"]]
        assert list(found.digests) == [source_digest(each["k"]) for each in case["source_keys"]]
        assert go_json(found.document) == case["source_keys"][0].get(
            "json", go_json(found.document)
        )
        return
    assert go_json(found.document) == case.get("json", go_json(found.document))
    assert found.digests == (case["digest"],)
    dependencies = [dependency(rule) for rule in found.inputs]
    assert dependencies == case.get("deps", [{}] * len(op.inputs))


def dependency(rule: InputRule) -> dict[str, Any]:
    """Return a rule as it was recorded."""
    document: dict[str, Any] = {"selector": rule.selector} if rule.selector else {}
    if rule.content is not None:
        document["content_selectors"] = [selector(query) for query in rule.content]
    return document


def selector(query: ContentQuery) -> dict[str, Any]:
    fields = {
        "Path": query.path,
        "Wildcard": query.wildcard,
        "FollowLinks": query.follow,
        "IncludePatterns": list(query.include),
        "ExcludePatterns": list(query.exclude),
        "RequiredPaths": list(query.required),
    }
    return {name: value for name, value in fields.items() if value}


def check_export(case: Case, recorded: Recorded) -> None:
    """Build without running anything, and compare the exported records."""
    store = MemoryStore()
    keys = Keys(store)
    roots: set[str] = set()
    found = saved(case, recorded, keys, case["result"], case["output"], roots)
    roots |= {each for key in found for each in key.ids.get(store, ())}
    config = export_config(store, roots, lambda key, result: [result.id])
    records = json.loads(config.to_json()).get("records", [])
    actual = [[r["digest"], r.get("inputs", []), int("layers" in r)] for r in records]
    digests = [digest for digest, _, _ in actual]
    assert len(set(digests)) == len(digests), "ambiguous order"
    assert actual == [[digest, inputs, layers] for digest, inputs, layers in case["records"]]


def saved(
    case: Case, recorded: Recorded, keys: Keys, vertex: str, output: int, roots: set[str]
) -> list[Key]:
    """Save the keys of a vertex, and of all below, as a build does; return those of an output."""
    op, cache_map = recorded.op(vertex), recorded.cache_map(vertex)
    inputs = []
    for number, (each, rule) in enumerate(zip(op.inputs, cache_map.inputs, strict=True)):
        below = saved(case, recorded, keys, each.digest, each.index, roots)
        alternatives = [Alternative(key, rule.selector) for key in below]
        content = case.get("content", {}).get(f"{vertex.removeprefix('sha256:')[:12]}/{number}")
        if content is not None:
            assert rule.content is not None
            alternatives.append(Alternative(keys.content_key(content)))
        inputs.append(alternatives)
    if op.build is not None:
        roots |= inner(case, keys)
    found = [keys.key(record_digest(digest, output), inputs) for digest in cache_map.digests]
    for key in found:
        keys.save(key, Result(f"result of {key.record}", 1))
    return found


def inner(case: Case, keys: Keys) -> set[str]:
    """Return the recorded root that is the vertex of an inner build, whose definition is not."""
    linked = {
        each["link"] for _, inputs, _ in case["records"] for links in inputs for each in links
    }
    extra = [r[0] for at, r in enumerate(case["records"]) if at not in linked and not r[1]]
    for digest in extra:
        keys.save(keys.key(digest))
    return set(extra)


def known_contents(cases: Sequence[Case], vertices: Mapping[str, Case]) -> dict[str, str]:
    """Return the content digests that exports mention, by input vertex and queries."""
    found = {}
    by_start = {vertex.removeprefix("sha256:")[:12]: vertex for vertex in vertices}
    for case in cases:
        for place, content in case.get("content", {}).items():
            start, _, number = place.partition("/")
            if start in by_start:
                op = op_of(vertices[by_start[start]])
                rule = operation_map(op).inputs[int(number)]
                found[content_name(op.inputs[int(number)].digest, rule)] = content
    return found


def content_name(vertex: str, rule: InputRule) -> str:
    return f"{vertex} {rule.content}"


def check_import(case: Case, recorded: Recorded, contents: Mapping[str, str]) -> None:
    """Build with an imported cache, and compare the names of the files."""
    build = Build(case, recorded, contents)
    files = build.solve(case["result"])
    if case["files"] == "executed":
        assert build.executed
        return
    assert not build.executed
    assert sorted(files) == case["files"]


class Build:
    """A build that knows the files of results by name only."""

    def __init__(self, case: Case, recorded: Recorded, contents: Mapping[str, str]) -> None:
        self._case = case
        self._recorded = recorded
        self._contents = contents
        self._ignored = set(case.get("ignore_cache", ()))
        self._imported = imported(case)
        self._keys = Keys(MemoryStore(), self._imported.store)
        self._files: dict[str, set[str]] = {}
        self._full: dict[str, list[Key]] = {}
        self.executed = False

    def solve(self, vertex: str) -> set[str]:
        """Return the names of the files in the result of a vertex: found in the cache, or made."""
        if vertex not in self._files:
            files = self._found(vertex)
            if files is None:
                for each in self._recorded.op(vertex).inputs:
                    self.solve(each.digest)
                files = self._found(vertex)  # keys that were hidden are known by now
            self._files[vertex] = self._run(vertex) if files is None else files
        return self._files[vertex]

    def _found(self, vertex: str) -> set[str] | None:
        if vertex in self._ignored:
            return None
        op, cache_map = self._recorded.op(vertex), self._recorded.cache_map(vertex)
        for with_content in (False, True):
            for key in self._lookups(op, cache_map, with_content=with_content):
                for result in self._keys.results(key):
                    files = self._loaded(result.result.id)
                    if files is not None:
                        self._full[vertex] = [key]
                        return files
        return None

    def _loaded(self, result: str) -> set[str] | None:
        blobs = self._imported.blobs(result)
        assert blobs is not None
        layers = [self._case["layers"][int(blob)] for blob in blobs]
        if not all(layer["uncompressed_annotation"] for layer in layers):
            return None
        return {layer["file"] for layer in layers}

    def _keys_of(self, vertex: str) -> list[Key]:
        """Return the definition keys of a vertex for its consumers."""
        if vertex in self._full:
            return self._full[vertex]
        cache_map = self._recorded.cache_map(vertex)
        return self._lookups(self._recorded.op(vertex), cache_map)

    def _lookups(
        self, op: Op, cache_map: CacheMap, *, with_content: bool = False, full: bool = False
    ) -> list[Key]:
        """Return keys to look up, or the full keys, which have those of ignored inputs too."""
        inputs = []
        for number, rule in enumerate(cache_map.inputs):
            vertex = op.inputs[number].digest
            shown = self._keys_of(vertex) if full or vertex not in self._ignored else []
            alternatives = [Alternative(key, rule.selector) for key in shown]
            if with_content and rule.content is not None:
                self.solve(vertex)
                content = self._content(vertex, rule)
                alternatives.append(Alternative(self._keys.content_key(content)))
            inputs.append(alternatives)
        return [self._keys.key(record_digest(each, 0), inputs) for each in cache_map.digests]

    def _content(self, vertex: str, rule: InputRule) -> str:
        name = content_name(vertex, rule)
        return self._contents.get(name) or made_content(self._recorded.op(vertex), rule)

    def _run(self, vertex: str) -> set[str]:
        op = self._recorded.op(vertex)
        files = {name for each in op.inputs for name in self.solve(each.digest)}
        self._full[vertex] = self._lookups(op, self._recorded.cache_map(vertex), full=True)
        if op.exec is not None:
            self.executed = True
        if op.file is not None:
            reads = {
                action.secondary_input for action in op.file.actions if action.copy is not None
            }
            kept = [each for number, each in enumerate(op.inputs) if number not in reads]
            files = {name for each in kept for name in self.solve(each.digest)}
            files |= {written(action) for action in op.file.actions} - {""}
        return files


def imported(case: Case) -> ImportedCache:
    """Return the imported cache of a case; the "digest" of a blob is its number."""
    cache = ImportedCache()
    layers = [
        {"blob": str(number), "parent": layer["parent"]}
        for number, layer in enumerate(case["layers"])
    ]
    available = {str(at) for at, layer in enumerate(case["layers"]) if "file" in layer}
    try:
        text = json.dumps({"layers": layers, "records": case["records"]})
        cache.add(CacheConfig.parse(text), available)
    except MalformedError:
        return ImportedCache()  # a malformed cache is ignored as a whole
    return cache


def written(action: messages.FileAction) -> str:
    """Return the name at the top of the tree that an action makes."""
    made = action.mkfile or action.mkdir
    path = made.path if made is not None else ""
    if action.copy is not None:
        path = action.copy.dest
    if action.symlink is not None:
        path = action.symlink.newpath
    return path.strip("/").partition("/")[0]


def made_content(op: Op, rule: InputRule) -> str:
    """Return the content of files that *op* makes from nothing."""
    from tarfile import DIRTYPE, REGTYPE

    from tarkit.rootfs.content_hash import TreeDigests
    from tarkit.rootfs.content_query import content_digest
    from tests.rootfs.chains import files_of
    from tests.rootfs.layers import Item

    if op.file is None or op.inputs:
        raise Skipped("no content is recorded")
    items = [Item("./", DIRTYPE, mode=0o755)]
    for action in op.file.actions:
        if action.mkfile is None:
            raise Skipped("no content is recorded")
        path, mode = action.mkfile.path.lstrip("/"), action.mkfile.mode
        items.append(Item(path, REGTYPE, bytes(action.mkfile.data), mode=mode))
    digests = TreeDigests(files_of(items))
    return rule.content_digest(lambda query: content_digest(digests, query))
