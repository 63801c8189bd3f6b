"""Test the copy plan, a pure function of the manifest, the destination and the options."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarkit.copying.options import CopyOptions, LayerCompression
from tarkit.copying.plan import ImagePlan, plan_copy
from tarkit.errors import (
    CannotModifyError,
    ManifestRejectedError,
    NotAnImageError,
    UsageError,
)
from tarkit.image import media_types as mt
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import Manifest
from tarkit.image.media_types import Compression, Family
from tarkit.layout.destination import ARCHIVE_PROFILE, DIRECTORY_PROFILE
from tarkit.protocols import Profile
from tarkit.transports.directory.writer import PROFILE as DIR_PROFILE
from tarkit.transports.docker_archive.classic_writer import PROFILE as CLASSIC_PROFILE
from tarkit.transports.docker_archive.dual_writer import PROFILE as DUAL_PROFILE
from tarkit.transports.registry.destination import PROFILE as REGISTRY_PROFILE

PROFILES = {
    "oci": DIRECTORY_PROFILE,
    "oci-archive": ARCHIVE_PROFILE,
    "dual": DUAL_PROFILE,
    "classic": CLASSIC_PROFILE,
    "dir": DIR_PROFILE,
}
TYPES = {
    Family.OCI: (mt.OCI_MANIFEST, mt.OCI_CONFIG, mt.OCI_LAYER),
    Family.DOCKER: (mt.DOCKER_MANIFEST, mt.DOCKER_CONFIG, mt.DOCKER_LAYER),
}
DIFF_ID = Digest.of(b"plain")


def image(family: Family, compression: Compression, **fields: object) -> Manifest:
    manifest, config, layer = TYPES[family]
    suffix = {Compression.NONE: "", Compression.GZIP: "gzip", Compression.ZSTD: "zstd"}[compression]
    separator = {Family.OCI: "+", Family.DOCKER: "."}[family] if suffix else ""
    return Manifest(
        manifest,
        Descriptor.of(b"{}", config),
        (Descriptor.of(b"layer", layer + separator + suffix),),
        **fields,  # type: ignore[arg-type]
    )


def plan(
    manifest: Manifest, profile: Profile, asked: str = "auto", *, preserve_digests: bool = False
) -> ImagePlan:
    options = CopyOptions(compression=LayerCompression(asked), preserve_digests=preserve_digests)
    return plan_copy(manifest, (DIFF_ID,), profile, options)


def gets(name: str, has: str, asked: str) -> str:
    compression = Compression(has)
    planned = plan(image(Family.OCI, Compression.GZIP), PROFILES[name], asked)
    return planned.layers[0].becomes[compression].value


@pytest.mark.parametrize(
    ("name", "has", "asked", "expected"),
    [
        ("oci", "none", "auto", "gzip"),
        ("oci", "gzip", "auto", "gzip"),
        ("oci", "zstd", "auto", "zstd"),
        ("oci", "bzip2", "auto", "gzip"),
        ("oci", "xz", "auto", "gzip"),
        ("oci", "none", "preserve", "none"),
        ("oci", "zstd", "preserve", "zstd"),
        ("oci", "gzip", "none", "none"),
        ("oci", "gzip", "zstd", "zstd"),
        ("oci-archive", "none", "auto", "gzip"),
        ("dual", "none", "auto", "none"),
        ("dual", "gzip", "auto", "gzip"),
        ("dual", "zstd", "auto", "gzip"),
        ("dual", "zstd", "preserve", "zstd"),
        ("dual", "xz", "preserve", "gzip"),
        ("classic", "gzip", "auto", "none"),
        ("classic", "gzip", "preserve", "none"),
        ("classic", "zstd", "none", "none"),
        ("dir", "none", "auto", "none"),
        ("dir", "xz", "auto", "xz"),
        ("dir", "none", "gzip", "gzip"),
    ],
)
def test_layer_compression(name: str, has: str, asked: str, expected: str) -> None:
    assert gets(name, has, asked) == expected


@pytest.mark.parametrize("asked", ["gzip", "zstd"])
def test_a_classic_archive_holds_plain_layers_only(asked: str) -> None:
    with pytest.raises(ManifestRejectedError, match=f"compressed with {asked}"):
        plan(image(Family.OCI, Compression.GZIP), CLASSIC_PROFILE, asked)


@pytest.mark.parametrize(
    ("name", "family", "expected"),
    [
        ("oci", Family.OCI, None),
        ("oci", Family.DOCKER, Family.OCI),
        ("dual", Family.OCI, None),
        ("dual", Family.DOCKER, None),
        ("classic", Family.OCI, Family.DOCKER),
        ("classic", Family.DOCKER, None),
        ("dir", Family.DOCKER, None),
    ],
)
def test_which_family_the_manifest_will_be_of(
    name: str, family: Family, expected: Family | None
) -> None:
    assert plan(image(family, Compression.GZIP), PROFILES[name]).family is expected


@pytest.mark.parametrize("name", ["oci", "oci-archive", "dual", "dir"])
def test_zstd_needs_oci(name: str) -> None:
    planned = plan(image(Family.DOCKER, Compression.GZIP), PROFILES[name], "zstd")
    assert planned.family is Family.OCI
    planned = plan(image(Family.OCI, Compression.GZIP), PROFILES[name], "zstd")
    assert planned.family is None


@pytest.mark.parametrize("name", ["oci", "oci-archive", "dual", "dir"])
@pytest.mark.parametrize("family", Family)
@pytest.mark.parametrize("compression", [Compression.NONE, Compression.GZIP])
def test_digests_can_be_preserved(name: str, family: Family, compression: Compression) -> None:
    planned = plan(image(family, compression), PROFILES[name], preserve_digests=True)
    assert planned.family is None
    assert planned.layers[0].becomes[compression] is compression


@pytest.mark.parametrize(
    ("name", "compression", "asked"),
    [
        ("classic", Compression.GZIP, "auto"),
        ("classic", Compression.NONE, "auto"),
        ("oci", Compression.GZIP, "zstd"),
        ("oci", Compression.GZIP, "none"),
        ("dual", Compression.NONE, "gzip"),
    ],
)
def test_digests_that_cannot_be_preserved(name: str, compression: Compression, asked: str) -> None:
    with pytest.raises(CannotModifyError, match="--preserve-digests was given"):
        plan(image(Family.OCI, compression), PROFILES[name], asked, preserve_digests=True)


def test_invalid_level_fails_before_the_first_write() -> None:
    options = CopyOptions(level=12)
    with pytest.raises(UsageError, match="gzip has the levels 0 to 9, not 12"):
        plan_copy(image(Family.OCI, Compression.NONE), (DIFF_ID,), DIRECTORY_PROFILE, options)
    planned = plan_copy(image(Family.OCI, Compression.GZIP), (DIFF_ID,), DIRECTORY_PROFILE, options)
    assert planned.layers[0].becomes[Compression.GZIP] is Compression.GZIP


def test_artifacts_are_copied_unchanged_or_refused() -> None:
    artifact = Manifest(
        mt.OCI_MANIFEST,
        Descriptor.of(b"{}", "application/vnd.example"),
        (Descriptor.of(b"x", "text/plain"),),
    )
    recompressing = CopyOptions(compression=LayerCompression.ZSTD)
    for profile in (DIRECTORY_PROFILE, ARCHIVE_PROFILE, DIR_PROFILE, REGISTRY_PROFILE):
        planned = plan_copy(artifact, None, profile, recompressing)
        assert planned.family is None
        assert all(has is becomes for has, becomes in planned.layers[0].becomes.items())
    for profile in (DUAL_PROFILE, CLASSIC_PROFILE):
        with pytest.raises(NotAnImageError, match=r"application/vnd\.example"):
            plan_copy(artifact, None, profile, CopyOptions())


def test_lost_fields_are_noted() -> None:
    annotated = image(Family.OCI, Compression.GZIP, annotations={"a": "b"})
    assert plan(annotated, CLASSIC_PROFILE).notes == (
        "omitted annotations: Docker manifests cannot store them",
    )
    assert plan(annotated, DUAL_PROFILE).notes == ()
    assert plan(annotated, DIRECTORY_PROFILE).notes == ()


@given(
    st.sampled_from(sorted(PROFILES)),
    st.sampled_from(Family),
    st.sampled_from([Compression.NONE, Compression.GZIP]),
    st.sampled_from(LayerCompression),
)
def test_a_plan_only_uses_what_the_destination_holds(
    name: str, family: Family, has: Compression, asked: LayerCompression
) -> None:
    profile = PROFILES[name]
    try:
        planned = plan(image(family, has), profile, asked.value)
    except ManifestRejectedError:
        assert asked.codec not in (None, *profile.holds)
        return
    (layer,) = planned.layers
    assert set(layer.becomes.values()) <= profile.holds
    assert set(layer.becomes) == set(Compression)
    assert layer.acceptable == {layer.becomes[layer.declared]}
    if asked.codec:
        assert set(layer.becomes.values()) == {asked.codec}
