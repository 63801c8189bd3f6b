"""Write to a registry, including faulty ones."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import pytest

from tarkit.errors import (
    CannotModifyError,
    DigestMismatchError,
    LostBlobError,
    ManifestRejectedError,
    TransportError,
    TruncatedError,
)
from tarkit.image import media_types
from tarkit.image.descriptor import Descriptor
from tarkit.image.manifest import RawManifest
from tarkit.image.media_types import Compression
from tarkit.protocols import Destination, MountingDestination, Writer
from tarkit.streams.chunks import Readable
from tarkit.streams.verify import VerifyingReader
from tarkit.transports.registry.destination import RegistryDestination
from tarkit.transports.registry.options import RegistryOptions
from tarkit.transports.registry.reader import RegistryReader
from tarkit.transports.registry.replay import WINDOW
from tarkit.transports.registry.writer import RegistryWriter
from tests.transports.registry.conftest import add_image
from tests.transports.registry.fake_registry import Exchange, FakeRegistry, digest_of
from tests.transports.registry.serving import Handler
from tests.transports.registry.token_server import token_server

BIG = bytes(range(256)) * (3 << 12)  # 3 MiB
EMPTY = Descriptor.of(b"{}", "application/vnd.oci.empty.v1+json").to_json()
ANY = frozenset(Compression)


def known(data: bytes) -> VerifyingReader:
    """A stream with an expected digest and size."""
    return VerifyingReader(
        io.BytesIO(data), digest=Descriptor.of(data, "").digest, size=len(data), where="test"
    )


def unknown(data: bytes) -> VerifyingReader:
    """A stream of unknown digest and size, such as one being compressed."""
    return VerifyingReader(io.BytesIO(data))


def layer_of(data: bytes) -> Descriptor:
    return Descriptor.of(data, media_types.OCI_LAYER_GZIP)


def put(writer: RegistryWriter, blob: VerifyingReader) -> Descriptor:
    return writer.destination("latest").put_blob(blob, media_types.OCI_LAYER_GZIP)


def manifest_of(**fields: object) -> RawManifest:
    document = {"schemaVersion": 2, "mediaType": media_types.OCI_MANIFEST, **fields}
    return RawManifest.of(json.dumps(document).encode())


def break_after(size: int) -> Callable[[Exchange], None]:
    """A fault: store *size* bytes of an upload and break the connection."""

    def fault(exchange: Exchange) -> None:
        session = exchange.path.rpartition("/")[2].partition("?")[0]
        held = exchange.registry.uploads[session]
        for piece in exchange.pieces():
            held += piece
            if len(held) >= size:
                break
        del held[size:]
        exchange.drop()

    return fault


def test_it_is_a_writer_and_a_destination(writer: RegistryWriter) -> None:
    anything: Writer = writer
    destination: Destination = writer.destination("latest")
    assert isinstance(destination, MountingDestination)
    assert anything.where
    assert Compression.XZ not in destination.profile.holds


@pytest.mark.parametrize("data", [b"", b"x", b"a small config", BIG])
@pytest.mark.parametrize("stream", [known, unknown])
def test_blobs_of_any_size(
    registry: FakeRegistry,
    writer: RegistryWriter,
    data: bytes,
    stream: Callable[[bytes], VerifyingReader],
) -> None:
    assert put(writer, stream(data)) == layer_of(data)
    assert registry.blobs["app"] == {digest_of(data): data}


def test_a_known_size_takes_one_request_and_an_unknown_one_two(
    registry: FakeRegistry, writer: RegistryWriter
) -> None:
    put(writer, known(BIG))
    assert [seen.method for seen in registry.seen][-2:] == ["POST", "PUT"]
    assert registry.seen[-1].headers["Content-Length"] == str(len(BIG))
    put(writer, unknown(BIG))
    assert [seen.method for seen in registry.seen][-3:] == ["POST", "PATCH", "PUT"]
    assert registry.seen[-2].headers["Transfer-Encoding"] == "chunked"


@pytest.mark.parametrize("stream", [known, unknown])
@pytest.mark.parametrize("kept", [0, 1, 1000, 2 << 20])
def test_a_broken_upload_is_resumed(
    registry: FakeRegistry,
    writer: RegistryWriter,
    stream: Callable[[bytes], VerifyingReader],
    kept: int,
) -> None:
    method = "PUT" if stream is known else "PATCH"
    registry.fail_once(method, "uploads", break_after(kept))
    assert put(writer, stream(BIG)).size == len(BIG)
    assert registry.blobs["app"] == {digest_of(BIG): BIG}
    if kept > 1:
        rest = [seen for seen in registry.requests("PATCH") if "Content-Range" in seen.headers]
        assert stream is unknown or rest[0].headers["Content-Range"].startswith(f"{kept}-")


@pytest.mark.parametrize("stream", [known, unknown])
def test_a_lost_session_is_replaced(
    registry: FakeRegistry,
    writer: RegistryWriter,
    stream: Callable[[bytes], VerifyingReader],
) -> None:
    def forget(exchange: Exchange) -> None:
        registry.uploads.clear()
        exchange.drop()

    registry.fail_once("PUT" if stream is known else "PATCH", "uploads", forget)
    put(writer, stream(BIG))
    assert registry.blobs["app"] == {digest_of(BIG): BIG}


def test_losing_more_bytes_than_are_kept_is_an_error(
    registry: FakeRegistry, writer: RegistryWriter
) -> None:
    def lose(exchange: Exchange) -> None:
        for _ in exchange.pieces():
            pass
        exchange.drop()

    registry.fail_once("PUT", "uploads", lose)
    with pytest.raises(LostBlobError, match="of which the registry kept 0"):
        put(writer, known(b"x" * (WINDOW + (4 << 20))))


def test_a_lost_answer_to_a_stored_blob(registry: FakeRegistry, writer: RegistryWriter) -> None:
    def store_and_drop(exchange: Exchange) -> None:
        registry.add_blob("app", exchange.body())
        exchange.drop()

    registry.fail_once("PUT", "uploads", store_and_drop)
    put(writer, known(BIG))
    assert len(registry.requests("PUT")) == 1


def test_the_number_of_resumptions_is_limited(
    registry: FakeRegistry, writer: RegistryWriter
) -> None:
    registry.fail("PUT", "uploads", lambda exchange: exchange.drop())
    with pytest.raises(TransportError, match="the connection broke"):
        put(writer, known(BIG))
    assert registry.blobs == {}


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_upload_to_a_busy_registry_is_retried(
    registry: FakeRegistry, writer: RegistryWriter, status: int
) -> None:
    registry.fail_once("POST", "uploads", lambda exchange: exchange.refuse(status, "BUSY"))
    registry.fail_once("PUT", "uploads", lambda exchange: exchange.refuse(status, "BUSY"))
    put(writer, known(BIG))
    assert registry.blobs["app"] == {digest_of(BIG): BIG}


@pytest.mark.parametrize("status", [404, 405, 500])
def test_a_failed_cancellation_does_not_replace_the_error(
    registry: FakeRegistry, writer: RegistryWriter, status: int
) -> None:
    registry.fail("DELETE", "uploads", lambda exchange: exchange.refuse(status, "UNSUPPORTED"))
    with pytest.raises(DigestMismatchError):
        put(writer, VerifyingReader(io.BytesIO(BIG), digest=layer_of(b"other").digest))
    assert len(registry.requests("DELETE")) == 1


def test_a_wrong_stream_never_becomes_a_blob(
    registry: FakeRegistry, writer: RegistryWriter
) -> None:
    wrong = VerifyingReader(
        io.BytesIO(BIG), digest=Descriptor.of(b"other", "").digest, size=len(BIG)
    )
    with pytest.raises(DigestMismatchError):
        put(writer, wrong)
    assert registry.blobs == {}
    assert registry.uploads == {}
    assert len(registry.cancelled) == 1


def test_a_failing_source_is_its_own_error_and_tried_once(
    registry: FakeRegistry, writer: RegistryWriter
) -> None:
    class Broken:
        def read(self, size: int = -1, /) -> bytes:
            raise TruncatedError("cut short")

    stream: Readable = Broken()
    with pytest.raises(TruncatedError, match="cut short"):
        put(writer, VerifyingReader(stream, digest=layer_of(BIG).digest, size=len(BIG)))
    assert len(registry.requests("PUT")) <= 1
    assert registry.uploads == {}


def test_existing_blobs_are_reused(registry: FakeRegistry, writer: RegistryWriter) -> None:
    registry.add_blob("app", BIG)
    destination = writer.destination("latest")
    found = destination.try_reuse(layer_of(BIG), diff_id=None, compressions=ANY)
    assert found == layer_of(BIG)
    absent = destination.try_reuse(layer_of(b"other"), diff_id=None, compressions=ANY)
    assert absent is None
    assert {seen.method for seen in registry.seen if "blobs" in seen.path} == {"HEAD"}


def test_a_blob_of_another_size_is_not_the_same(
    registry: FakeRegistry, writer: RegistryWriter
) -> None:
    registry.blobs["app"] = {digest_of(BIG): b"cut short"}
    found = writer.destination("t").try_reuse(layer_of(BIG), diff_id=None, compressions=ANY)
    assert found is None


def test_a_layer_is_found_by_its_diff_id(registry: FakeRegistry, writer: RegistryWriter) -> None:
    image = add_image(registry, "app", b"compressed")
    diff_id = Descriptor.of(b"", "").digest.parse(f"sha256:{'0' * 64}")
    wanted = Descriptor.of(b"uncompressed", media_types.OCI_LAYER)
    destination = writer.destination("latest")
    gzip = frozenset({Compression.GZIP})
    assert destination.try_reuse(wanted, diff_id=diff_id, compressions=gzip) == image.layers[0]
    zstd = frozenset({Compression.ZSTD})
    assert destination.try_reuse(wanted, diff_id=diff_id, compressions=zstd) is None
    fresh = writer.destination("new-tag")
    assert fresh.try_reuse(wanted, diff_id=diff_id, compressions=gzip) is None


def neighbour(
    registry: FakeRegistry, options: RegistryOptions, writer: RegistryWriter
) -> RegistryDestination:
    """A destination for the layer ``BIG``, which the repository ``origin`` has."""
    add_image(registry, "origin", BIG)
    with RegistryReader.open(f"{registry.address}/origin", options) as reader:
        destination = writer.destination("latest")
        destination.mount_from(reader.source("latest"))
    return destination


def test_a_blob_is_mounted_from_a_neighbour(
    registry: FakeRegistry, options: RegistryOptions, writer: RegistryWriter
) -> None:
    destination = neighbour(registry, options, writer)
    assert destination.try_reuse(layer_of(BIG), diff_id=None, compressions=ANY) == layer_of(BIG)
    assert registry.blobs["app"] == {digest_of(BIG): BIG}
    assert registry.requests("PUT") == []


def test_a_blob_that_will_be_recompressed_is_not_mounted(
    registry: FakeRegistry, options: RegistryOptions, writer: RegistryWriter
) -> None:
    destination = neighbour(registry, options, writer)
    zstd = frozenset({Compression.ZSTD})
    assert destination.try_reuse(layer_of(BIG), diff_id=None, compressions=zstd) is None
    assert registry.requests("POST") == []


def test_an_upload_opened_instead_of_a_mount_is_continued(
    registry: FakeRegistry, options: RegistryOptions, writer: RegistryWriter
) -> None:
    registry.mounts = False
    destination = neighbour(registry, options, writer)
    assert destination.try_reuse(layer_of(BIG), diff_id=None, compressions=ANY) is None
    destination.put_blob(known(BIG), media_types.OCI_LAYER_GZIP)
    assert registry.blobs["app"] == {digest_of(BIG): BIG}
    assert len(registry.requests("POST")) == 1
    assert registry.uploads == {}
    assert registry.cancelled == []


@pytest.mark.parametrize(
    "status", [200, 202, 204, 301, 400, 401, 403, 404, 405, 409, 422, 429, 500, 501, 503, "reset"]
)
def test_a_mount_that_fails_in_any_way_leads_to_an_upload(
    registry: FakeRegistry, options: RegistryOptions, writer: RegistryWriter, status: int | str
) -> None:
    def refuse(exchange: Exchange) -> None:
        if isinstance(status, int):
            exchange.answer(status, b"", **{"Retry-After": "1000"})
        else:
            exchange.drop()

    destination = neighbour(registry, options, writer)
    registry.fail("POST", "mount=", refuse)
    assert destination.try_reuse(layer_of(BIG), diff_id=None, compressions=ANY) is None
    destination.put_blob(known(BIG), media_types.OCI_LAYER_GZIP)
    assert registry.blobs["app"] == {digest_of(BIG): BIG}
    assert len(registry.requests("POST", "mount=")) == 1


def test_a_token_that_does_not_allow_a_mount_leads_to_an_upload(
    registry: FakeRegistry, options: RegistryOptions, writer: RegistryWriter
) -> None:
    def refuse_origin(handler: Handler) -> bool:
        refused = "origin" in handler.path
        if refused:
            handler.refuse(403, "DENIED")
        return refused

    destination = neighbour(registry, options, writer)
    with token_server() as tokens:
        tokens.answer = refuse_origin
        registry.authorize = tokens.authorize
        assert destination.try_reuse(layer_of(BIG), diff_id=None, compressions=ANY) is None
        destination.put_blob(known(BIG), media_types.OCI_LAYER_GZIP)
    assert registry.blobs["app"] == {digest_of(BIG): BIG}


def test_manifests_come_last_and_the_top_under_every_name(
    registry: FakeRegistry, writer: RegistryWriter
) -> None:
    child = manifest_of(config=EMPTY, layers=[])
    top = RawManifest.of(b'{"schemaVersion":2,"manifests":[]}', media_types.OCI_INDEX)
    destination = writer.destination("one", "two")
    destination.put_manifest(child)
    destination.put_manifest(top)
    assert registry.manifests == {}
    assert destination.commit() == top.descriptor
    names = [seen.path.rpartition("/")[2] for seen in registry.requests("PUT", "manifests")]
    assert names == [str(child.digest), "one", "two"]


def test_a_reference_with_a_digest_accepts_only_that_image(
    registry: FakeRegistry, writer: RegistryWriter
) -> None:
    manifest = manifest_of(config=EMPTY, layers=[])
    destination = writer.destination(str(manifest.digest))
    destination.put_manifest(manifest)
    assert destination.commit() == manifest.descriptor
    other = writer.destination(str(manifest.digest))
    other.put_manifest(manifest_of(config=EMPTY, layers=[], annotations={"a": "b"}))
    with pytest.raises(CannotModifyError):
        other.commit()
    assert list(registry.manifests["app"]) == [str(manifest.digest)]


@pytest.mark.parametrize("status", [400, 413, 415])
def test_a_rejected_manifest(registry: FakeRegistry, writer: RegistryWriter, status: int) -> None:
    registry.fail(
        "PUT", "manifests", lambda exchange: exchange.refuse(status, "MANIFEST_INVALID", "no OCI")
    )
    destination = writer.destination("latest")
    destination.put_manifest(manifest_of(config=EMPTY, layers=[]))
    with pytest.raises(ManifestRejectedError, match="MANIFEST_INVALID: no OCI"):
        destination.commit()


@pytest.mark.parametrize("api", [True, False])
def test_referrers_are_found_with_and_without_the_api(
    registry: FakeRegistry, options: RegistryOptions, writer: RegistryWriter, api: bool
) -> None:
    registry.referrers_api = api
    image = add_image(registry, "app", b"layer")
    subject = RawManifest.of(image.manifest)
    signatures = [
        manifest_of(
            artifactType=f"application/signature{number}",
            config=EMPTY,
            layers=[],
            subject=subject.descriptor.to_json(),
            annotations={"number": str(number)},
        )
        for number in range(2)
    ]
    for signature in (*signatures, signatures[0]):
        destination = writer.destination(str(signature.digest))
        destination.put_manifest(signature)
        destination.commit()
    with RegistryReader.open(f"{registry.address}/app", options) as reader:
        found = reader.source("latest").referrers().manifests
    assert [entry.digest for entry in found] == [s.digest for s in signatures]
    tag = f"sha256-{subject.digest.hex}"
    assert (tag in registry.manifests["app"]) == (not api)
    if not api:
        assert [entry.annotations["number"] for entry in found] == ["0", "1"]
        assert found[0].artifact_type == "application/signature0"


def test_an_image_without_referrers(registry: FakeRegistry, options: RegistryOptions) -> None:
    add_image(registry, "app", b"layer")
    registry.referrers_api = False
    with RegistryReader.open(f"{registry.address}/app", options) as reader:
        assert reader.source("latest").referrers().manifests == ()
