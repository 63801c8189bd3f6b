"""Authentication, renewal of tokens, and secrecy."""

from __future__ import annotations

import base64
import io
import json
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tarkit.errors import AuthenticationError, MalformedError, TarkitError, TransportError
from tarkit.image import media_types
from tarkit.image.descriptor import Descriptor
from tarkit.image.media_types import Compression
from tarkit.streams.verify import VerifyingReader
from tarkit.transports.registry.credentials import Credentials
from tarkit.transports.registry.login import login, logout
from tarkit.transports.registry.options import RegistryOptions
from tarkit.transports.registry.reader import RegistryReader
from tarkit.transports.registry.writer import RegistryWriter
from tests.transports.registry.conftest import add_image
from tests.transports.registry.fake_registry import Exchange, FakeRegistry, fake_registry
from tests.transports.registry.serving import Handler
from tests.transports.registry.token_server import TokenServer, basic, token_server

SECRET = "hunter2-is-secret"
ME = Credentials("me", SECRET, origin="the test")


@pytest.fixture
def tokens(registry: FakeRegistry) -> Iterator[TokenServer]:
    """A token server whose tokens the registry requires."""
    with token_server() as server:
        server.passwords["me"] = SECRET
        registry.authorize = server.authorize
        yield server


def pull(registry: FakeRegistry, options: RegistryOptions) -> bytes:
    with RegistryReader.open(f"{registry.address}/app", options) as reader:
        return reader.source("latest").manifest().data


def test_basic(registry: FakeRegistry, options: RegistryOptions) -> None:
    image = add_image(registry)
    registry.authorize = basic("me", SECRET)
    assert pull(registry, replace(options, credentials=ME)) == image.manifest
    with pytest.raises(AuthenticationError, match=r"authentication required.*tarkit login"):
        pull(registry, options)
    wrong = Credentials("me", "wrong", origin="the test")
    with pytest.raises(AuthenticationError, match=r"refused.*they are from the test"):
        pull(registry, replace(options, credentials=wrong))


def test_nothing_is_sent_to_a_registry_that_does_not_ask(
    registry: FakeRegistry, options: RegistryOptions
) -> None:
    add_image(registry)
    pull(registry, replace(options, credentials=ME))
    assert not any("Authorization" in seen.headers for seen in registry.seen)


def test_an_anonymous_token(
    registry: FakeRegistry, options: RegistryOptions, tokens: TokenServer
) -> None:
    image = add_image(registry)
    assert pull(registry, options) == image.manifest
    assert tokens.asked == [{"service": ["registry.example"], "scope": ["repository:app:pull"]}]


def test_a_token_for_a_password(
    registry: FakeRegistry, options: RegistryOptions, tokens: TokenServer
) -> None:
    tokens.allow_anonymous = False
    image = add_image(registry)
    assert pull(registry, replace(options, credentials=ME)) == image.manifest
    with pytest.raises(AuthenticationError, match="the token server refuses: UNAUTHORIZED"):
        pull(registry, options)
    with pytest.raises(AuthenticationError, match=r"refuses the credentials.*from the test"):
        pull(registry, replace(options, credentials=replace(ME, password="wrong")))
    assert SECRET not in str([seen.headers for seen in registry.seen])


def test_a_token_for_an_identity_token(
    registry: FakeRegistry, options: RegistryOptions, tokens: TokenServer
) -> None:
    tokens.refresh_tokens.add("identity")
    image = add_image(registry)
    me = Credentials(identity_token="identity")
    assert pull(registry, replace(options, credentials=me)) == image.manifest
    assert tokens.asked[0]["grant_type"] == ["refresh_token"]
    assert tokens.asked[0]["scope"] == ["repository:app:pull"]


def test_one_token_serves_all_requests_of_a_kind(
    registry: FakeRegistry, options: RegistryOptions, tokens: TokenServer
) -> None:
    image = add_image(registry, "app", b"one", b"two")
    with RegistryReader.open(f"{registry.address}/app", options) as reader:
        source = reader.source()
        for layer in image.layers:
            source.open_blob(layer).close()
    assert len(tokens.asked) == 1


def test_a_token_that_expires_during_a_copy_is_renewed(
    registry: FakeRegistry, options: RegistryOptions, tokens: TokenServer
) -> None:
    image = add_image(registry, "app", b"one", b"two")
    with RegistryReader.open(f"{registry.address}/app", options) as reader:
        source = reader.source()
        source.manifest()
        tokens.revoke_all()
        assert source.open_blob(image.layers[0]).read() == b"one"
        tokens.revoke_all()
        assert source.open_blob(image.layers[1]).read() == b"two"
    assert len(tokens.asked) == 3


def test_a_token_is_renewed_before_it_expires(
    registry: FakeRegistry,
    options: RegistryOptions,
    tokens: TokenServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add_image(registry)
    now = [1000.0]
    monkeypatch.setattr("tarkit.transports.registry.auth.time.monotonic", lambda: now[0])
    tokens.lifetime = 60
    monkeypatch.setattr(tokens, "authorize", tokens.authorize)
    with RegistryReader.open(f"{registry.address}/app", options) as reader:
        source = reader.source()
        source.manifest()
        now[0] += 49
        source.holds(source.manifest().descriptor)
        assert len(tokens.asked) == 1
        now[0] += 2
        source.holds(source.manifest().descriptor)
        assert len(tokens.asked) == 2


def test_a_token_that_expires_during_an_upload_is_renewed(
    registry: FakeRegistry, options: RegistryOptions, tokens: TokenServer
) -> None:
    data = bytes(3 << 20)

    def expired(exchange: Exchange) -> None:
        tokens.revoke_all()
        tokens.authorize(exchange)

    registry.fail_once("PUT", "uploads", expired)
    with RegistryWriter.open(f"{registry.address}/app", options) as writer:
        digest = Descriptor.of(data, "").digest
        blob = VerifyingReader(io.BytesIO(data), digest=digest, size=len(data))
        writer.destination().put_blob(blob, media_types.OCI_LAYER)
    assert registry.blobs["app"] == {str(digest): data}


def test_pushing_asks_for_more_and_mounting_for_the_neighbour(
    registry: FakeRegistry, options: RegistryOptions, tokens: TokenServer
) -> None:
    image = add_image(registry, "origin", b"layer")
    with (
        RegistryReader.open(f"{registry.address}/origin", options) as reader,
        RegistryWriter.open(f"{registry.address}/app", options) as writer,
    ):
        destination = writer.destination()
        destination.mount_from(reader.source())
        anything = frozenset(Compression)
        layer = image.layers[0]
        assert destination.try_reuse(layer, diff_id=None, compressions=anything) == layer
    scopes = [form["scope"] for form in tokens.asked]
    assert scopes == [
        ["repository:app:pull,push"],
        ["repository:app:pull,push", "repository:origin:pull"],
    ]


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"{}", "holds no token"),
        (b'{"token": "a\\r\\nX-Evil: 1"}', "holds no token"),
        (b'{"token": 5}', "not a string"),
        (b"<html>", "not JSON"),
    ],
)
def test_invalid_answers_of_a_token_server(
    registry: FakeRegistry, options: RegistryOptions, tokens: TokenServer, body: bytes, problem: str
) -> None:
    def nonsense(handler: Handler) -> bool:
        handler.answer(200, body)
        return True

    tokens.answer = nonsense
    with pytest.raises(MalformedError, match=problem):
        pull(registry, options)


def broken(tokens: TokenServer, *, status: int = 503) -> list[str]:
    """Let the token server fail. Return the list of requested paths."""
    asked: list[str] = []

    def fail(handler: Handler) -> bool:
        asked.append(handler.path)
        handler.answer(status)
        return True

    tokens.answer = fail
    return asked


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_broken_token_server_is_asked_as_often_as_a_registry(
    registry: FakeRegistry, options: RegistryOptions, tokens: TokenServer, status: int
) -> None:
    asked = broken(tokens, status=status)
    with pytest.raises(TransportError, match=str(status)):
        pull(registry, options)
    assert len(asked) == options.retry.attempts


def test_a_broken_token_server_fails_a_blob_after_as_many_attempts(
    registry: FakeRegistry, options: RegistryOptions, tokens: TokenServer
) -> None:
    image = add_image(registry, "app", b"layer")
    with RegistryReader.open(f"{registry.address}/app", options) as reader:
        source = reader.source()
        source.manifest()
        tokens.revoke_all()
        asked = broken(tokens)
        with pytest.raises(TransportError, match="503"):
            source.open_blob(image.layers[0])
    assert len(asked) == options.retry.attempts


def test_a_token_server_that_recovers(
    registry: FakeRegistry, options: RegistryOptions, tokens: TokenServer
) -> None:
    image = add_image(registry)
    failures = iter([True, True, True])

    def fail(handler: Handler) -> bool:
        failing = next(failures, False)
        if failing:
            handler.answer(503)
        return failing

    tokens.answer = fail
    assert pull(registry, options) == image.manifest


def test_threads_share_the_failures_of_a_token_server(
    registry: FakeRegistry, options: RegistryOptions, tokens: TokenServer
) -> None:
    image = add_image(registry, "app", b"layer")
    slow = replace(options.retry, attempts=2, delay=1.0, longest=2)
    with RegistryReader.open(f"{registry.address}/app", replace(options, retry=slow)) as reader:
        source = reader.source()
        source.manifest()
        tokens.revoke_all()
        asked = broken(tokens)

        def ask(_: int) -> bool:
            with pytest.raises(TransportError, match="503"):
                source.holds(image.layers[0])
            return True

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(ask, range(8)))
    assert len(asked) < 8  # two, or a few more if threads start late


def persistent(options: RegistryOptions) -> RegistryOptions:
    """Retry without pauses; a server that was given up is not asked again during the test."""
    return replace(options, retry=replace(options.retry, attempts=5, delay=0, longest=60))


@pytest.mark.parametrize("threads", [1, 8])
@pytest.mark.parametrize("status", [418, 503])
def test_an_operation_has_one_retry_budget_for_the_token_server(
    registry: FakeRegistry,
    options: RegistryOptions,
    tokens: TokenServer,
    threads: int,
    status: int,
) -> None:
    layers = [Descriptor.of(bytes([number]), media_types.OCI_LAYER) for number in range(16)]
    asked = broken(tokens, status=status)
    with (
        RegistryReader.open(f"{registry.address}/origin", options) as reader,
        RegistryWriter.open(f"{registry.address}/app", persistent(options)) as writer,
        ThreadPoolExecutor(threads) as pool,
    ):
        destination = writer.destination("v1")
        destination.mount_from(reader.source())

        def push(layer: Descriptor) -> None:
            reused = destination.try_reuse(
                layer, diff_id=layer.digest, compressions=frozenset(Compression)
            )
            assert reused is None  # optional requests: HEAD, GET of the image, a mount
            with pytest.raises(TransportError, match=str(status)):
                destination.put_blob(VerifyingReader(io.BytesIO(b"x")), layer.media_type)

        list(pool.map(push, layers))
    assert len(asked) == 5


def test_failures_for_other_scopes_do_not_block_a_token(
    registry: FakeRegistry, options: RegistryOptions, tokens: TokenServer
) -> None:
    """A token server that fails for mounts only must not end an upload whose token expires."""
    refused: list[str] = []

    def fail_mounts(handler: Handler) -> bool:
        if "origin" in handler.path:
            refused.append(handler.path)
            handler.answer(500)
        return "origin" in handler.path

    tokens.answer = fail_mounts
    layers = [Descriptor.of(bytes([number]), media_types.OCI_LAYER) for number in range(9)]
    with (
        RegistryReader.open(f"{registry.address}/origin", options) as reader,
        RegistryWriter.open(f"{registry.address}/app", persistent(options)) as writer,
    ):
        destination = writer.destination()
        destination.mount_from(reader.source())
        for layer in layers:
            destination.try_reuse(layer, diff_id=None, compressions=frozenset(Compression))
        tokens.revoke_all()
        destination.put_blob(VerifyingReader(io.BytesIO(b"layer")), media_types.OCI_LAYER)
    assert len(refused) == 5
    assert registry.blobs["app"]


def test_an_unknown_way_to_log_in(registry: FakeRegistry, options: RegistryOptions) -> None:
    challenge = {"WWW-Authenticate": "Negotiate"}
    registry.fail("GET", "manifests", lambda e: e.refuse(401, "UNAUTHORIZED", **challenge))
    with pytest.raises(AuthenticationError, match="authentication required"):
        pull(registry, options)


def test_a_realm_that_is_no_address(registry: FakeRegistry, options: RegistryOptions) -> None:
    challenge = {"WWW-Authenticate": 'Bearer realm="file:///etc/passwd"'}
    registry.fail("GET", "manifests", lambda e: e.refuse(401, "UNAUTHORIZED", **challenge))
    with pytest.raises(MalformedError, match="no token server"):
        pull(registry, options)


def test_a_redirect_to_another_host_gets_no_credentials(
    registry: FakeRegistry, options: RegistryOptions
) -> None:
    image = add_image(registry, "app", b"layer")
    registry.authorize = basic("me", SECRET)
    with fake_registry() as storage:
        storage.blobs = registry.blobs
        where = f"http://{storage.address}/v2/app/blobs/{image.layers[0].digest}?Signature=abc"
        registry.fail("GET", "blobs", lambda exchange: exchange.answer(307, b"", Location=where))
        with RegistryReader.open(
            f"{registry.address}/app", replace(options, credentials=ME)
        ) as reader:
            assert reader.source().open_blob(image.layers[0]).read() == b"layer"
        assert len(storage.seen) == 1
        assert "Authorization" not in storage.seen[0].headers


def test_a_redirect_within_the_registry_keeps_it(
    registry: FakeRegistry, options: RegistryOptions
) -> None:
    image = add_image(registry, "app", b"layer")
    registry.authorize = basic("me", SECRET)
    where = f"/v2/app/blobs/{image.layers[0].digest}?here"
    registry.fail_once("GET", "blobs", lambda exchange: exchange.answer(302, b"", Location=where))
    with RegistryReader.open(f"{registry.address}/app", replace(options, credentials=ME)) as reader:
        assert reader.source().open_blob(image.layers[0]).read() == b"layer"


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("file:///etc/passwd", "which is not HTTP"),
        ("ftp://h/x", "which is not HTTP"),
        ("", "answered 307"),
    ],
)
def test_redirects_that_are_not_followed(
    registry: FakeRegistry, options: RegistryOptions, target: str, problem: str
) -> None:
    headers = {"Location": target} if target else {}
    registry.fail("GET", "manifests", lambda exchange: exchange.answer(307, b"", **headers))
    with pytest.raises(TransportError, match=problem):
        pull(registry, options)


def test_redirects_that_do_not_end(registry: FakeRegistry, options: RegistryOptions) -> None:
    registry.fail(
        "GET",
        "manifests",
        lambda exchange: exchange.answer(302, b"", Location="/v2/app/manifests/x"),
    )
    with pytest.raises(TransportError, match="redirected more than 5 times"):
        pull(registry, options)
    assert len(registry.requests("GET", "manifests")) == 5


def test_uploads_to_another_host_get_no_credentials(
    registry: FakeRegistry, options: RegistryOptions
) -> None:
    registry.authorize = basic("me", SECRET)
    with fake_registry() as storage:
        storage.uploads["elsewhere"] = bytearray()
        where = f"http://{storage.address}/v2/app/blobs/uploads/elsewhere"
        registry.fail("POST", "uploads", lambda exchange: exchange.answer(202, b"", Location=where))
        with RegistryWriter.open(
            f"{registry.address}/app", replace(options, credentials=ME)
        ) as writer:
            blob = VerifyingReader(io.BytesIO(b"layer"))
            writer.destination().put_blob(blob, media_types.OCI_LAYER)
        assert storage.blobs["app"]
        assert not any("Authorization" in seen.headers for seen in storage.seen)


def test_secrets_that_the_registry_echoes_are_masked(
    registry: FakeRegistry, options: RegistryOptions, capfd: pytest.CaptureFixture[str]
) -> None:
    pair = base64.b64encode(f"me:{SECRET}".encode()).decode()

    def echo(exchange: Exchange) -> None:
        sent = exchange.headers.get("Authorization")
        if sent is None:
            exchange.refuse(401, "UNAUTHORIZED", **{"WWW-Authenticate": "Basic"})
        else:
            exchange.refuse(418, "TEAPOT", f"you said {sent} and {SECRET}\n\x1b[31m")

    registry.fail("GET", "manifests", echo)
    with pytest.raises(TarkitError, match="TEAPOT") as caught:
        pull(registry, replace(options, credentials=ME))
    shown = "".join(traceback.format_exception(caught.value)) + "".join(capfd.readouterr())
    assert SECRET not in shown
    assert pair not in shown
    assert "***" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert "\x1b" not in str(caught.value)


def test_login_stores_accepted_credentials(
    registry: FakeRegistry, options: RegistryOptions, tmp_path: Path
) -> None:
    registry.authorize = basic("me", SECRET)
    image = add_image(registry)
    path = tmp_path / "run" / "auth.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"auths": {"other.example": {"auth": "eDp5"}}, "HttpHeaders": {}}))
    path.chmod(0o644)
    asked = replace(options, authfile=path)
    assert login(registry.address, ME, asked) == str(path)
    assert path.stat().st_mode & 0o777 == 0o600
    document = json.loads(path.read_text())
    assert set(document["auths"]) == {"other.example", registry.address}
    assert "HttpHeaders" in document
    assert pull(registry, asked) == image.manifest
    assert logout(registry.address, path) == str(path)
    assert set(json.loads(path.read_text())["auths"]) == {"other.example"}
    assert [entry.name for entry in path.parent.iterdir()] == ["auth.json"]


def test_login_stores_no_refused_credentials(
    registry: FakeRegistry, options: RegistryOptions, tmp_path: Path
) -> None:
    registry.authorize = basic("me", "another")
    path = tmp_path / "auth.json"
    with pytest.raises(AuthenticationError):
        login(registry.address, ME, replace(options, authfile=path))
    assert not path.exists()


def test_login_creates_the_default_file_of_containers(
    registry: FakeRegistry,
    options: RegistryOptions,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    path = login(registry.address, Credentials(identity_token="tok"), options)
    assert path == str(tmp_path / "run" / "containers" / "auth.json")
    entry = json.loads(Path(path).read_text())["auths"][registry.address]
    assert entry["identitytoken"] == "tok"
