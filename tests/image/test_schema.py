"""Real documents pass the schemas; a document with one violation gets one problem."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

import tarkit
from tarkit.image.schema import MAX_PROBLEMS, SchemaName, SchemaProblem, problems

SCHEMAS = Path(__file__).parents[2] / "schemas"
DIGEST = "sha256:" + "a" * 64
LAYER = {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": DIGEST, "size": 0}
CONFIG = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": DIGEST, "size": 2}
DOCKER = "application/vnd.docker.distribution.manifest."
PLATFORM = {"architecture": "arm64", "os": "linux", "variant": "v8", "os.features": ["x"]}

VALID: dict[SchemaName, Any] = {
    "oci-layout": {"imageLayoutVersion": "1.0.0"},
    "index": {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{**LAYER, "platform": PLATFORM, "annotations": {"a": "b"}, "data": "YWI="}],
    },
    "manifest": {"schemaVersion": 2, "config": CONFIG, "layers": [LAYER], "subject": CONFIG},
    "docker-manifest": {
        "schemaVersion": 2,
        "mediaType": DOCKER + "v2+json",
        "config": CONFIG,
        "layers": [{**LAYER, "urls": ["https://example.org/layer"]}],
    },
    "docker-manifest-list": {
        "schemaVersion": 2,
        "mediaType": DOCKER + "list.v2+json",
        "manifests": [{**LAYER, "platform": PLATFORM}],
    },
    "config": {
        "created": "2026-01-02T03:04:05.678Z",
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "Env": ["A=1"],
            "ExposedPorts": {"80/tcp": {}},
            "Labels": {"a": "b"},
            "Healthcheck": {"Test": ["NONE"], "Interval": 1},
        },
        "rootfs": {"type": "layers", "diff_ids": [DIGEST]},
        "history": [{"created": "0001-01-01T00:00:00Z", "empty_layer": True}, {}],
    },
    "docker-archive-manifest": [
        {"Config": "c.json", "RepoTags": ["a:1"], "Layers": ["a/layer.tar"], "LayerSources": {}}
    ],
}

REMOVED = object()

BROKEN: list[tuple[SchemaName, tuple[str | int, ...], object, str]] = [
    ("oci-layout", ("imageLayoutVersion",), REMOVED, ""),
    ("oci-layout", ("imageLayoutVersion",), "2.0.0", "imageLayoutVersion"),
    ("oci-layout", ("imageLayoutVersion",), 1, "imageLayoutVersion"),
    ("index", ("schemaVersion",), REMOVED, ""),
    ("index", ("schemaVersion",), 1, "schemaVersion"),
    ("index", ("schemaVersion",), True, "schemaVersion"),
    ("index", ("mediaType",), "application/vnd.oci.image.manifest.v1+json", "mediaType"),
    ("index", ("manifests",), REMOVED, ""),
    ("index", ("manifests",), {}, "manifests"),
    ("index", ("manifests", 0), "x", "manifests[0]"),
    ("index", ("manifests", 0, "mediaType"), REMOVED, "manifests[0]"),
    ("index", ("manifests", 0, "digest"), REMOVED, "manifests[0]"),
    ("index", ("manifests", 0, "size"), REMOVED, "manifests[0]"),
    ("index", ("manifests", 0, "mediaType"), "json", "manifests[0].mediaType"),
    ("index", ("manifests", 0, "mediaType"), "a/b; charset=utf-8", "manifests[0].mediaType"),
    ("index", ("manifests", 0, "digest"), "sha256:../../x", "manifests[0].digest"),
    ("index", ("manifests", 0, "digest"), "sha256:" + "A" * 64, "manifests[0].digest"),
    ("index", ("manifests", 0, "digest"), DIGEST + "a", "manifests[0].digest"),
    ("index", ("manifests", 0, "digest"), DIGEST + "\n", "manifests[0].digest"),
    ("index", ("manifests", 0, "digest"), "sha512:" + "a" * 64, "manifests[0].digest"),
    ("index", ("manifests", 0, "digest"), "a" * 64, "manifests[0].digest"),
    ("index", ("manifests", 0, "digest"), "SHA256:" + "a" * 64, "manifests[0].digest"),
    ("index", ("manifests", 0, "size"), -1, "manifests[0].size"),
    ("index", ("manifests", 0, "size"), 2**63, "manifests[0].size"),
    ("index", ("manifests", 0, "size"), 1.5, "manifests[0].size"),
    ("index", ("manifests", 0, "size"), "1", "manifests[0].size"),
    ("index", ("manifests", 0, "size"), True, "manifests[0].size"),
    ("index", ("manifests", 0, "data"), "not base64", "manifests[0].data"),
    ("index", ("manifests", 0, "urls"), "https://example.org", "manifests[0].urls"),
    ("index", ("manifests", 0, "annotations", "a"), 1, "manifests[0].annotations.a"),
    ("index", ("manifests", 0, "annotations", "a.b"), 1, 'manifests[0].annotations["a.b"]'),
    ("index", ("manifests", 0, "artifactType"), "", "manifests[0].artifactType"),
    ("index", ("manifests", 0, "platform", "os"), REMOVED, "manifests[0].platform"),
    ("index", ("manifests", 0, "platform", "architecture"), REMOVED, "manifests[0].platform"),
    ("index", ("manifests", 0, "platform", "variant"), 8, "manifests[0].platform.variant"),
    ("index", ("layers",), [], "layers"),
    ("index", ("config",), CONFIG, "config"),
    ("manifest", ("schemaVersion",), REMOVED, ""),
    ("manifest", ("mediaType",), DOCKER + "v2+json", "mediaType"),
    ("manifest", ("config",), REMOVED, ""),
    ("manifest", ("config",), None, "config"),
    ("manifest", ("config", "mediaType"), "application/vnd.oci.empty.v1+json", ""),
    ("manifest", ("layers",), REMOVED, ""),
    ("manifest", ("layers",), {}, "layers"),
    ("manifest", ("layers", 0, "size"), None, "layers[0].size"),
    ("manifest", ("manifests",), [], "manifests"),
    ("manifest", ("fsLayers",), [], "fsLayers"),
    ("manifest", ("subject",), "x", "subject"),
    ("docker-manifest", ("mediaType",), REMOVED, ""),
    ("docker-manifest", ("mediaType",), DOCKER + "list.v2+json", "mediaType"),
    ("docker-manifest", ("config",), REMOVED, ""),
    ("docker-manifest", ("layers",), REMOVED, ""),
    ("docker-manifest", ("manifests",), [], "manifests"),
    ("docker-manifest-list", ("mediaType",), DOCKER + "v2+json", "mediaType"),
    ("docker-manifest-list", ("manifests", 0, "platform"), REMOVED, "manifests[0]"),
    ("docker-manifest-list", ("layers",), [], "layers"),
    ("config", ("architecture",), REMOVED, ""),
    ("config", ("os",), REMOVED, ""),
    ("config", ("rootfs",), REMOVED, ""),
    ("config", ("rootfs", "type"), "tree", "rootfs.type"),
    ("config", ("rootfs", "diff_ids"), REMOVED, "rootfs"),
    ("config", ("rootfs", "diff_ids", 0), "x", "rootfs.diff_ids[0]"),
    ("config", ("created",), "yesterday", "created"),
    ("config", ("config",), [], "config"),
    ("config", ("config", "Env"), ["A=1", 2], "config.Env[1]"),
    ("config", ("config", "Labels"), ["a"], "config.Labels"),
    ("config", ("config", "ExposedPorts"), ["80/tcp"], "config.ExposedPorts"),
    ("config", ("config", "Healthcheck", "Interval"), "1s", "config.Healthcheck.Interval"),
    ("config", ("history",), {}, "history"),
    ("config", ("history", 0, "empty_layer"), "yes", "history[0].empty_layer"),
    ("docker-archive-manifest", (0,), "x", "[0]"),
    ("docker-archive-manifest", (0, "Config"), REMOVED, "[0]"),
    ("docker-archive-manifest", (0, "Config"), "", "[0].Config"),
    ("docker-archive-manifest", (0, "Layers"), REMOVED, "[0]"),
    ("docker-archive-manifest", (0, "Layers"), "x", "[0].Layers"),
    ("docker-archive-manifest", (0, "Layers", 0), 7, "[0].Layers[0]"),
    ("docker-archive-manifest", (0, "RepoTags"), "a:1", "[0].RepoTags"),
    ("docker-archive-manifest", (0, "LayerSources"), {"x": LAYER}, "[0].LayerSources"),
    (
        "docker-archive-manifest",
        (0, "LayerSources"),
        {DIGEST: {**LAYER, "size": -1}},
        f'[0].LayerSources["{DIGEST[:59]}…"].size',
    ),
]

NULLABLE: list[tuple[SchemaName, tuple[str | int, ...]]] = [
    ("index", ("manifests",)),
    ("index", ("layers",)),
    ("manifest", ("layers",)),
    ("manifest", ("manifests",)),
    ("docker-manifest", ("layers",)),
    ("docker-manifest", ("layers", 0, "urls")),
    ("config", ("config",)),
    ("config", ("config", "Env")),
    ("config", ("config", "Labels")),
    ("config", ("config", "ExposedPorts")),
    ("config", ("config", "Healthcheck")),
    ("config", ("history",)),
    ("config", ("rootfs", "diff_ids")),
    ("docker-archive-manifest", (0, "RepoTags")),
    ("docker-archive-manifest", (0, "Layers")),
    ("docker-archive-manifest", (0, "LayerSources")),
]


def changed(schema: SchemaName, path: tuple[str | int, ...], value: object) -> Any:
    document = copy.deepcopy(VALID[schema])
    *parents, last = path
    node = document
    for step in parents:
        node = node[step]
    if value is REMOVED:
        del node[last]
    else:
        node[last] = value
    return document


def documents(corpus: Path) -> Iterator[tuple[str, bytes]]:
    """Yield every small file of the corpus and every small member of its archives, by name."""
    for path in sorted(corpus.rglob("*")):
        if path.suffix == ".tar":
            with tarfile.open(path) as archive:
                for member in archive:
                    content = archive.extractfile(member) if member.isreg() else None
                    if content and member.size < 1 << 20:
                        yield f"{path.name}/{member.name}", content.read()
        elif path.is_file():
            yield str(path.relative_to(corpus)), path.read_bytes()


def kind(document: Any) -> SchemaName | None:
    """Return the schema for a corpus document, guessed from its fields."""
    match document:
        case [{"Config": str()}, *_]:
            return "docker-archive-manifest"
        case {"imageLayoutVersion": _}:
            return "oci-layout"
        case {"mediaType": str(media_type), "layers": _}:
            return "docker-manifest" if media_type.startswith(DOCKER) else "manifest"
        case {"mediaType": str(media_type), "manifests": _}:
            return "docker-manifest-list" if media_type.startswith(DOCKER) else "index"
        case {"rootfs": _, "history": _}:
            return "config"
    return None


def test_every_document_of_the_corpus_is_valid(corpus: Path) -> None:
    seen: dict[SchemaName, int] = {}
    for where, content in documents(corpus):
        if not content.startswith((b"{", b"[")) or where.endswith(".jsonl"):
            continue
        document = json.loads(content)
        if schema := kind(document):
            assert problems(document, schema) == [], where
            seen[schema] = seen.get(schema, 0) + 1
    assert {name for name, count in seen.items() if count > 2} >= {
        "config",
        "docker-archive-manifest",
        "index",
        "manifest",
        "oci-layout",
    }
    assert seen["docker-manifest"]


@pytest.mark.parametrize("schema", get_args(SchemaName))
def test_the_examples_are_valid(schema: SchemaName) -> None:
    assert problems(VALID[schema], schema) == []


@pytest.mark.parametrize(("schema", "path", "value", "where"), BROKEN)
def test_a_violation_is_one_problem_with_its_path(
    schema: SchemaName, path: tuple[str | int, ...], value: object, where: str
) -> None:
    found = problems(changed(schema, path, value), schema)
    assert [problem.path for problem in found] == [where]


@pytest.mark.parametrize(("schema", "path"), NULLABLE)
def test_null_is_an_empty_list_or_map(schema: SchemaName, path: tuple[str | int, ...]) -> None:
    assert problems(changed(schema, path, None), schema) == []


@pytest.mark.parametrize("schema", get_args(SchemaName))
def test_unknown_fields_are_allowed(schema: SchemaName) -> None:
    document = copy.deepcopy(VALID[schema])
    target = document[0] if isinstance(document, list) else document
    target["org.example.extension"] = [{"any": "thing"}]
    assert problems(document, schema) == []


@pytest.mark.parametrize("schema", get_args(SchemaName))
@pytest.mark.parametrize("document", [None, True, 7, 1.5, "text", [[]], {"": 0}])
def test_other_documents_have_problems(schema: SchemaName, document: object) -> None:
    assert problems(document, schema)


@pytest.mark.parametrize(
    "digest",
    [DIGEST, "sha512:" + "0" * 128, "sha384+b64u:Ab_-=", "multihash+base58:QmRZxt2b", "x.y_z-1:a"],
)
def test_any_digest_algorithm_is_accepted(digest: str) -> None:
    assert problems(changed("index", ("manifests", 0, "digest"), digest), "index") == []


def test_an_empty_config_type_needs_an_artifact_type() -> None:
    document = changed("manifest", ("config", "mediaType"), "application/vnd.oci.empty.v1+json")
    document["artifactType"] = "application/vnd.example"
    assert problems(document, "manifest") == []


@pytest.mark.parametrize("history", [[], [{"empty_layer": True}], None])
def test_docker_may_omit_diff_ids_without_layers(history: object) -> None:
    document = changed("config", ("rootfs", "diff_ids"), REMOVED)
    document["history"] = history
    found = problems(document, "config")
    assert (found == []) is (history is not None)


def test_messages_name_expected_and_actual_values() -> None:
    broken = changed("manifest", ("layers", 0), {"digest": "sha256:x", "size": -1})
    assert problems(broken, "manifest") == [
        SchemaProblem("layers[0]", "'mediaType' is a required property"),
        SchemaProblem("layers[0].digest", 'expected a digest, algorithm:encoded, got "sha256:x"'),
        SchemaProblem("layers[0].size", "expected a size in bytes, 0 to 2^63-1, got -1"),
    ]


@pytest.mark.parametrize(
    "value", ["x" * 100_000, "a\nb\x1b[31m\ud800", 10**4_000, [["x"] * 10_000], {"k" * 9_000: 1}]
)
def test_problems_are_one_short_line_for_any_value(value: object) -> None:
    found = problems(
        {"schemaVersion": value, "annotations": {str(value)[:99]: [value]}}, "manifest"
    )
    lines = [str(problem) for problem in found]
    assert len(lines) >= 4
    assert all(len(line) < 250 and line.isprintable() for line in lines)


def test_the_number_of_problems_is_limited() -> None:
    assert len(problems(changed("manifest", ("layers",), [0] * 10_000), "manifest")) == MAX_PROBLEMS


def test_schemas_are_valid_and_refer_only_to_each_other() -> None:
    from jsonschema import Draft202012Validator

    names = {path.stem for path in SCHEMAS.glob("*.json")}
    assert names == {*get_args(SchemaName), "defs", "event"}
    for name in names:
        text = (SCHEMAS / f"{name}.json").read_text("utf-8")
        schema = json.loads(text)
        Draft202012Validator.check_schema(schema)
        assert schema["$id"] == f"https://tarkit.invalid/schemas/{name}.json"
        assert schema["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
        targets = text.split('"$ref": "')[1:]
        assert all(target.startswith(("#/$defs/", "defs.json#/$defs/")) for target in targets)


def test_an_installed_package_contains_the_schemas(tmp_path: Path) -> None:
    package = tmp_path / "tarkit"
    shutil.copytree(Path(tarkit.__file__).parent, package)
    shutil.copytree(SCHEMAS, package / "schemas")
    code = "from tarkit.image.schema import problems; print(len(problems({}, 'index')))"
    run = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {code}"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
    )
    assert run.stdout == "2\n"
