"""The store: one artifact for the same inputs, even if many processes build it at once."""

from __future__ import annotations

import multiprocessing
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import patch

import pytest

from tarkit.artifacts import roots
from tarkit.artifacts.artifact import IMAGE, RECORD, Artifact
from tarkit.artifacts.build import build_layers
from tarkit.artifacts.roots import default_root
from tarkit.artifacts.store import ArtifactStore, _locked
from tarkit.errors import (
    LockedError,
    MalformedError,
    PathNotFoundError,
    RefusedError,
    SizeMismatchError,
    TarkitError,
    UnsafePathError,
    VerificationError,
)
from tarkit.ext4 import Ext4Options
from tarkit.image.digest import Digest
from tarkit.rootfs.overlay.overlay import Overlay
from tarkit.streams.atomic import Output
from tarkit.streams.directory import Directory
from tests.artifacts.images import every_form, image, layout
from tests.builders import listing, squeeze
from tests.rootfs.layers import file

SMALL = Ext4Options(profile="ro", free=0, align=4096)

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX")


@pytest.fixture
def artifacts(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore.open(tmp_path / "store")


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Record every build."""
    done: list[Path] = []

    def counted(layers: object, output: Output, *more: object) -> object:
        done.append(output.path)
        return build_layers(layers, output, *more)  # type: ignore[arg-type]

    monkeypatch.setattr("tarkit.artifacts.store.build_layers", counted)
    return done


def visible(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if not path.name.startswith(".locks"))


def test_an_artifact_is_built_once_for_every_form_of_an_image(
    artifacts: ArtifactStore, builds: list[Path], tmp_path: Path
) -> None:
    made = [artifacts.build_ext4(form, SMALL) for form in every_form(tmp_path, image()).values()]
    assert len(builds) == 1
    assert set(made) == {made[0]}
    assert made[0].id == made[0].inputs.hex
    assert made[0].sha256 == Digest.of(made[0].path.read_bytes())
    assert visible(artifacts.root) == [made[0].id]


def test_other_options_and_overlays_give_other_artifacts(
    artifacts: ArtifactStore, builds: list[Path], tmp_path: Path
) -> None:
    source = layout(tmp_path / "layout", image())
    (tmp_path / "motd").write_text("one")
    overlay = Overlay().add(tmp_path / "motd", "/etc/motd")
    made = [
        artifacts.build_ext4(source, SMALL),
        artifacts.build_ext4(source, Ext4Options(profile="ro")),
        artifacts.build_ext4(source, SMALL, overlay=overlay),
        artifacts.build_ext4(source, SMALL, overlay=Overlay().edit("/old", bytes.upper)),
        artifacts.build_ext4(source, SMALL, overlay=Overlay().edit("/old", bytes.lower)),
    ]
    (tmp_path / "motd").write_text("two")
    made.append(artifacts.build_ext4(source, SMALL, overlay=overlay))
    assert len({each.id for each in made}) == len(builds) == 6


@pytest.mark.parametrize("damage", ["image", "length", "record", "lost image", "lost record"])
def test_a_damaged_artifact_is_built_again(
    artifacts: ArtifactStore, builds: list[Path], tmp_path: Path, damage: str
) -> None:
    source = layout(tmp_path / "layout", image())
    first = artifacts.build_ext4(source, SMALL)
    match damage:
        case "image":
            with first.path.open("r+b") as stream:
                stream.seek(4_096)
                stream.write(b"!")
        case "length":
            os.truncate(first.path, first.size + 1)
        case "record":
            first.path.with_name(RECORD).write_text("{")
        case "lost image":
            first.path.unlink()
        case _:
            first.path.with_name(RECORD).unlink()
    with pytest.raises((VerificationError, PathNotFoundError)):
        artifacts.get(first.id)
    assert artifacts.build_ext4(source, SMALL) == first
    assert artifacts.get(first.id) == first
    assert len(builds) == 2
    assert visible(artifacts.root) == [first.id]


def test_an_artifact_may_have_a_given_id(
    artifacts: ArtifactStore, builds: list[Path], tmp_path: Path
) -> None:
    source, other = layout(tmp_path / "a", image()), layout(tmp_path / "b", image([[file("x")]]))
    first = artifacts.build_ext4(source, SMALL, artifact_id="web-1.0_a")
    assert first.path == artifacts.root / "web-1.0_a" / IMAGE
    assert artifacts.build_ext4(source, SMALL, artifact_id="web-1.0_a") == first
    second = artifacts.build_ext4(other, SMALL, artifact_id="web-1.0_a")
    assert second.inputs != first.inputs
    assert artifacts.get("web-1.0_a") == second
    assert len(builds) == 2
    assert visible(artifacts.root) == ["web-1.0_a"]


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".x", "-x", "_x", "a/b", "a..b", "../x", "a\n", "ä", "a b", "x" * 129]
)
def test_an_id_cannot_leave_the_store(artifacts: ArtifactStore, tmp_path: Path, name: str) -> None:
    source = layout(tmp_path / "layout", image())
    with pytest.raises(UnsafePathError, match="cannot be the id"):
        artifacts.build_ext4(source, SMALL, artifact_id=name)
    with pytest.raises(UnsafePathError):
        artifacts.get(name)
    with pytest.raises(UnsafePathError):
        artifacts.remove(name)
    assert visible(artifacts.root) == []


def test_the_longest_id_is_valid(artifacts: ArtifactStore, tmp_path: Path) -> None:
    source = layout(tmp_path / "layout", image())
    assert artifacts.build_ext4(source, SMALL, artifact_id="x" * 128).id == "x" * 128


def test_a_build_that_fails_leaves_nothing(artifacts: ArtifactStore, tmp_path: Path) -> None:
    source = layout(tmp_path / "layout", image(), lambda data: squeeze(data)[:-9])
    with pytest.raises(TarkitError):
        artifacts.build_ext4(source, SMALL)
    assert visible(artifacts.root) == []


def build_in_a_process(root: Path, source: str, results: multiprocessing.Queue[object]) -> None:
    made: list[Path] = []

    def slow(layers: object, output: Output, *more: object) -> object:
        made.append(output.path)
        time.sleep(0.3)
        return build_layers(layers, output, *more)  # type: ignore[arg-type]

    with patch("tarkit.artifacts.store.build_layers", slow):
        artifact = ArtifactStore.open(root).build_ext4(source, SMALL)
    results.put((len(made), str(artifact.sha256)))


def test_processes_share_one_build(artifacts: ArtifactStore, tmp_path: Path) -> None:
    source = layout(tmp_path / "layout", image())
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[tuple[int, str]] = context.Queue()
    arguments = (artifacts.root, source, results)
    workers = [context.Process(target=build_in_a_process, args=arguments) for _ in range(4)]
    for worker in workers:
        worker.start()
    outcomes = [results.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join(60)
    assert sorted(count for count, _ in outcomes) == [0, 0, 0, 1]
    assert len({digest for _, digest in outcomes}) == 1
    assert listing(artifacts.root / ".locks") == []


def test_a_killed_builder_leaves_neither_a_lock_nor_an_artifact(
    artifacts: ArtifactStore, tmp_path: Path
) -> None:
    source = layout(tmp_path / "layout", image())
    code = f"""
import time
from pathlib import Path
from tarkit.artifacts import store
from tarkit.ext4 import Ext4Options, Ext4Writer
def finish(self, root, on_settled):
    print("writing", flush=True)
    time.sleep(60)
Ext4Writer.finish = finish
options = Ext4Options(profile="ro", free=0, align=4096)
store.ArtifactStore.open(Path({str(artifacts.root)!r})).build_ext4({source!r}, options)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"writing\n"
        process.send_signal(signal.SIGKILL)
    assert artifacts.artifacts() == []
    made = artifacts.build_ext4(source, SMALL)
    assert visible(artifacts.root) == [made.id]


def three(artifacts: ArtifactStore, tmp_path: Path) -> list[Artifact]:
    """Build three artifacts, last used 30, 20 and 10 seconds ago."""
    made = []
    for number in range(3):
        source = layout(tmp_path / str(number), image([[file("n", b"%d" % number * 40_000)]]))
        artifact = artifacts.build_ext4(source, SMALL, artifact_id=f"n{number}")
        used = time.time() - 10 * (3 - number)
        os.utime(artifact.path.with_name(RECORD), (used, used))
        made.append(artifact)
    return made


def test_the_artifacts_used_last_come_first(artifacts: ArtifactStore, tmp_path: Path) -> None:
    made = three(artifacts, tmp_path)
    assert artifacts.artifacts() == made[::-1]
    artifacts.build_ext4(
        layout(tmp_path / "again", image([[file("n", b"0" * 40_000)]])), SMALL, artifact_id="n0"
    )
    assert [each.id for each in artifacts.artifacts()] == ["n0", "n2", "n1"]


def test_gc_removes_by_count_age_and_size(artifacts: ArtifactStore, tmp_path: Path) -> None:
    three(artifacts, tmp_path)
    assert artifacts.gc() == []
    assert artifacts.gc(keep=2) == ["n0"]
    assert artifacts.gc(older_than=15) == ["n1"]
    assert artifacts.gc(limit=1 << 40) == []
    assert artifacts.gc(limit=0) == ["n2"]
    assert visible(artifacts.root) == []


def test_returning_an_artifact_updates_its_last_use(
    artifacts: ArtifactStore, tmp_path: Path
) -> None:
    three(artifacts, tmp_path)
    artifacts.get("n0")
    assert sorted(artifacts.gc(keep=1)) == ["n1", "n2"]


def test_gc_removes_remains_of_a_killed_builder(artifacts: ArtifactStore) -> None:
    (artifacts.root / ".tarkit-staging-0123").mkdir()
    (artifacts.root / ".locks" / "abc").mkdir(parents=True)
    assert artifacts.gc(keep=9) == []
    assert listing(artifacts.root / ".locks") == []
    (artifacts.root / ".locks" / "link").symlink_to("nowhere")
    assert artifacts.gc(keep=9) == []
    assert list(artifacts.root.glob(".tarkit-*")) == []


def test_gc_counts_allocated_bytes(artifacts: ArtifactStore, tmp_path: Path) -> None:
    made = three(artifacts, tmp_path)
    two = sum(each.path.stat().st_blocks * 512 for each in made[1:])
    assert artifacts.gc(limit=two) == ["n0"]


def test_gc_removes_the_least_recently_used_of_any_size(
    artifacts: ArtifactStore, tmp_path: Path
) -> None:
    made = three(artifacts, tmp_path)
    with made[1].path.open("ab") as large:
        large.write(bytes(1 << 20))
    newest = made[2].path.stat().st_blocks * 512
    assert sorted(artifacts.gc(limit=newest + (1 << 19))) == ["n0", "n1"]


def test_gc_keeps_other_files(artifacts: ArtifactStore, tmp_path: Path) -> None:
    three(artifacts, tmp_path)
    (artifacts.root / "lost+found").mkdir()
    (artifacts.root / "Documents").mkdir()
    (artifacts.root / "Documents" / "letter").write_text("mine")
    assert sorted(artifacts.gc(keep=0)) == ["n0", "n1", "n2"]
    assert visible(artifacts.root) == ["Documents", "lost+found"]


def test_gc_removes_damaged_artifacts_and_keeps_those_being_built(
    artifacts: ArtifactStore, tmp_path: Path
) -> None:
    three(artifacts, tmp_path)
    (artifacts.root / "n2" / RECORD).write_text("[]")
    with Directory.open(artifacts.root) as root, _locked(root, "n1", timeout=0):
        with pytest.raises(LockedError):
            artifacts.remove("n1")
        assert sorted(artifacts.gc(keep=0)) == ["n0", "n2"]
    assert artifacts.gc(keep=0) == ["n1"]


def test_an_artifact_can_be_removed_while_it_is_read(
    artifacts: ArtifactStore, tmp_path: Path
) -> None:
    artifact = artifacts.build_ext4(layout(tmp_path / "layout", image()), SMALL)
    with artifact.path.open("rb") as stream:
        artifacts.remove(artifact.id)
        assert len(stream.read()) == artifact.size
    with pytest.raises(PathNotFoundError):
        artifacts.get(artifact.id)
    with pytest.raises(PathNotFoundError):
        artifacts.remove(artifact.id)


def test_invalid_records_are_refused(tmp_path: Path) -> None:
    directory = tmp_path / "a"
    directory.mkdir()
    for text in ("", "[]", "{}", '{"sha256": "sha256:00", "size": 1}', '{"size": -1}'):
        (directory / RECORD).write_text(text)
        with pytest.raises(MalformedError):
            Artifact.read(directory)


def test_a_wrong_size_is_found_without_reading_the_image(
    artifacts: ArtifactStore, tmp_path: Path
) -> None:
    artifact = artifacts.build_ext4(layout(tmp_path / "layout", image()), SMALL)
    os.truncate(artifact.path, 100)
    with pytest.raises(SizeMismatchError):
        artifact.verify()


def test_the_environment_names_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TARKIT_STORE", str(tmp_path / "named"))
    assert ArtifactStore.open().root == tmp_path / "named" / "artifacts"
    monkeypatch.delenv("TARKIT_STORE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert default_root() == tmp_path / "cache" / "tarkit" / "artifacts"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert default_root() == tmp_path / "home" / ".cache" / "tarkit" / "artifacts"
    assert stat.S_IMODE(default_root().stat().st_mode) == 0o700


def test_the_store_falls_back_if_the_home_is_not_writable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TARKIT_STORE", raising=False)
    (tmp_path / "cache").write_text("no directory")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "temporary"))
    assert default_root() == tmp_path / "temporary" / f"tarkit-artifacts-{os.getuid()}"
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "file"))
    with pytest.raises(
        RefusedError, match=r"no store at .* or .*; name a directory in TARKIT_STORE"
    ):
        default_root()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives directories away")
def test_a_directory_of_another_user_is_refused(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, 12_345, 12_345)
    with pytest.raises(RefusedError, match="another user"):
        roots.make_root(theirs)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives links away")
def test_a_link_of_another_user_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "link").symlink_to("mine", target_is_directory=True)
    assert roots.make_root(tmp_path / "link") == tmp_path / "link"
    os.chown(tmp_path / "link", 12_345, 12_345, follow_symlinks=False)
    with pytest.raises(RefusedError, match="another user"):
        roots.make_root(tmp_path / "link")
