"""Cache configs: read, imported, exported and written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Set
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tarkit.errors import LimitExceededError, MalformedError
from tarkit.solver.keys.config import CacheConfig
from tarkit.solver.keys.exporting import export_config, inline_config
from tarkit.solver.keys.importing import ImportedCache
from tarkit.solver.keys.memory import MemoryStore
from tarkit.solver.keys.stores import Link, Result, Slot, StoredKey, unite
from tarkit.solver.keys.times import UNKNOWN, format_time, parse_time
from tests.solver.keys.stored import add_result, stored
from tests.solver.keys.test_stores import KEYS, store_all

RECORDED = [
    json.loads(line)
    for line in (Path(__file__).parents[3] / "fixtures" / "golden" / "cacheconfigs.jsonl")
    .read_text("utf-8")
    .splitlines()
]
"""Configs that BuildKit exported, some of them inside images."""


def reexported(config: CacheConfig) -> CacheConfig:
    cache = ImportedCache()
    cache.add(config, {layer.blob for layer in config.layers})
    return export_config(cache.store, tops(cache.store), lambda _, result: cache.blobs(result.id))


def tops(store: MemoryStore) -> list[str]:
    """Return the IDs of keys that nothing consumes."""
    return [key_id for key_id in store if not store.consumers(key_id)]


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: f"{len(str(case))} characters")
def test_recorded_configs_have_the_same_bytes_again(case: dict[str, Any]) -> None:
    if "config" in case:
        config = CacheConfig.parse(case["config"])
        assert config.to_json() == reexported(config).to_json() == case["config"]
        return
    config = CacheConfig.parse_inline(case["inline"], case["blobs"])
    assert config.to_inline_json() == case["inline"]
    assert inline_config(reexported(config), case["blobs"]).to_inline_json() == case["inline"]


A, B = "sha256:aa", "sha256:bb"


def imported(records: list[Any], layers: list[Any] = [{"blob": A, "parent": -1}]) -> ImportedCache:  # noqa: B006
    cache = ImportedCache()
    config = CacheConfig.parse(json.dumps({"layers": layers, "records": records}))
    cache.add(config, {A, B})
    return cache


def test_links_may_lead_forward_and_records_may_be_unknown() -> None:
    records = [
        {"digest": "top", "inputs": [[{"link": 1, "selector": "s"}]], "layers": [{"layer": 0}]},
        {"digest": "root"},
        {"digest": "unrelated"},
    ]
    cache = imported(records)
    (top,) = cache.store.find(Slot("top", 0, 1), Link("s", "root"))
    (result,) = stored(cache.store, top).results
    assert (cache.blobs(result.id), result.created) == ([A], UNKNOWN)
    assert cache.blobs("missing") is None


def test_a_layer_brings_its_parents_and_a_chain_only_what_it_lists() -> None:
    layers = [{"blob": A, "parent": -1}, {"blob": B}]
    records = [
        {"digest": "layered", "layers": [{"layer": 1, "createdAt": "2026-01-02T03:04:05Z"}]},
        {"digest": "chained", "chains": [{"layers": [1]}, {"layers": [1, 0, 1]}, {"layers": []}]},
    ]
    cache = imported(records, layers)
    (layered,) = stored(cache.store, "layered").results
    assert cache.blobs(layered.id) == [A, B]
    assert layered.created == 1767323045 * 10**9
    chains = {tuple(cache.blobs(r.id) or ()) for r in stored(cache.store, "chained").results}
    assert chains == {(B,), (B, A, B)}


@pytest.mark.parametrize("place", ["layers", "chains"])
def test_a_result_with_an_unknown_blob_is_left_out(place: str) -> None:
    layers = [{"blob": "sha256:unknown", "parent": -1}, {"blob": A}, {"blob": B, "parent": -1}]
    results = {
        "layers": [{"layer": 1}, {"layer": 2}],
        "chains": [{"layers": [2, 0]}, {"layers": [2]}],
    }
    cache = imported([{"digest": "r", place: results[place]}], layers)
    assert [cache.blobs(r.id) for r in stored(cache.store, "r").results] == [[B]]


def test_two_records_of_one_key_are_united() -> None:
    link = [[{"link": 0}]]
    records = [
        {"digest": "root"},
        {"digest": "k", "inputs": link, "layers": [{"layer": 0}]},
        {"digest": "k", "inputs": link, "layers": [{"layer": 1}]},
    ]
    cache = imported(records, [{"blob": A, "parent": -1}, {"blob": B, "parent": -1}])
    (key,) = cache.store.find(Slot("k", 0, 1), Link("", "root"))
    assert len(stored(cache.store, key).results) == 2


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"records": [{"digest": "a", "inputs": [[{"link": 0}]]}]}, "records depend on each other"),
        ({"records": [{"inputs": [[{"link": 1}]]}, {"inputs": [[{"link": 0}]]}]}, "depend on each"),
        ({"records": [{"inputs": [[{"link": 7}]]}]}, "no record 7"),
        ({"records": [{"inputs": [[{"link": -1}]]}]}, "no record -1"),
        ({"records": [{"digest": "a"}, {"inputs": [[{"link": 0}], []]}]}, "input of record 1 is"),
        ({"records": [{"layers": [{"layer": 3}]}]}, "no layer 3"),
        ({"records": [{"layers": [{"layer": -1}]}]}, "no layer -1"),
        ({"records": [{"chains": [{"layers": [-1]}]}]}, "no layer -1"),
        ({"layers": [{"parent": 5}], "records": [{"layers": [{"layer": 0}]}]}, "no layer 5"),
        ({"layers": [{"parent": 0}], "records": [{"layers": [{"layer": 0}]}]}, "layers depend on"),
        (
            {"layers": [{"parent": 1}, {}], "records": [{"layers": [{"layer": 1}]}]},
            "layers depend on each other",
        ),
    ],
)
def test_a_config_with_wrong_indices_is_refused_as_a_whole(
    document: dict[str, Any], message: str
) -> None:
    document["records"].append({"digest": "good"})
    cache = ImportedCache()
    with pytest.raises(MalformedError, match=message) as caught:
        cache.add(CacheConfig.parse(json.dumps(document)), {""}, where="cache:latest")
    assert str(caught.value).startswith("cache:latest: cache config: ")
    assert len(cache.store) == 0


@pytest.mark.parametrize(
    "text",
    [
        b"\xff",
        "",
        "[]",
        "7",
        "[" * 100_000,
        '{"layers": {}}',
        '{"records": [7]}',
        '{"records": [{"digest": 7}]}',
        '{"records": [{"inputs": {}}]}',
        '{"records": [{"inputs": [7]}]}',
        '{"records": [{"inputs": [[{"link": "0"}]]}]}',
        '{"records": [{"inputs": [[{"link": 0.5}]]}]}',
        '{"records": [{"inputs": [[{"link": true}]]}]}',
        '{"records": [{"chains": [{"layers": 0}]}]}',
        '{"records": [{"layers": [{"layer": 0, "createdAt": "yesterday"}]}]}',
    ],
)
def test_malformed_text_is_one_clear_error(text: bytes | str) -> None:
    with pytest.raises(MalformedError) as caught:
        CacheConfig.parse(text, where="cache:latest")
    assert str(caught.value).startswith("cache:latest: ")


def test_a_config_over_a_mebibyte_is_refused() -> None:
    text = '{"records":[]}'
    assert CacheConfig.parse(text + " " * (2**20 - len(text))) == CacheConfig()
    with pytest.raises(LimitExceededError, match="1048577 bytes exceeds 1048576"):
        CacheConfig.parse(text + " " * (2**20 + 1 - len(text)))


def test_absent_values_and_null_are_zero() -> None:
    text = (
        '{"layers":[{"blob":"x","new":1}],"records":[{"digest":"a","inputs":null},{"layers":[{}]}]}'
    )
    config = CacheConfig.parse(text)
    assert config.layers[0].parent == 0
    assert config.records[1].layers[0].layer == 0
    assert CacheConfig.parse("{}").to_json() == "{}"


def test_long_chains_of_layers_take_linear_time_and_space() -> None:
    count = 3000
    layers = [{"blob": f"b{number}", "parent": number - 1} for number in range(count)]
    records = [{"digest": f"r{number}", "layers": [{"layer": number}]} for number in range(count)]
    asked: list[str] = []

    class Available:
        def __contains__(self, blob: object) -> bool:
            asked.append(str(blob))
            return True

    cache = ImportedCache()
    cache.add(CacheConfig.parse(json.dumps({"layers": layers, "records": records})), Available())
    assert len(asked) == count
    (result,) = stored(cache.store, f"r{count - 1}").results
    assert len(cache.blobs(result.id) or ()) == count


def test_many_keys_with_a_common_input_are_imported_in_linear_time() -> None:
    class Counting(MemoryStore):
        seen = 0

        def find(self, slot: Slot, link: Link) -> Set[str]:
            return Counted(super().find(slot, link))

    class Counted(frozenset[str]):
        def __iter__(self) -> Iterator[str]:
            for each in super().__iter__():
                Counting.seen += 1
                yield each

    count = 500
    roots = [{"digest": "common"}, *({"digest": f"r{number}"} for number in range(count))]
    inputs = ([[{"link": 0}], [{"link": 1 + number}]] for number in range(count))
    records = [*roots, *({"digest": "k", "inputs": each} for each in inputs)]
    cache = ImportedCache()
    cache.store = Counting()
    cache.add(CacheConfig.parse(json.dumps({"records": [*records, *records[-count:]]})), ())
    assert len(cache.store) == 1 + 2 * count
    assert Counting.seen == count  # the keys that came twice


def layers_of(_: StoredKey, result: Result) -> list[str]:
    return [f"blob of {result.id}"]


def test_the_config_of_a_small_build() -> None:
    """c1 on scratch, c2 on c1, c3 copied from c2, c4 on c3."""
    store = MemoryStore()
    c1 = unite(store, "4987", [])
    c2 = unite(store, "e350", [[Link("", c1)]])
    content = unite(store, "33ae", [])
    c3 = unite(store, "9452", [[Link("", content), Link("afcf", c2)]])
    c4 = unite(store, "d6d7", [[Link("", c3)]])
    for key in (c1, c2, c3, c4, content):
        add_result(store, key, Result(key, 0))
    blobs = {c3: ["efeb"], c4: ["efeb", "f36c"]}
    config = export_config(store, [c4], lambda key, _: blobs.get(key.id))
    time = '"createdAt":"1970-01-01T00:00:00Z"'
    assert config.to_json() == (
        '{"layers":[{"blob":"efeb","parent":-1},{"blob":"f36c"}],"records":['
        '{"digest":"33ae"},{"digest":"4987"},'
        f'{{"layers":[{{"layer":0,{time}}}],"digest":"9452",'
        '"inputs":[[{"link":0},{"selector":"afcf","link":4}]]},'
        f'{{"layers":[{{"layer":1,{time}}}],"digest":"d6d7","inputs":[[{{"link":2}}]]}},'
        '{"digest":"e350","inputs":[[{"link":1}]]}]}'
    )


def test_only_the_newest_result_is_exported() -> None:
    store = MemoryStore()
    key = unite(store, "k", [[Link("", unite(store, "a", []))]])
    for created, name in ((5, "lost"), (2, "new"), (1, "old")):
        add_result(store, key, Result(name, created))
    config = export_config(store, [key], lambda _, r: [r.id] if r.id != "lost" else None)
    assert [layer.blob for layer in config.layers] == ["new"]
    assert config.records[1].layers[0].created == 2


def test_links_that_make_a_cycle_are_not_exported() -> None:
    store = MemoryStore()
    content = unite(store, "content", [])
    first = unite(store, "f", [[Link("", content)]])
    second = unite(store, "g", [[Link("", first)]])
    assert unite(store, "f", [[Link("", content), Link("s", second)]]) == first
    config = export_config(store, [second], layers_of)
    assert [r.digest for r in config.records] == ["content", "f", "g"]
    assert json.loads(config.to_json())["records"][1]["inputs"] == [[{"link": 0}]]
    reexported(config)


def test_a_key_with_a_lost_input_is_left_out_with_what_it_alone_needs() -> None:
    store = MemoryStore()
    kept, alone = unite(store, "kept", []), unite(store, "alone", [])
    gap = unite(store, "gap", [[Link("", "missing")], [Link("", alone)]])
    top = unite(store, "top", [[Link("", kept), Link("s", gap)]])
    config = export_config(store, [top, "missing"], layers_of)
    assert [record.digest for record in config.records] == ["kept", "top"]
    assert export_config(store, [gap], layers_of) == CacheConfig()


def test_inline_results_are_indices_of_the_layers_of_the_image() -> None:
    layers = [{"blob": "x", "parent": -1}, {"blob": "y"}, {"blob": "y", "parent": -1}]
    records = [{"digest": str(at), "layers": [{"layer": at}]} for at in range(3)]
    config = CacheConfig.parse(json.dumps({"layers": layers, "records": records}))
    inline = inline_config(config, ["x", "y"])
    assert [[r.layer for r in record.layers] for record in inline.records] == [[0], [1], []]
    assert [[c.layers for c in record.chains] for record in inline.records] == [[], [], [(1,)]]
    without = inline_config(config, ["y"])
    assert [len(record.layers) + len(record.chains) for record in without.records] == [0, 0, 1]


@settings(max_examples=100, deadline=None)
@given(KEYS)
def test_an_exported_cache_is_imported_as_it_was(
    keys: list[tuple[str, list[set[tuple[str, int]]], str | None]],
) -> None:
    store = MemoryStore()
    ids = store_all(store, keys)
    config = export_config(store, ids, layers_of)
    assert CacheConfig.parse(config.to_json()) == config
    again = reexported(config)
    # an import may unite keys that were stored before a third one showed that they are equal
    assert len(again.records) <= len(config.records)
    for part in (lambda r: r.digest, lambda r: (r.digest, r.layers != ())):
        assert {*map(part, again.records)} <= {*map(part, config.records)}
    assert {r.digest for r in again.records} == {r.digest for r in config.records}


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:01.5Z", 1_500_000_000),
        ("2026-11-30T19:12:10.43125111Z", 1796065930_431251110),
        ("1969-12-31T23:59:59.999999999Z", -1),
        ("0001-01-01T00:00:00Z", UNKNOWN),
    ],
)
def test_times_have_nanoseconds(text: str, nanoseconds: int) -> None:
    assert parse_time(text) == nanoseconds
    assert format_time(nanoseconds) == text


def test_times_may_have_an_offset_and_more_decimals() -> None:
    assert parse_time("1970-01-01T02:30:00.1234567899+02:30") == 123_456_789
    assert parse_time("1969-12-31T23:00:00-01:00") == 0


@pytest.mark.parametrize(
    "text",
    ["", "1970-01-01", "1970-13-01T00:00:00Z", "1970-01-01T00:00:00", "1970-01-01T00:00:00+99:00"],
)
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(MalformedError, match="RFC 3339"):
        parse_time(text)


@given(st.integers(UNKNOWN, 253402300799 * 10**9))
def test_every_time_is_read_back(nanoseconds: int) -> None:
    assert parse_time(format_time(nanoseconds)) == nanoseconds


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-2, 3)
    | st.sampled_from(["", A, "2026-01-01T00:00:00Z"])
)
NAMES = [
    "layers",
    "records",
    "chains",
    "inputs",
    "digest",
    "link",
    "selector",
    "layer",
    "blob",
    "parent",
    "createdAt",
]
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)
    ),
    max_leaves=25,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(["layers", "records"]), DOCUMENTS))
def test_any_document_is_imported_or_refused_as_a_whole(document: dict[str, Any]) -> None:
    cache = ImportedCache()
    try:
        config = CacheConfig.parse(json.dumps(document))
        cache.add(config, {"", A})
    except MalformedError:
        assert len(cache.store) == 0
        return
    assert CacheConfig.parse(config.to_json()) == config
    reexported(config)
