from __future__ import annotations

from uuid import UUID

import pytest

from tarkit.errors import UsageError
from tarkit.ext4 import Ext4Options, Percent


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": 1_000_000},
        {"size": 4096},
        {"size": 2**60},
        {"size": "huge"},
        {"profile": "fast"},
        {"free": Percent(91)},
        {"free": Percent(-1)},
        {"free": -1},
        {"align": 0},
        {"align": 6000},
        {"inodes": 0},
        {"inodes": 2**32},
        {"label": "seventeen letters"},
        {"label": "ö" * 9},
        {"label": "a\0b"},
        {"label": "\udcff"},
        {"seed": b"short"},
        {"timestamp": -1},
        {"timestamp": 2**34},
    ],
    ids=repr,
)
def test_invalid_options_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Ext4Options(**wrong)  # type: ignore[arg-type]


def test_the_hint_for_an_unaligned_size_has_the_nearest_sizes() -> None:
    with pytest.raises(UsageError, match="use 999424 or 1003520"):
        Ext4Options(size=1_000_000)


def test_the_uuid_is_derived_from_the_seed() -> None:
    one, other = Ext4Options(seed=b"1" * 32), Ext4Options(seed=b"2" * 32)
    assert one.volume_uuid == Ext4Options(seed=b"1" * 32, label="x").volume_uuid
    assert one.volume_uuid != other.volume_uuid
    assert one.volume_uuid.version == 5
    assert one.hash_seed != other.hash_seed
    assert one.hash_seed != tuple(one.volume_uuid.bytes[::4])


def test_a_given_uuid_is_used() -> None:
    uuid = UUID("01234567-89ab-cdef-0123-456789abcdef")
    assert Ext4Options(uuid=uuid).volume_uuid == uuid
