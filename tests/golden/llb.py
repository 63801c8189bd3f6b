"""Definitions, compared byte by byte."""

from __future__ import annotations

import hashlib
from typing import Any

from tarkit import llb
from tarkit.errors import TarkitError
from tarkit.llb.messages import Op, OpMetadata
from tarkit.llb.wire import to_json
from tests.golden.recipes import Recipes
from tests.golden.runner import Case


def run(case: Case) -> None:
    """Compare the definition of a recipe with the recorded vertices, metadata and source."""
    if "error" in case:
        try:
            marshalled(case)
        except TarkitError:
            return
        raise AssertionError(f"no error, but BuildKit says: {case['error']}")
    definition = marshalled(case)
    for number, (expected, data) in enumerate(
        zip(case["vertices"] or [], definition.vertices, strict=True)
    ):
        assert data.hex() == expected["hex"], f"vertex {number}: {to_json(Op.decode(data))}"
        digest = definition.digests[number]
        assert digest == expected["digest"]
        assert to_json(Op.decode(data)) == expected["op"]
        found = metadata_of(definition.metadata.get(digest, OpMetadata()))
        assert found == expected.get("metadata", {}), f"vertex {number}: {found}"
    head = definition.head
    assert (head.digest if head else "") == case["head"]
    if "source" in case:
        assert definition.source is not None
        assert to_json(definition.source) == case["source"]
    encoded = definition.encode()
    assert len(encoded) == case["definition_size"]
    sha256 = hashlib.sha256(encoded).hexdigest()
    assert f"sha256:{sha256}" == case["definition_deterministic_sha256"]
    assert llb.Definition.decode(encoded) == definition


def marshalled(case: Case) -> llb.Definition:
    """Return the definition of a case's recipe."""
    recipes = Recipes(case.get("marshal"))
    recipes.make(case["nodes"])
    return recipes.marshal(case["result"])


def metadata_of(message: OpMetadata) -> dict[str, Any]:
    """Return metadata as recorded: capabilities sorted."""
    document = to_json(message)
    caps = sorted(cap for cap, needed in message.caps.items() if needed)
    if caps:
        document["caps"] = caps
    if "export_cache" in document:
        document["export_cache"] = document["export_cache"].get("Value", False)
    return document
