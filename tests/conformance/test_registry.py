"""A real registry: skopeo pulls our images and we pull skopeo's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tarkit import (
    AuthenticationError,
    CopyOptions,
    Credentials,
    ImageNotFoundError,
    LayerCompression,
    Location,
    RegistryOptions,
    TransportError,
    build_ext4,
    copy_image,
    inspect_image,
    open_reader,
    open_source,
    open_writer,
    save_tar,
    verify,
    write_directory,
)
from tarkit.copying.options import CopyResult
from tarkit.transports.registry.source import RegistrySource
from tarkit.transports.registry.writer import RegistryWriter
from tests.builders import Doc, Layout, make_image, named, write_files
from tests.conformance.registries import PASSWORD, USER, Authority, Registry, running
from tests.conformance.tools import Tool
from tests.transports.registry.images import big_image
from tests.transports.registry.relay import relay
from tests.transports.registry.test_artifacts import KINDS, artifact

SOURCES = [
    "docker-archive:docker-20.10-save.tar",
    "docker-archive:docker-29-ctrd-save.tar",
    "docker-archive:podman-docker-archive.tar",
    "oci-archive:buildkit-oci-zstd.tar",
    "oci:umoci-oci:two",
    "oci:skopeo-oci-uncompressed",
    "dir:skopeo-dir",
]
ME = Credentials(USER, PASSWORD)


@pytest.fixture(autouse=True)
def nobody_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove all credentials and skopeo's cache of blob locations."""
    for name in ("REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "DOCKER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture
def plain() -> Iterator[Registry]:
    with running() as server:
        yield server


@pytest.fixture(scope="module")
def secured() -> Iterator[Registry]:
    with running(password=True) as server:
        yield server


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority.make(tmp_path_factory.mktemp("ca"))
    made.sign("server", "subjectAltName=IP:127.0.0.1,DNS:localhost")
    made.sign("client", "extendedKeyUsage=clientAuth")
    return made


def at(corpus: Path, location: str) -> str:
    transport, _, rest = location.partition(":")
    return f"{transport}:{corpus / rest}"


def copy(
    source: str,
    destination: str,
    options: CopyOptions | None = None,
    registry: RegistryOptions | None = None,
) -> CopyResult:
    target = Location.parse(destination)
    with (
        open_source(source, registry=registry) as image,
        open_writer(target, registry=registry) as writer,
    ):
        names = (target.name,) if target.name else ()
        return copy_image(image, writer.destination(*names), options)


def diff_ids(location: str) -> list[str]:
    with open_source(location) as image:
        return [str(layer.diff_id) for layer in inspect_image(image).layers]


def blobs_of(layout: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (layout / "blobs" / "sha256").iterdir()}


@pytest.mark.parametrize("source", SOURCES)
def test_skopeo_pulls_our_images(
    skopeo: Tool, plain: Registry, corpus: Path, tmp_path: Path, source: str
) -> None:
    name = f"docker://{plain.address}/team/app:v1"
    result = copy(at(corpus, source), name)
    skopeo("copy", "--src-tls-verify=false", name, f"oci:{tmp_path / 'pulled'}:x")
    assert diff_ids(f"oci:{tmp_path / 'pulled'}:x") == diff_ids(at(corpus, source))
    raw = skopeo("inspect", "--tls-verify=false", "--raw", name).encode()
    assert result.descriptor.digest.matches(raw)


@pytest.mark.parametrize("source", [s for s in SOURCES if s.startswith(("docker-archive", "oci:"))])
def test_we_pull_images_of_skopeo(
    skopeo: Tool, plain: Registry, corpus: Path, tmp_path: Path, source: str
) -> None:
    name = f"docker://{plain.address}/team/app:v1"
    original = at(corpus, source)
    skopeo("copy", "--dest-tls-verify=false", original, name)
    for transport in ("oci", "docker-archive", "oci-archive", "dir"):
        copy(name, f"{transport}:{tmp_path / transport}")
        assert diff_ids(f"{transport}:{tmp_path / transport}") == diff_ids(original)


def test_files_come_straight_from_a_registry(plain: Registry, corpus: Path, tmp_path: Path) -> None:
    name, local = f"docker://{plain.address}/team/app:files", at(corpus, "oci:umoci-oci:two")
    copy(local, name)
    tars, images = [], []
    for number, source in enumerate((name, local)):
        with open_source(source) as image:
            save_tar(image, tmp_path / f"{number}.tar")
            images.append(build_ext4(image, tmp_path / f"{number}.ext4").sha256)
        tars.append((tmp_path / f"{number}.tar").read_bytes())
    assert tars[0] == tars[1]
    assert images[0] == images[1]
    with open_source(name) as image:
        write_directory(image, tmp_path / "files", rootless=True)
    assert any((tmp_path / "files").iterdir())


def test_a_whole_index_there_and_back_is_byte_for_byte_the_same(
    plain: Registry, corpus: Path, tmp_path: Path
) -> None:
    layout = corpus / "crane-oci-multiarch"
    name = f"docker://{plain.address}/multi:all"
    everything = CopyOptions(all=True)
    pushed = copy(f"oci:{layout}", name, everything)
    pulled = copy(name, f"oci:{tmp_path / 'back'}:x", everything)
    assert pushed.descriptor.digest == pulled.descriptor.digest
    assert blobs_of(tmp_path / "back") == blobs_of(layout)
    with open_source(f"{name}@{pushed.descriptor.digest}") as image:
        assert image.manifest().digest == pushed.descriptor.digest


def test_existing_blobs_are_not_sent_again(plain: Registry, corpus: Path) -> None:
    name = f"docker://{plain.address}/app:v1"
    first = copy(at(corpus, "docker-archive:docker-20.10-save.tar"), name)
    sent = len(plain.requests("PUT", "/blobs/"))
    second = copy(at(corpus, "docker-archive:docker-20.10-save.tar"), name)
    assert second.descriptor.digest == first.descriptor.digest
    assert (second.copied, second.recompressed) == (0, 0)
    assert len(plain.requests("PUT", "/blobs/")) == sent


def test_blobs_are_mounted_from_other_repositories(plain: Registry, corpus: Path) -> None:
    origin = f"docker://{plain.address}/origin:v1"
    copy(at(corpus, "oci:umoci-oci:two"), origin)
    sent = len(plain.requests("PUT", "/blobs/"))
    result = copy(origin, f"docker://{plain.address}/other/app:v1")
    assert result.copied == 0
    mounts = plain.requests("POST", "/v2/other/app/blobs/uploads/?mount=")
    mounted = {line for line in mounts if "from=origin" in line and '" 201 ' in line}
    assert len({line.partition("mount=")[2].partition("&")[0] for line in mounted}) == result.reused
    assert len(plain.requests("PUT", "/blobs/")) == sent


def test_tags_are_listed(plain: Registry, corpus: Path) -> None:
    for tag in ("v1", "v2"):
        copy(at(corpus, "oci:umoci-oci:one"), f"docker://{plain.address}/app:{tag}")
    with open_reader(Location.parse(f"docker://{plain.address}/app")) as reader:
        assert [image.names for image in reader.images()] == [
            (f"{plain.address}/app:v1",),
            (f"{plain.address}/app:v2",),
        ]


def test_an_image_is_verified_in_place(plain: Registry, corpus: Path) -> None:
    name = f"docker://{plain.address}/multi:all"
    copy(f"oci:{corpus / 'crane-oci-multiarch'}", name, CopyOptions(all=True))
    assert verify(name).findings == ()
    layer = Path(plain.log.parent / "data").rglob("data")
    largest = max(layer, key=lambda path: path.stat().st_size)
    largest.write_bytes(b"\0" + largest.read_bytes()[1:])
    assert not verify(name).ok


def test_login_with_a_password_works(
    skopeo: Tool, secured: Registry, corpus: Path, tmp_path: Path
) -> None:
    name = f"docker://{secured.address}/app:v1"
    with pytest.raises(AuthenticationError, match="tarkit login"):
        copy(at(corpus, "oci:umoci-oci:one"), name)
    wrong = RegistryOptions(credentials=Credentials(USER, "wrong", origin="the test"))
    with pytest.raises(AuthenticationError, match="the credentials are refused"):
        copy(at(corpus, "oci:umoci-oci:one"), name, registry=wrong)
    copy(at(corpus, "oci:umoci-oci:one"), name, registry=RegistryOptions(credentials=ME))
    skopeo("copy", "--src-tls-verify=false", f"--src-creds={USER}:{PASSWORD}", name,
           f"dir:{tmp_path / 'pulled'}")  # fmt: skip


def test_files_of_credentials_are_shared_with_skopeo(
    skopeo: Tool, secured: Registry, corpus: Path, tmp_path: Path
) -> None:
    ours, theirs = tmp_path / "ours.json", tmp_path / "theirs.json"
    tarkit("login", "-u", USER, "--password-stdin", "--authfile", str(ours), secured.address)
    skopeo("login", "--tls-verify=false", f"--authfile={theirs}", f"-u={USER}", f"-p={PASSWORD}",
           secured.address)  # fmt: skip
    assert json.loads(ours.read_text()) == json.loads(theirs.read_text())
    name = f"docker://{secured.address}/shared:v1"
    copy(at(corpus, "oci:umoci-oci:one"), name, registry=RegistryOptions(authfile=theirs))
    skopeo("inspect", "--tls-verify=false", f"--authfile={ours}", name)
    skopeo("logout", f"--authfile={ours}", secured.address)
    assert secured.address not in ours.read_text()


def tarkit(*arguments: str, stdin: str = PASSWORD) -> subprocess.CompletedProcess[str]:
    """Run the command line in a separate process with redirected state."""
    return subprocess.run(
        [sys.executable, "-m", "tarkit", *arguments],
        input=stdin, capture_output=True, text=True, check=False, env=dict(os.environ), timeout=60,
    )  # fmt: skip


def test_no_command_ever_prints_the_password(
    secured: Registry, corpus: Path, tmp_path: Path
) -> None:
    name = f"docker://{secured.address}/secret/app:v1"
    layout = at(corpus, "oci:umoci-oci:one")
    creds, wrong = f"--creds={USER}:{PASSWORD}", f"--creds={USER}:not-{PASSWORD}"
    runs = [
        tarkit("copy", layout, name),
        tarkit(
            "login", "-u", USER, "--password-stdin", "--debug", secured.address, stdin="wrong\n"
        ),
        tarkit("copy", "--debug", wrong, layout, name),
        tarkit("copy", creds, "--json", layout, name),
        tarkit("copy", creds, "--debug", f"docker://{secured.address}/none:x", f"oci:{tmp_path}/o"),
        tarkit("login", "-u", USER, "--password-stdin", "--debug", secured.address),
        tarkit("inspect", "--json", name),
        tarkit("list", f"docker://{secured.address}/secret/app"),
        tarkit("copy", name, f"oci:{tmp_path}/out:x"),
        tarkit("logout", secured.address),
        tarkit("inspect", "--debug", name),
    ]
    assert [run.returncode for run in runs] == [5, 5, 5, 0, 3, 0, 0, 0, 0, 0, 5]
    printed = "".join(run.stdout + run.stderr for run in runs)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    for secret in (PASSWORD, ME.basic):
        assert secret not in printed
        assert not [path for path in written if secret.encode() in path.read_bytes()]
        assert secret not in secured.log.read_text()


def test_tls_from_an_authority_of_our_own(
    skopeo: Tool, authority: Authority, corpus: Path, tmp_path: Path
) -> None:
    certs = tmp_path / "certs"
    certs.mkdir()
    (certs / "ca.crt").write_bytes((authority.directory / "ca.crt").read_bytes())
    layout = at(corpus, "oci:umoci-oci:one")
    with running(tls=authority, password=True) as registry:
        name = f"docker://{registry.address}/app:v1"
        with pytest.raises(TransportError, match=r"not trusted.*--cert-dir"):
            copy(layout, name, registry=RegistryOptions(credentials=ME))
        copy(layout, name, registry=RegistryOptions(credentials=ME, cert_dir=certs))
        skopeo("inspect", f"--cert-dir={certs}", f"--creds={USER}:{PASSWORD}", name)
        careless = RegistryOptions(credentials=ME, tls_verify=False)
        copy(name, f"oci:{tmp_path / 'out'}:x", registry=careless)
        elsewhere = name.replace("127.0.0.1", "127.0.0.2")
        with pytest.raises(TransportError):
            copy(elsewhere, f"oci:{tmp_path / 'no'}:x", registry=RegistryOptions(cert_dir=certs))


def test_a_client_certificate(authority: Authority, corpus: Path, tmp_path: Path) -> None:
    certs = tmp_path / "certs"
    certs.mkdir()
    for ours, theirs in (("ca.crt", "ca.crt"), ("me.cert", "client.crt"), ("me.key", "client.key")):
        (certs / ours).write_bytes((authority.directory / theirs).read_bytes())
    layout = at(corpus, "oci:umoci-oci:one")
    with running(tls=authority, client_certificates=True) as registry:
        name = f"docker://{registry.address}/app:v1"
        copy(layout, name, registry=RegistryOptions(cert_dir=certs))
        (certs / "me.cert").unlink()
        (certs / "me.key").unlink()
        with pytest.raises(TransportError):
            copy(layout, name, registry=RegistryOptions(cert_dir=certs))


SIZE = 40 << 20
AS_IT_IS = CopyOptions(compression=LayerCompression.PRESERVE)


def test_a_pull_cut_at_nine_tenths_costs_little_more(plain: Registry, tmp_path: Path) -> None:
    layout = big_image(tmp_path / "in", SIZE)
    copy(layout, f"docker://{plain.address}/big:v1", AS_IT_IS)
    with relay(plain.address) as line:
        line.cut_down_at = SIZE * 9 // 10
        copy(f"docker://{line.address}/big:v1", f"oci:{tmp_path / 'out'}:x", AS_IT_IS)
    assert line.cuts == 1
    assert line.down <= SIZE * 1.15
    assert blobs_of(tmp_path / "out") == blobs_of(tmp_path / "in")


def test_a_broken_push_is_repeated(plain: Registry, tmp_path: Path) -> None:
    """Debian's registry forgets an upload if the connection breaks, so it is sent again."""
    layout = big_image(tmp_path / "in", SIZE)
    with relay(plain.address) as line:
        line.cut_up_at = SIZE * 9 // 10
        copy(layout, f"docker://{line.address}/big:v1", AS_IT_IS)
    assert line.cuts == 1
    assert line.up <= SIZE * 2
    copy(f"docker://{plain.address}/big:v1", f"oci:{tmp_path / 'out'}:x", AS_IT_IS)
    assert blobs_of(tmp_path / "out") == blobs_of(tmp_path / "in")


ZSTD = CopyOptions(compression=LayerCompression.ZSTD)


@pytest.mark.parametrize("source", ["docker-archive:docker-20.10-save.tar", "oci:umoci-oci:two"])
def test_a_repeated_copy_with_zstd_sends_nothing(
    plain: Registry, corpus: Path, source: str
) -> None:
    name = f"docker://{plain.address}/app:v1"
    copy(at(corpus, source), name)
    first = copy(at(corpus, source), name, ZSTD)
    assert first.recompressed > 0
    begun = len(plain.requests("POST", "/blobs/uploads/"))
    second = copy(at(corpus, source), name, ZSTD)
    assert (second.copied, second.recompressed, second.bytes_written) == (0, 0, 0)
    assert second.descriptor == first.descriptor
    assert len(plain.requests("POST", "/blobs/uploads/")) == begun


@pytest.mark.parametrize("kind", KINDS)
def test_artifacts_there_and_back(
    skopeo: Tool, plain: Registry, tmp_path: Path, kind: Callable[[Layout], Doc]
) -> None:
    """skopeo copies the artifact that we push with the same digest."""
    layout = Layout()
    top = kind(layout)
    write_files(tmp_path / "in", layout.finish(named(top, "x")))
    everything = CopyOptions(all=True)
    one, other = (f"docker://{plain.address}/{repo}:v1" for repo in ("one", "other"))
    copy(f"oci:{tmp_path / 'in'}:x", one, everything)
    copy(one, other, everything)
    pulled = copy(other, f"oci:{tmp_path / 'out'}:x", everything)
    assert str(pulled.descriptor.digest) == top["digest"]
    assert blobs_of(tmp_path / "out") == blobs_of(tmp_path / "in")
    raw = skopeo("inspect", "--tls-verify=false", "--raw", other).encode()
    assert pulled.descriptor.digest.matches(raw)


def test_referrers_are_listed_under_a_tag(plain: Registry, tmp_path: Path) -> None:
    layout = Layout()
    image = layout.image(make_image("one"))
    fields = {"subject": image, "artifactType": "application/sig"}
    signature = artifact(layout, (b"{}", "application/vnd.oci.empty.v1+json"), **fields)
    write_files(tmp_path / "in", layout.finish(named(image, "image"), named(signature, "sig")))
    for name in ("image", "sig"):
        result = copy(f"oci:{tmp_path / 'in'}:{name}", f"docker://{plain.address}/app:{name}")
        assert result.notes == ()
    with open_source(f"docker://{plain.address}/app:image") as source:
        assert isinstance(source, RegistrySource)
        (found,) = source.referrers().manifests
    assert str(found.digest) == signature["digest"]


def test_a_missing_digest_is_not_found(plain: Registry, corpus: Path) -> None:
    name = f"docker://{plain.address}/app"
    copy(at(corpus, "oci:umoci-oci:one"), f"{name}:v1")
    with (
        open_source(f"{name}@sha256:{'a' * 64}") as source,
        pytest.raises(ImageNotFoundError),
    ):
        source.manifest()


@pytest.mark.parametrize("options", [AS_IT_IS, ZSTD])
def test_a_push_in_chunks(plain: Registry, tmp_path: Path, options: CopyOptions) -> None:
    layout = big_image(tmp_path / "in", 20 << 20)
    name = f"docker://{plain.address}/big:v1"
    with open_source(f"{layout}:x") as image, open_writer(name) as writer:
        assert isinstance(writer, RegistryWriter)
        destination = writer.destination("v1")
        destination._repository.chunk_size = 1 << 20
        pushed = copy_image(image, destination, options)
    assert len(plain.requests("PATCH", "/blobs/uploads/")) >= 20
    assert verify(name).findings == ()
    assert copy(name, f"oci:{tmp_path / 'out'}:x").descriptor == pushed.descriptor
