"""Image configs: parsing, required fields and chain IDs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarkit.errors import LayerCountError, MalformedError, MissingRootfsError, UnsupportedError
from tarkit.image import media_types as mt
from tarkit.image.config import History, ImageConfig, chain_ids, is_image_config
from tarkit.image.digest import Digest
from tests.builders import dump, make_image

ROOTFS = {"type": "layers", "diff_ids": ["sha256:" + "a" * 64]}
BASE = {"architecture": "amd64", "os": "linux", "rootfs": ROOTFS}


def read(**changes: Any) -> ImageConfig:
    return ImageConfig.parse(dump(BASE | changes))


def test_a_complete_config() -> None:
    image = make_image("a", "b")
    config = ImageConfig.parse(image.config)
    assert [str(diff_id) for diff_id in config.diff_ids] == image.diff_ids
    assert str(config.platform) == "linux/amd64"
    assert config.created == "2024-01-02T03:04:05Z"
    assert config.labels == {"made-by": "tests"}
    assert config.history[1] == History(created_by="step 1")
    assert config.document["vendor.example"] == {"kept": True}


def test_the_platform_has_all_fields() -> None:
    config = read(variant="v7", **{"os.version": "10.0", "os.features": ["win32k"]})
    assert config.platform.variant == "v7"
    assert config.platform.os_version == "10.0"
    assert config.platform.os_features == ("win32k",)


@pytest.mark.parametrize("rootfs", [None, {}, {"type": "layers"}])
def test_a_config_without_diff_ids_is_rejected(rootfs: object) -> None:
    with pytest.raises(MissingRootfsError):
        read(rootfs=rootfs)


@pytest.mark.parametrize("diff_ids", [[], None])
def test_an_image_may_have_no_layers(diff_ids: object) -> None:
    assert read(rootfs={"type": "layers", "diff_ids": diff_ids}).diff_ids == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"rootfs": []},
        {"rootfs": {"diff_ids": "sha256:" + "a" * 64}},
        {"rootfs": {"diff_ids": [1]}},
        {"rootfs": {"diff_ids": ["sha256:short"]}},
        {"os": 1},
        {"history": {}},
        {"history": [1]},
        {"history": [{"empty_layer": "yes"}]},
        {"config": {"Labels": ["a"]}},
        {"config": []},
    ],
    ids=str,
)
def test_malformed(changes: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        read(**changes)


def test_a_diff_id_of_an_unknown_algorithm() -> None:
    with pytest.raises(UnsupportedError):
        read(rootfs={"diff_ids": ["md5:" + "a" * 32]})


def test_the_number_of_layers_is_checked() -> None:
    config = read()
    config.require_layers(1)
    with pytest.raises(LayerCountError, match="2 layers but 1 diff IDs") as caught:
        config.require_layers(2)
    assert (caught.value.layers, caught.value.diff_ids) == (2, 1)


def test_chain_ids_match_the_specification() -> None:
    diff_ids = [Digest("sha256", letter * 64) for letter in "abc"]
    # printf 'sha256:aa… sha256:bb…' | sha256sum, and so on for each layer above
    assert [str(chain) for chain in chain_ids(diff_ids)] == [
        "sha256:" + "a" * 64,
        "sha256:ccd722928bd92476ba1745586fed6e45a102504185ad88cd89e01ff116fd146c",
        "sha256:c1377126441fb2f5ec2c21ae2a60255331d639e830f0ee1b40a36e52d4c40588",
    ]


@given(st.lists(st.binary(max_size=2), max_size=6))
def test_a_chain_id_depends_only_on_its_layer_and_those_below(contents: list[bytes]) -> None:
    diff_ids = [Digest.of(content) for content in contents]
    chain = chain_ids(diff_ids)
    assert len(chain) == len(diff_ids)
    for height in range(len(diff_ids)):
        assert chain_ids(diff_ids[:height]) == chain[:height]
    assert chain[:1] == tuple(diff_ids[:1])


IMAGE = b'{"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}'
HELM = b'{"name": "chart", "version": "1.0.0", "apiVersion": "v2"}'
PLUGIN = b'{"interface": {}, "rootfs": {"type": "layers", "diff_ids": []}}'


@pytest.mark.parametrize(
    "media_type",
    ["", "application/octet-stream", "application/json", "text/html", "text/plain; charset=utf-8"],
)
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (IMAGE, True),
        (HELM, False),
        (PLUGIN, False),
        (b"{}", False),
        (b"[]", False),
        (b"", False),
        (b"not JSON", False),
        (b'{"architecture": "amd64", "os": "linux"}', False),
        (b'{"architecture": "amd64", "os": "linux", "rootfs": {"diff_ids": "x"}}', False),
        (b'{"architecture": 1, "os": "linux", "rootfs": {"diff_ids": []}}', False),
    ],
)
def test_content_decides_if_the_media_type_is_generic(
    media_type: str, data: bytes, expected: bool
) -> None:
    assert is_image_config(data, media_type) is expected


@pytest.mark.parametrize("media_type", sorted(mt.CONFIGS))
def test_an_image_type_decides_unless_the_config_is_empty(media_type: str) -> None:
    assert is_image_config(IMAGE, media_type)
    assert is_image_config(b"broken", media_type)
    assert is_image_config(b'{"architecture": "amd64"}', media_type)
    assert not is_image_config(b"{}", media_type)


@pytest.mark.parametrize(
    "media_type",
    [
        "application/vnd.docker.plugin.v1+json",
        "application/vnd.cncf.helm.config.v1+json",
        "text/x-y",
    ],
)
def test_the_media_type_of_another_vendor_decides(media_type: str) -> None:
    assert not is_image_config(IMAGE, media_type)
