"""Test results of build functions, and capabilities."""

from __future__ import annotations

import pytest

from tarkit import llb
from tarkit.errors import MalformedError, NotFoundError, RefusedError, UnsupportedError, UsageError
from tarkit.gateway import CapSet, Client, Reference, Result, WinSize
from tarkit.gateway.capabilities import LLB, Capability
from tests.gateway.conftest import Ask
from tests.golden.llb import marshalled
from tests.golden.test_runner import definitions


@pytest.fixture
def ref(ask: Ask) -> Reference:
    def question(client: Client) -> Reference | None:
        return client.solve(llb.scratch().file(llb.mkdir("/a"))).single_ref()

    found: Reference = ask(question)
    return found


def test_a_result_has_one_reference(ref: Reference) -> None:
    result = Result()
    assert result.single_ref() is None
    result.set_ref(ref)
    assert result.ref is result.single_ref() is result.find_ref("any") is ref
    assert list(result.each_ref()) == [ref]


def test_a_result_has_several_references(ref: Reference) -> None:
    result = Result()
    result.add_ref("a", ref)
    assert result.find_ref("other") is ref  # the only one
    result.add_ref("b", None)
    assert (result.find_ref("a"), result.find_ref("b")) == (ref, None)
    with pytest.raises(NotFoundError, match="no reference 'c'"):
        result.find_ref("c")
    with pytest.raises(UsageError, match="no single reference"):
        result.single_ref()


def test_metadata_is_kept(ref: Reference) -> None:
    result = Result(ref)
    result.add_meta("k", b"v")
    assert result.metadata == {"k": b"v"}


def test_references_need_platforms(ref: Reference) -> None:
    result = Result(ref)
    assert result.platforms() == []
    result.add_ref("linux/amd64", ref)
    with pytest.raises(RefusedError, match="references without platforms"):
        result.platforms()
    result.add_meta(
        "refs.platforms",
        b'{"Platforms":[{"ID":"x","Platform":{"os":"linux","architecture":"amd64"}}]}',
    )
    assert [(each.id, str(each.platform)) for each in result.platforms()] == [("x", "linux/amd64")]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{}",
        b'{"Platforms":[{}]}',
        b'{"Platforms":3}',
        b'{"Platforms":[]}',
        b'{"Platforms":[{"ID":"a","Platform":3}]}',
    ],
)
def test_malformed_platforms(text: bytes) -> None:
    result = Result()
    result.add_meta("refs.platforms", text)
    with pytest.raises(MalformedError, match=r"refs\.platforms"):
        result.platforms()


def test_a_capability_is_offered_disabled_or_unknown() -> None:
    offered = [Capability("a"), Capability("b", enabled=False, reason="too old", alternative="c")]
    caps = CapSet(offered, known=["a", "b", "c"])
    assert list(caps) == ["a"]
    assert "a" in caps
    caps.check("a")
    with pytest.raises(UnsupportedError, match="'b' disabled: too old; use c"):
        caps.require(["a", "b"])
    with pytest.raises(UnsupportedError, match="does not support the capability 'c'"):
        caps.check("c")
    with pytest.raises(UnsupportedError, match="unknown capability 'd'; update tarkit"):
        caps.check("d")


def test_all_capabilities_in_recorded_definitions_are_known() -> None:
    used = {
        cap
        for case in definitions()
        if "error" not in case
        for cap in marshalled(case).capabilities
    }
    assert len(used) > 30
    assert used <= LLB


def test_the_size_of_a_terminal() -> None:
    assert (WinSize(rows=40, cols=90).rows, WinSize(40, 90).cols) == (40, 90)
