"""Git repositories, through the ``git`` program."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tarkit.cache.manager import CacheManager
from tarkit.cache.options import RefOptions
from tarkit.errors import NotFoundError, TransportError, UsageError, VerificationError
from tarkit.llb.git import parse_remote, split_fragment
from tarkit.llb.messages import Op
from tarkit.patterns import lazy_pattern
from tarkit.rootfs.writable.filesystem import WritableFileSystem
from tarkit.solver.keys.cache_map import CacheMap
from tarkit.solver.keys.sources import Revision, git_map
from tarkit.solver.operation import Ref, Report
from tarkit.solver.operations.git_program import Git, authorization, rows
from tarkit.solver.operations.progress import Steps
from tarkit.streams.directory import Directory

_COMMIT = lazy_pattern(r"[0-9a-f]{40}|[0-9a-f]{64}")


class GitOperation:
    """The files of a commit. The server is asked which one a name means, and once for the commit."""

    def __init__(
        self, op: Op, manager: CacheManager, secrets: Mapping[str, bytes], name: str
    ) -> None:
        assert op.source is not None
        self._op, self._attrs = op, op.source.attrs
        self._manager, self._secrets = manager, secrets
        self._name = name
        location, _, fragment = op.source.identifier.partition("#")
        self._ref, self._subdir = split_fragment(fragment)
        bare = location.removeprefix("git://")
        self._url = self._attrs.get("git.fullurl") or parse_remote(bare).url
        self._revision: Revision | None = None

    def cache_map(self) -> CacheMap:
        """Find the commit; see :class:`~tarkit.solver.operation.Operation`."""
        if self._ref.startswith("-") or self._url.startswith("-"):
            raise UsageError("a name cannot begin with a dash", where=self._name)
        revision = self._revision = self._resolve()
        checksum = self._attrs.get("git.checksum", "")
        if checksum and not revision.commit.startswith(checksum):
            raise VerificationError(
                f"expected the commit {checksum[:80]}, found {revision.commit}", where=self._name
            )
        return git_map(self._op, revision)

    def run(self, inputs: Sequence[Ref], report: Report) -> Sequence[Ref]:
        """See :class:`~tarkit.solver.operation.Operation`."""
        assert self._revision is not None
        with (
            self._git() as (git, directory),
            self._manager.new(None, RefOptions(description=f"git: {self._name}")) as active,
        ):
            with Steps(report).step(f"fetching {self._revision.commit[:12]}"):
                self._check_out(git, self._revision)
            with Directory.open(directory / "tree") as top:
                files = top.open_inside(self._subdir or ".")
            with files:
                exclude = () if self._attrs.get("git.keepgitdir") == "true" else ("**/.git",)
                active.files.add(Path(files.reference), "/", exclude=exclude)
            if self._attrs.get("git.mtime") == "commit":
                self._set_times(active.files, git)
            return [active.commit()]

    @contextmanager
    def _git(self) -> Iterator[tuple[Git, Path]]:
        """Provide git, and an empty directory where it works."""
        with tempfile.TemporaryDirectory(prefix="tarkit-git-") as name:
            directory = Path(name)
            (directory / "tree").mkdir()
            header = authorization(self._attrs, self._secrets)
            hosts = self._attrs.get("git.knownsshhosts", "")
            yield Git(directory, self._url, header=header, known_hosts=hosts), directory

    def _resolve(self) -> Revision:
        """Return the commit that the source names."""
        if _COMMIT.fullmatch(self._ref):
            return Revision(self._ref, self._ref)
        with self._git() as (git, _):
            wanted = self._ref or "HEAD"
            output = git.run("ls-remote", "--", self._url, wanted, f"{wanted}^{{}}")
        found = {name: identifier for identifier, name in rows(output)}
        bare = wanted.removeprefix("refs/")
        # a branch before a tag, as git checkout prefers
        names = [wanted] if wanted in ("HEAD", f"refs/{bare}") else []
        for name in [*names, f"refs/{bare}", f"refs/heads/{bare}", f"refs/tags/{bare}"]:
            if name in found:
                commit = found.get(f"{name}^{{}}")
                tag = found[name] if commit else ""
                return Revision(commit or found[name], name, tag)
        raise NotFoundError(f"no branch or tag {wanted[:80]!r}", where=self._name)

    def _check_out(self, git: Git, revision: Revision) -> None:
        """Fetch a commit, only it if the server can send so little, and write its files."""
        work = ("-C", "tree")
        git.run(*work, "init", "--quiet", "--initial-branch=master", "--template=")
        git.run(*work, "remote", "add", "origin", self._url)
        everything = ("+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*")
        try:
            git.run(
                *work, "fetch", "--quiet", "--no-tags", "--depth=1", "origin", revision.reference
            )
            git.run(*work, "cat-file", "-e", f"{revision.commit}^{{commit}}")
        except TransportError:
            git.run(*work, "fetch", "--quiet", "origin", *everything)
        git.run(*work, "checkout", "--quiet", "--detach", revision.commit)
        if self._attrs.get("git.skipsubmodules") != "true":
            git.run(*work, "submodule", "--quiet", "update", "--init", "--recursive", "--depth=1")

    def _set_times(self, files: WritableFileSystem, git: Git) -> None:
        """Give all entries the time of the commit."""
        time = int(git.run("-C", "tree", "log", "-1", "--format=%ct").strip()) * 1_000_000_000
        for entry in list(files.walk()):
            files.utime(os.fsencode(entry.path), time, follow=False)
