"""Output to a directory whose owner interferes: nothing outside changes, no run falsely succeeds.

The owner of a directory may rename its entries at any time, even those of root. Here this happens
before every call that concerns files, one per run, and continuously from another user's process.
"""

from __future__ import annotations

import multiprocessing
import os
import stat
import tarfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tarkit.artifacts.store import ArtifactStore
from tarkit.errors import TarkitError
from tarkit.ext4 import Ext4Options
from tests.builders import Image, docker_archive, image_of, layout_of, make_image, write_files
from tests.hostile.pausing import before_each_call
from tests.hostile.running import Run, run_here
from tests.rootfs.layers import directory, fifo, file, link, pack

pytestmark = pytest.mark.skipif(os.open not in os.supports_dir_fd, reason="paths are used there")

NOBODY = 65534
REFUSALS = {1, 3, 4, 6}
SMALL = Ext4Options(profile="ro", free=0, align=4096)


def image() -> Image:
    return image_of(
        [pack([directory("d"), file("d/f", b"data", mode=0o666), fifo("pipe"), link("l", "d")])]
    )


@dataclass(frozen=True, slots=True)
class Scene:
    """A directory of another user, with directories of ours beside it and in it."""

    top: Path
    image: Path
    parent: Path
    victim: Path
    precious: Path

    @classmethod
    def make(cls, top: Path) -> Scene:
        top.mkdir()
        parent, victim = top / "parent", top / "victim"
        (victim / "sub").mkdir(parents=True)
        (victim / "file").write_text("secret")
        (victim / "file").chmod(0o600)
        (victim / "sub" / "deep").write_text("deep")
        for name in ("0", "d", "sha256", "blobs"):
            (victim / name).mkdir(mode=0o700)
        precious = parent / "precious"
        precious.mkdir(parents=True)
        precious.chmod(0o700)
        (precious / "ours").write_text("ours")
        return cls(
            top, docker_archive(top / "image.tar", (image(), ["a:1"])), parent, victim, precious
        )

    def outside(self) -> dict[str, tuple[int, int, int, bytes]]:
        """Return the state of everything that must not change."""
        found = {}
        for path in [self.victim, *self.victim.rglob("*")]:
            status = path.lstat()
            data = path.read_bytes() if path.is_file() else b""
            found[str(path)] = (status.st_mode, status.st_uid, status.st_mtime_ns, data)
        return found

    def has_precious(self) -> bool:
        """Return whether our directory in the parent is intact, even if it was renamed."""
        return any(
            path.name == "ours" and path.read_text() == "ours" for path in self.parent.rglob("*")
        )


def rootfs(scene: Scene) -> int:
    return run_here("rootfs", "-q", str(scene.image), str(scene.parent / "out")).code


def new_layout(scene: Scene) -> int:
    return copy_to(scene, f"oci:{scene.parent / 'out'}:a").code


def prepare_layout(scene: Scene) -> None:
    write_files(scene.parent / "out", layout_of(make_image("other"), "other"))


def new_dir(scene: Scene) -> int:
    return copy_to(scene, f"dir:{scene.parent / 'out'}").code


def prepare_dir(scene: Scene) -> None:
    (scene.parent / "out").mkdir()
    (scene.parent / "out" / "version").write_text("Directory Transport Version: 1.1\n")


def archive(scene: Scene) -> int:
    return copy_to(scene, f"oci-archive:{scene.parent / 'out'}:a").code


def ext4(scene: Scene) -> int:
    return run_here("ext4", "-q", str(scene.image), str(scene.parent / "out")).code


def prepare_store(scene: Scene) -> None:
    (scene.parent / "out").mkdir(mode=0o700)


def store(scene: Scene) -> int:
    try:
        ArtifactStore.open(scene.parent / "out").build_ext4(
            f"docker-archive:{scene.image}", SMALL, artifact_id="a"
        )
    except TarkitError:
        return 6
    return 0


def prepare_sweep(scene: Scene) -> None:
    stale = scene.parent / ".tarkit-staging-0123456789abcdef" / ".wh..tarkit"
    for name in ("0", "d", "files", "sub"):
        (stale / name / "below").mkdir(parents=True)


def nothing(scene: Scene) -> None:
    """Prepare nothing."""


def copy_to(scene: Scene, target: str) -> Run:
    return run_here("copy", "-q", str(scene.image), target)


OPERATIONS = {
    "rootfs": (nothing, rootfs),
    "new_layout": (nothing, new_layout),
    "existing_layout": (prepare_layout, new_layout),
    "new_dir": (nothing, new_dir),
    "existing_dir": (prepare_dir, new_dir),
    "archive": (nothing, archive),
    "ext4": (nothing, ext4),
    "store": (prepare_store, store),
    "sweep": (prepare_sweep, rootfs),
}


def with_link(scene: Scene, path: Path) -> None:
    """Create a link to the victim, owned by another user if we are root."""
    path.symlink_to(scene.victim)
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


def with_forgery(scene: Scene, path: Path) -> None:
    """Create a directory with the expected names, all links to the victim."""
    path.mkdir()
    for name in (".wh..tarkit", "0", "d", "new", "layout", "blobs", "index.json", "oci-layout"):
        (path / name).symlink_to(scene.victim)
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)


def with_ours(scene: Scene, path: Path) -> None:
    """Move a directory of the user who runs tarkit to *path*."""
    scene.precious.rename(path)


SWAPS = {each.__name__: each for each in (with_link, with_forgery, with_ours)}


@dataclass(slots=True)
class Owner:
    """Replaces the staging directory or output before call number *moment* that could see it."""

    scene: Scene
    swap: Callable[[Scene, Path], None]
    moment: int
    seen: int = 0
    code: int = -1
    swapped: list[str] = field(default_factory=list)

    def __call__(self) -> None:
        places = [self.scene.parent, self.scene.parent / "out"]
        staging = [
            path
            for place in places
            if place.is_dir() and not place.is_symlink()
            for path in place.iterdir()
            if path.name.startswith(".tarkit-")
        ]
        targets = staging or [path for path in [places[1]] if path.exists()]
        if not targets or self.swapped:
            return
        self.seen += 1
        if self.seen == self.moment:
            self.swapped.append(targets[0].name)
            targets[0].rename(targets[0].with_name("aside"))
            self.swap(self.scene, targets[0])


def moments(count: int, most: int = 7) -> Iterator[int]:
    """Yield about *most* numbers from 1 to *count*, evenly spaced, including both ends."""
    step = max(1, count // most)
    yield from sorted({*range(1, count + 1, step), *range(max(1, count - 2), count + 1)})


@pytest.mark.parametrize("swap", SWAPS)
@pytest.mark.parametrize("name", OPERATIONS)
def test_a_swap_before_any_call_is_harmless(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, swap: str
) -> None:
    if name in {"archive", "ext4"}:  # an unnamed file cannot be swapped
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    if name == "store" and os.geteuid():
        pytest.skip("only root can create links owned by others")
    undisturbed = disturb(name, Scene.make(tmp_path / "undisturbed"), with_link, moment=-1)
    happened = 0
    for moment in moments(undisturbed.seen):
        scene = Scene.make(tmp_path / f"{moment}")
        owner = disturb(name, scene, SWAPS[swap], moment)
        happened += len(owner.swapped)
        assert scene.has_precious(), moment
        assert owner.code == 0 or owner.code in REFUSALS, (moment, owner.code)
        if owner.code == 0 and "out" not in owner.swapped:
            assert is_right(name, scene.parent / "out"), moment
    assert happened >= 3


def disturb(name: str, scene: Scene, swap: Callable[[Scene, Path], None], moment: int) -> Owner:
    """Run an operation with a swap before one of its calls; check that nothing outside changed."""
    prepare, operation = OPERATIONS[name]
    prepare(scene)
    before = scene.outside()
    owner = Owner(scene, swap, moment)
    with before_each_call(owner):
        owner.code = operation(scene)
    assert scene.outside() == before, moment
    return owner


def is_right(name: str, out: Path) -> bool:
    """Return whether *out* is the real output."""
    if out.is_symlink():
        return False
    if name in {"rootfs", "sweep"}:
        return (out / "d" / "f").read_bytes() == b"data" and stat.S_ISFIFO(
            (out / "pipe").stat().st_mode
        )
    if name in {"new_layout", "existing_layout"}:
        return run_here("verify", "-q", f"oci:{out}:a").code == 0
    if name in {"new_dir", "existing_dir"}:
        return run_here("verify", "-q", f"dir:{out}").code == 0
    if name == "archive":
        return tarfile.is_tarfile(out)
    if name == "store":
        return ArtifactStore(out).get("a").size > 0
    return out.stat().st_size > 0


def swap_for_ever(parent: Path, victim: Path, ready: object) -> None:
    """As the owner of *parent*, keep replacing staging entries with links and forgeries."""
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    ready.set()  # type: ignore[attr-defined]
    number = 0
    while True:
        for path in parent.glob(".tarkit-*"):
            number += 1
            with suppress(OSError):
                path.rename(parent / f"aside-{number}")
                if number % 2:
                    path.symlink_to(victim)
                else:
                    path.mkdir()
                    (path / "d").symlink_to(victim)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("name", OPERATIONS)
def test_a_concurrent_attacker_gains_nothing(tmp_path: Path, name: str) -> None:
    for above in (tmp_path, tmp_path.parent, tmp_path.parent.parent):  # pytest makes them private
        above.chmod(above.stat().st_mode | 0o011)
    prepare, operation = OPERATIONS[name]
    context = multiprocessing.get_context("fork")
    scene = Scene.make(tmp_path / "scene")
    os.chown(scene.parent, NOBODY, NOBODY)
    prepare(scene)
    before = scene.outside()
    ready = context.Event()
    attacker = context.Process(
        target=swap_for_ever, args=(scene.parent, scene.victim, ready), daemon=True
    )
    attacker.start()
    try:
        assert ready.wait(30)
        for _ in range(5):
            assert operation(scene) in {0, *REFUSALS}
            assert scene.outside() == before
            out = scene.parent / "out"
            assert not out.is_symlink()
            if out.is_dir() and name in {"rootfs", "new_layout", "new_dir"}:
                out.rename(scene.parent / f"aside-{os.urandom(4).hex()}")
    finally:
        attacker.kill()
        attacker.join()
