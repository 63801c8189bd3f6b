"""Configs from the documents of Docker's v1 format."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tarkit.errors import MalformedError
from tarkit.image.config import History, ImageConfig
from tarkit.image.digest import Digest
from tarkit.image.v1 import config_from_v1

DIFF_IDS = [Digest.of(b"one"), Digest.of(b"two")]
LAYERS: list[dict[str, Any]] = [
    {"id": "1", "created": "2013-01-01T00:00:00Z", "container_config": {"Cmd": ["sh", "-c", "x"]}},
    {
        "id": "2",
        "parent": "1",
        "created": "2014-01-01T00:00:00Z",
        "author": "me",
        "comment": "c",
        "config": {"Cmd": ["run"], "Labels": {"a": "b"}},
        "architecture": "amd64",
        "os": "linux",
        "Size": 5,
        "layer_id": "sha256:x",
        "vendor": {"kept": 1},
    },
]


def test_the_top_document_becomes_the_config() -> None:
    data = config_from_v1(LAYERS, DIFF_IDS, where="here")
    config = ImageConfig.parse(data)
    assert config.diff_ids == tuple(DIFF_IDS)
    assert str(config.platform) == "linux/amd64"
    assert config.labels == {"a": "b"}
    assert config.document["vendor"] == {"kept": 1}


def test_fields_of_a_single_layer_are_dropped() -> None:
    document = json.loads(config_from_v1(LAYERS, DIFF_IDS, where="here"))
    assert not document.keys() & {"id", "parent", "Size", "layer_id", "throwaway"}


def test_every_document_is_a_history_entry() -> None:
    config = ImageConfig.parse(config_from_v1(LAYERS, DIFF_IDS, where="here"))
    assert config.history == (
        History(created="2013-01-01T00:00:00Z", created_by="sh -c x"),
        History(created="2014-01-01T00:00:00Z", author="me", comment="c"),
    )


def test_throwaway_documents_have_no_layer() -> None:
    layers = [LAYERS[0], {"throwaway": True}, LAYERS[1]]
    config = ImageConfig.parse(config_from_v1(layers, DIFF_IDS, where="here"))
    assert [step.empty_layer for step in config.history] == [False, True, False]
    assert len(config.diff_ids) == 2


def test_a_command_of_the_wrong_type_is_malformed() -> None:
    with pytest.raises(MalformedError, match=r"^here: 'Cmd' is a string"):
        config_from_v1([{"container_config": {"Cmd": "sh"}}], DIFF_IDS[:1], where="here")
