"""Test the text of outputs."""

from __future__ import annotations

import pytest

from tarkit.errors import UnsupportedError, UsageError
from tarkit.exporters.outputs import Output
from tarkit.image.media_types import Compression


@pytest.mark.parametrize(
    ("text", "output"),
    [
        ("out", Output("local", "out")),
        ("-", Output("tar", "-")),
        ("type=tar,dest=a.tar", Output("tar", "a.tar")),
        ('type=oci,"dest=a,b.tar"', Output("oci", "a,b.tar")),
        ("type=docker,dest=a=b", Output("docker", "a=b")),
        ("type=oci,dest=a,tar=false", Output("oci", "a", {"tar": "false"})),
    ],
)
def test_outputs_are_parsed(text: str, output: Output) -> None:
    assert Output.parse(text) == output


def test_the_options_of_an_image() -> None:
    text = 'type=oci,dest=a,"name=app,example.com/b:2",compression=zstd,force-compression'
    output = Output.parse(f"{text}=true")
    assert output.names == ("docker.io/library/app:latest", "example.com/b:2")
    assert output.compression is Compression.ZSTD
    assert output.force_compression
    assert output.is_file
    assert not Output.parse("type=oci,dest=a,tar=0").is_file


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("", UsageError, "no type"),
        ("dest=a", UsageError, "no type"),
        ("type=tar", UsageError, "no dest"),
        ("type=tar,dest", UsageError, "malformed output"),
        ("type=nosuch,dest=a", UsageError, "unknown output type 'nosuch'"),
        ("type=registry,name=a", UnsupportedError, "comes in a later version"),
        ("type=image", UnsupportedError, "comes in a later version"),
        ("type=local,dest=-", UsageError, "standard output"),
        ("type=oci,dest=-,tar=false", UsageError, "standard output"),
        ("type=tar,dest=a,name=b", UnsupportedError, "unknown option 'name'"),
        ("type=oci,dest=a,attestation-prefix=b", UnsupportedError, "unknown option"),
        ("type=oci,dest=a,name=A", UsageError, "'A'"),
        ("type=oci,dest=a,compression=lz4", UsageError, "unsupported compression 'lz4'"),
        ("type=oci,dest=a,tar=maybe", UsageError, "neither true nor false"),
        ('type=oci,"dest=a', UsageError, "malformed output"),
        ("type=oci,dest=a\0b", UsageError, "null character"),
    ],
)
def test_outputs_that_are_refused(text: str, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        Output.parse(text)
