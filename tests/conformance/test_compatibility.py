"""Every form that tarkit writes, read by every tool, and the reverse; the results are in docs/compatibility.md.

If ``TARKIT_COMPATIBILITY`` names a file, each result is appended to it as a line of JSON, which
``python -m tests.conformance.compatibility`` turns into the page.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tarkit import (
    CopyOptions,
    DockerFormat,
    LayerCompression,
    Location,
    build_ext4,
    copy_image,
    inspect_image,
    open_source,
    open_writer,
    save_tar,
    verify,
    write_erofs,
    write_squashfs,
)
from tests.conformance import consumers
from tests.conformance.consumers import (
    NAME,
    Buildah,
    Consumer,
    Containerd,
    Docker,
    Podman,
    Skopeo,
    Umoci,
)
from tests.conformance.tools import find_tool, unavailable

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs containers here")

Producer = Callable[[Consumer, str, Path], str]
"""Makes an image with a tool out of the archive at a Location, in a directory; returns its Location."""

GREETING = "Hello from a very small image.\n"


@dataclass(frozen=True, slots=True)
class Form:
    """A form in which tarkit writes an image; ``template`` is a Location without its path."""

    template: str
    compression: LayerCompression = LayerCompression.AUTO
    docker_format: DockerFormat = DockerFormat.DUAL


FORMS = {
    "docker-archive": Form(f"docker-archive:{{}}:{NAME}"),
    "docker-archive, classic": Form(
        f"docker-archive:{{}}:{NAME}", docker_format=DockerFormat.CLASSIC
    ),
    "docker-archive, gzip": Form(f"docker-archive:{{}}:{NAME}", LayerCompression.GZIP),
    "docker-archive, zstd": Form(f"docker-archive:{{}}:{NAME}", LayerCompression.ZSTD),
    "oci-archive": Form(f"oci-archive:{{}}:{NAME}", LayerCompression.GZIP),
    "oci-archive, zstd": Form(f"oci-archive:{{}}:{NAME}", LayerCompression.ZSTD),
    "oci": Form("oci:{}:1", LayerCompression.GZIP),
    "oci, zstd": Form("oci:{}:1", LayerCompression.ZSTD),
    "dir": Form("dir:{}"),
}
ARCHIVES = [form for form in FORMS if "archive" in form]
TOOLS: dict[str, tuple[Callable[[], AbstractContextManager[Consumer]], list[str]]] = {
    "docker, classic store": (consumers.docker_classic, ARCHIVES),
    "docker, containerd store": (consumers.docker_containerd, ARCHIVES),
    "ctr": (consumers.containerd, ARCHIVES),
    "podman": (consumers.podman, list(FORMS)),
    "buildah": (consumers.buildah, list(FORMS)),
    "skopeo": (consumers.skopeo, list(FORMS)),
    "umoci": (consumers.umoci, ["oci", "oci, zstd"]),
}


@dataclass(frozen=True, slots=True)
class Limit:
    """A form that a tool refuses, in all versions or in versions before ``fixed``."""

    reason: str
    fixed: tuple[int, ...] = (10**6,)

    def holds(self, version: str) -> bool:
        """Return whether *version* of the tool has the limit."""
        return tuple(int(part) for part in re.findall(r"\d+", version)) < self.fixed


_NO_MANIFEST_JSON = Limit("reads manifest.json only")
# These pairs must fail, so that the list stays correct.
LIMITS = {
    ("docker, classic store", "oci-archive"): _NO_MANIFEST_JSON,
    ("docker, classic store", "oci-archive, zstd"): _NO_MANIFEST_JSON,
    ("docker, classic store", "docker-archive, zstd"): Limit("cannot read zstd", (23,)),
    ("umoci", "oci, zstd"): Limit("cannot read zstd", (0, 6)),
}
# These tools derive a new manifest from manifest.json.
NEW_MANIFEST = {
    *(("skopeo", form) for form in FORMS if form.startswith("docker-archive")),
    ("podman", "docker-archive, classic"),
}


@dataclass(frozen=True, slots=True)
class Results:
    """Append results to a file, if there is one."""

    path: Path | None

    def add(self, table: str, row: str, column: str, result: str) -> None:
        """Record the *result* of one cell."""
        if self.path:
            line = json.dumps({"table": table, "row": row, "column": column, "result": result})
            with self.path.open("a") as file:
                file.write(f"{line}\n")


@pytest.fixture(scope="session")
def results() -> Results:
    path = os.environ.get("TARKIT_COMPATIBILITY")
    return Results(Path(path) if path else None)


@pytest.fixture(scope="session")
def tools(results: Results) -> Iterator[Callable[[str], Consumer]]:
    """Start each tool when it is first needed, and record its version."""
    running: dict[str, Consumer] = {}
    with ExitStack() as stack:

        def get(name: str) -> Consumer:
            if name not in running:
                running[name] = stack.enter_context(TOOLS[name][0]())
                results.add("versions", name, "version", running[name].version())
            return running[name]

        yield get


@dataclass(frozen=True, slots=True)
class Facts:
    """The digests of an image as tarkit reads it."""

    config: str
    manifest: str
    diff_ids: tuple[str, ...]


def facts(location: str) -> Facts:
    with open_source(location) as image:
        info = inspect_image(image)
    assert info.config is not None
    ids = tuple(str(layer.diff_id) for layer in info.layers)
    return Facts(str(info.config.digest), str(info.descriptor.digest), ids)


def copy(source: str, destination: str, form: Form | None = None) -> None:
    form = form or Form("")
    location = Location.parse(destination)
    options = CopyOptions(compression=form.compression)
    with (
        open_source(source) as image,
        open_writer(location, docker_format=form.docker_format) as writer,
    ):
        names = (location.name,) if location.name else ()
        copy_image(image, writer.destination(*names), options)


@pytest.fixture
def hello(fixtures: Path) -> str:
    return f"docker-archive:{fixtures / 'hello.tar'}"


@pytest.mark.parametrize(
    ("tool", "form"), [(tool, form) for tool, (_, forms) in TOOLS.items() for form in forms]
)
def test_a_tool_loads_the_form(
    tools: Callable[[str], Consumer],
    results: Results,
    hello: str,
    tmp_path: Path,
    tool: str,
    form: str,
) -> None:
    consumer = tools(tool)
    written = FORMS[form].template.format(tmp_path / "image")
    copy(hello, written, FORMS[form])
    limit = LIMITS.get((tool, form))
    if limit and limit.holds(consumer.version()):
        with pytest.raises(pytest.fail.Exception):
            consumer.load(written)
        results.add("forms", form, tool, f"no: {limit.reason}")
        return
    loaded, expected = consumer.load(written), facts(written)
    agreed = ["loads"]
    if loaded.name is not None and form in ARCHIVES:
        assert loaded.name == NAME
        agreed.append("name")
    if loaded.config is not None:
        assert loaded.config == expected.config
        agreed.append("config")
    if loaded.manifest is not None and (tool, form) not in NEW_MANIFEST:
        assert loaded.manifest == expected.manifest
        agreed.append("manifest")
    if loaded.output is not None:
        assert loaded.output == GREETING
        agreed.append("runs")
    results.add("forms", form, tool, ", ".join(agreed))


def _docker_save(tool: Consumer, hello: str, directory: Path) -> str:
    assert isinstance(tool, Docker)
    tool.docker("load", "--input", consumers.path_of(hello))
    tool.docker("save", "--output", directory / "saved.tar", "hello:latest")
    tool.docker("rmi", "--force", "hello:latest")
    return f"docker-archive:{directory / 'saved.tar'}"


def _ctr_export(tool: Consumer, hello: str, directory: Path) -> str:
    assert isinstance(tool, Containerd)
    tool.ctr("images", "import", "--snapshotter", "native", consumers.path_of(hello))
    name = tool.ctr("images", "list", "--quiet").split()[0]
    tool.ctr("images", "export", directory / "exported.tar", name)
    tool.ctr("images", "remove", "--sync", name)
    return f"docker-archive:{directory / 'exported.tar'}"


def _podman_save(format: str, transport: str) -> Producer:
    def produce(tool: Consumer, hello: str, directory: Path) -> str:
        assert isinstance(tool, Podman)
        tool.podman("load", "--input", consumers.path_of(hello))
        tool.podman("save", "--format", format, "--output", directory / "saved", "hello:latest")
        tool.podman("rmi", "--force", "hello:latest")
        return f"{transport}:{directory / 'saved'}"

    return produce


def _buildah_push(transport: str) -> Producer:
    def produce(tool: Consumer, hello: str, directory: Path) -> str:
        assert isinstance(tool, Buildah)
        image = tool.buildah("pull", "--quiet", hello).split()[-1]
        written = f"{transport}:{directory / 'pushed'}"
        tool.buildah("push", image, f"{written}:{NAME}" if "archive" in transport else written)
        tool.buildah("rmi", "--force", image)
        return written

    return produce


def _skopeo_copy(transport: str) -> Producer:
    def produce(tool: Consumer, hello: str, directory: Path) -> str:
        assert isinstance(tool, Skopeo)
        written = f"{transport}:{directory / 'copied'}"
        tool.skopeo("copy", hello, f"{written}:{NAME}" if "archive" in transport else written)
        return written

    return produce


def _umoci_repack(tool: Consumer, hello: str, directory: Path) -> str:
    assert isinstance(tool, Umoci)
    layout, bundle = directory / "layout", directory / "bundle"
    copy(hello, f"oci:{layout}:1", FORMS["oci"])
    tool.umoci("unpack", "--image", f"{layout}:1", bundle)
    (bundle / "rootfs/new").write_text("one more layer\n")
    tool.umoci("repack", "--image", f"{layout}:1", bundle)
    return f"oci:{layout}:1"


def _buildx(type: str, transport: str) -> Producer:
    def produce(tool: Consumer, hello: str, directory: Path) -> str:
        assert isinstance(tool, Docker)
        if tool.docker.attempt("buildx", "version").returncode:
            unavailable("docker buildx is not installed")
        context = directory / "context"
        context.mkdir()
        (context / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
        written = directory / "built.tar"
        tool.docker("buildx", "build", f"--output=type={type},dest={written},name={NAME}", context)
        return f"{transport}:{written}"

    return produce


PRODUCERS: dict[str, tuple[str, Producer]] = {
    "docker save, classic store": ("docker, classic store", _docker_save),
    "docker save, containerd store": ("docker, containerd store", _docker_save),
    "docker buildx build, type=docker": (
        "docker, containerd store",
        _buildx("docker", "docker-archive"),
    ),
    "docker buildx build, type=oci": ("docker, containerd store", _buildx("oci", "oci-archive")),
    "ctr images export": ("ctr", _ctr_export),
    "podman save, docker-archive": ("podman", _podman_save("docker-archive", "docker-archive")),
    "podman save, oci-archive": ("podman", _podman_save("oci-archive", "oci-archive")),
    "podman save, oci-dir": ("podman", _podman_save("oci-dir", "oci")),
    "podman save, docker-dir": ("podman", _podman_save("docker-dir", "dir")),
    **{
        f"{tool}, {transport}": (tool.split()[0], make(transport))
        for tool, make in (("buildah push", _buildah_push), ("skopeo copy", _skopeo_copy))
        for transport in ("docker-archive", "oci-archive", "oci", "dir")
    },
    "umoci repack, oci": ("umoci", _umoci_repack),
}
OTHER_IMAGES = ("umoci repack, oci", "docker buildx")  # these add or create layers


@pytest.mark.parametrize("producer", PRODUCERS)
def test_tarkit_reads_a_producers_output(
    tools: Callable[[str], Consumer],
    results: Results,
    hello: str,
    tmp_path: Path,
    producer: str,
) -> None:
    tool, produce = PRODUCERS[producer]
    written = produce(tools(tool), hello, tmp_path)
    report = verify(written)
    assert report.ok, report.findings
    copy(written, f"oci:{tmp_path / 'ours'}:1")
    assert facts(f"oci:{tmp_path / 'ours'}:1").diff_ids == facts(written).diff_ids
    if not producer.startswith(OTHER_IMAGES):
        assert facts(written).diff_ids == facts(hello).diff_ids
    with open_source(written) as image:
        build_ext4(image, tmp_path / "image.ext4")
    find_tool("e2fsck")("-f", "-n", tmp_path / "image.ext4")
    results.add("producers", producer, "result", "read, verified, copied, ext4")


REGISTRY_CLIENTS = ["docker, classic store", "docker, containerd store", "podman"]


@pytest.mark.parametrize("tool", REGISTRY_CLIENTS)
def test_a_registry_stands_between(
    tools: Callable[[str], Consumer],
    results: Results,
    registry: str,
    hello: str,
    tmp_path: Path,
    tool: str,
) -> None:
    client = tools(tool)
    assert isinstance(client, Docker | Podman)
    ours = f"{registry}/ours:{TOOLS[tool][0].__name__}"
    copy(hello, f"docker://{ours}")
    pulled, expected = client.pull(ours), facts(f"docker://{ours}")
    assert pulled.output == GREETING
    assert pulled.config in (expected.config, None)
    assert pulled.manifest in (expected.manifest, None)
    theirs = f"{registry}/theirs:{TOOLS[tool][0].__name__}"
    client.push(hello, theirs)
    assert verify(f"docker://{theirs}").ok
    assert facts(f"docker://{theirs}").diff_ids == facts(hello).diff_ids
    results.add("registry", tool, "result", "pulls from tarkit, pushes to tarkit")


def test_files_come_out_as_other_tools_read_them(
    results: Results, hello: str, tmp_path: Path
) -> None:
    with open_source(hello) as image:
        save_tar(image, tmp_path / "rootfs.tar")
        build_ext4(image, tmp_path / "rootfs.ext4")
        write_squashfs(image, tmp_path / "rootfs.sqfs")
        write_erofs(image, tmp_path / "rootfs.erofs")
    with tarfile.open(tmp_path / "rootfs.tar") as archive:
        names = sorted(name.removeprefix("./") for name in archive.getnames() if name != ".")
    assert "bin/hello" in names
    results.add("files", "tar", "result", "read by Python's tarfile")
    mount, umount = find_tool("mount"), find_tool("umount")
    for kind in ("ext4", "sqfs", "erofs"):
        place = tmp_path / kind
        place.mkdir()
        mount("-o", "ro,loop", tmp_path / f"rootfs.{kind}", place)
        try:
            found = sorted(str(path.relative_to(place)) for path in place.rglob("*"))
            output = subprocess.check_output(["chroot", place, "/bin/hello"], text=True)
        finally:
            umount(place)
        assert [name for name in found if name != "lost+found"] == names
        assert output == GREETING
        results.add("files", kind, "result", "mounted, same files, runs")


def test_docker_imports_the_rootfs(
    tools: Callable[[str], Consumer], results: Results, hello: str, tmp_path: Path
) -> None:
    docker = tools("docker, classic store")
    assert isinstance(docker, Docker)
    with open_source(hello) as image:
        save_tar(image, tmp_path / "rootfs.tar")
    docker.docker("import", "--change", 'CMD ["/bin/hello"]', tmp_path / "rootfs.tar", NAME)
    assert docker.inspect_and_forget(NAME).output == GREETING
    results.add("files", "docker import", "result", "imported, runs")


def test_squashfs_tools_ng_reads_squashfs(results: Results, hello: str, tmp_path: Path) -> None:
    with open_source(hello) as image:
        write_squashfs(image, tmp_path / "rootfs.sqfs")
    listing = find_tool("rdsquashfs")("-d", tmp_path / "rootfs.sqfs")
    assert "file bin/hello 0755 0 0\n" in listing
    results.add("files", "rdsquashfs", "result", "listed")


@pytest.mark.parametrize("docker_format", DockerFormat)
def test_several_images_in_one_archive(
    tools: Callable[[str], Consumer],
    results: Results,
    corpus: Path,
    tmp_path: Path,
    docker_format: DockerFormat,
) -> None:
    archive = tmp_path / "both.tar"
    source = corpus / "docker-20.10-save-multi.tar"
    with open_writer(
        Location.parse(f"docker-archive:{archive}"), docker_format=docker_format
    ) as writer:
        for tag in ("one", "two"):
            with open_source(f"docker-archive:{source}:corpus/alpha:{tag}") as image:
                copy_image(image, writer.destination(f"example.org/x:{tag}"))
    names = [f"example.org/x:{tag}" for tag in ("one", "two")]
    docker, podman = tools("docker, classic store"), tools("podman")
    assert isinstance(docker, Docker)
    assert isinstance(podman, Podman)
    for label, tool in (("docker, classic store", docker.docker), ("podman", podman.podman)):
        tool("load", "--input", archive)
        for name in names:
            tool("image", "inspect", name)
        tool("rmi", "--force", *names)
        results.add("several images", f"docker-archive, {docker_format.value}", label, "loads all")


def test_podman_takes_one_image_from_an_oci_archive(
    tools: Callable[[str], Consumer], results: Results, corpus: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "both.tar"
    with open_writer(Location.parse(f"oci-archive:{archive}")) as writer:
        for tag in ("one", "two"):
            with open_source(f"oci:{corpus / 'umoci-oci'}:{tag}") as image:
                copy_image(image, writer.destination(tag))
    podman = tools("podman")
    assert isinstance(podman, Podman)
    refusal = podman.podman.attempt("load", "--input", archive)
    assert "more than one image" in refusal.stderr
    podman.podman("pull", f"oci-archive:{archive}:two")
    results.add("several images", "oci-archive", "podman", "podman pull takes one; no podman load")


def test_umoci_refuses_a_tag_that_two_images_have(
    tools: Callable[[str], Consumer], results: Results, corpus: Path, tmp_path: Path
) -> None:
    layout = tmp_path / "layout"
    for tag in ("one", "two"):
        copy(f"oci:{corpus / 'umoci-oci'}:{tag}", f"oci:{layout}:{tag}")
    index = json.loads((layout / "index.json").read_text())
    for entry in index["manifests"]:
        entry["annotations"]["org.opencontainers.image.ref.name"] = "same"
    (layout / "index.json").write_text(json.dumps(index))
    umoci = tools("umoci")
    assert isinstance(umoci, Umoci)
    refusal = umoci.umoci.attempt("stat", "--image", f"{layout}:same")
    assert refusal.returncode
    assert "ambiguous" in refusal.stderr
    results.add("several images", "oci, one tag twice", "umoci", "no: ambiguous")
