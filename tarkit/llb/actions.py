"""File actions: create, copy and remove files; chained, they are one operation."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self

from tarkit.llb import messages
from tarkit.llb.messages import ChownOpt, NamedUser, UserOpt
from tarkit.llb.paths import clean, join, rooted, rooted_target
from tarkit.llb.tree import Tree
from tarkit.patterns import lazy_pattern
from tarkit.values import dataclass

_PERMISSIONS = 0o777
_NO_TIME = -1
_KEEP_MODE = -1
_NUMBER = lazy_pattern(r"[+-]?[0-9]+", re.ASCII)

Owner = str | tuple[int, int] | None
"""An owner: ``user[:group]``, names or numbers, or a pair of numbers, or None for root."""


class Action(Protocol):
    """One action; *parent* is the working directory, *base* the input that has the users' names."""

    def encode(self, parent: str, base: int) -> dict[str, Any]:
        """Return the member of the message FileAction."""


@dataclass(frozen=True, slots=True)
class Mkfile:
    """Write a file."""

    path: str
    data: bytes
    mode: int
    owner: Owner
    created: int | None

    def encode(self, parent: str, base: int) -> dict[str, Any]:
        """Return the member of the message FileAction."""
        message = messages.FileActionMkFile(
            path=rooted(parent, self.path),
            mode=self.mode & _PERMISSIONS,
            data=self.data,
            owner=_owner(self.owner, base),
            timestamp=_time(self.created),
        )
        return {"mkfile": message}


@dataclass(frozen=True, slots=True)
class Mkdir:
    """Create a directory."""

    path: str
    mode: int
    parents: bool
    owner: Owner
    created: int | None

    def encode(self, parent: str, base: int) -> dict[str, Any]:
        """Return the member of the message FileAction."""
        message = messages.FileActionMkDir(
            path=rooted(parent, self.path),
            mode=self.mode & _PERMISSIONS,
            make_parents=self.parents,
            owner=_owner(self.owner, base),
            timestamp=_time(self.created),
        )
        return {"mkdir": message}


@dataclass(frozen=True, slots=True)
class Symlink:
    """Create a symbolic link; its paths are taken as they are."""

    target: str
    path: str
    owner: Owner
    created: int | None

    def encode(self, parent: str, base: int) -> dict[str, Any]:
        """Return the member of the message FileAction."""
        message = messages.FileActionSymlink(
            oldpath=self.target,
            newpath=self.path,
            owner=_owner(self.owner, base),
            timestamp=_time(self.created),
        )
        return {"symlink": message}


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove a file or directory."""

    path: str
    allow_not_found: bool
    allow_wildcard: bool

    def encode(self, parent: str, base: int) -> dict[str, Any]:
        """Return the member of the message FileAction."""
        message = messages.FileActionRm(
            path=rooted(parent, self.path),
            allow_not_found=self.allow_not_found,
            allow_wildcard=self.allow_wildcard,
        )
        return {"rm": message}


@dataclass(frozen=True, slots=True)
class Copy:
    """Copy from another tree, or from the result of other actions; ``options`` are flags."""

    source: Tree | BoundActions
    src: str
    dest: str
    mode: int | str | None
    owner: Owner
    created: int | None
    options: Mapping[str, bool | Sequence[str]]

    def encode(self, parent: str, base: int) -> dict[str, Any]:
        """Return the member of the message FileAction."""
        is_text = isinstance(self.mode, str)
        message = messages.FileActionCopy(
            src=self._source_path(),
            dest=rooted_target(parent, self.dest),
            owner=_owner(self.owner, base),
            mode=_KEEP_MODE
            if self.mode is None
            else 0
            if isinstance(self.mode, str)
            else self.mode,
            mode_str=self.mode if is_text else "",  # type: ignore[arg-type]
            timestamp=_time(self.created),
            **self.options,  # type: ignore[arg-type]
        )
        return {"copy": message}

    def _source_path(self) -> str:
        path = clean(self.src)
        if path.startswith("/"):
            return path
        tree = self.source.tree if isinstance(self.source, BoundActions) else self.source
        return join(tree.environment.directory(), path)


class FileActions:
    """A chain of file actions. Functions of :mod:`tarkit.llb` with the same names begin a chain.

    A chain is immutable: each method returns a longer one.
    """

    __slots__ = ("actions",)

    def __init__(self, actions: tuple[Action, ...] = ()) -> None:
        self.actions = actions

    def _then(self, action: Action) -> Self:
        return type(self)((*self.actions, action))

    def mkfile(
        self,
        path: str,
        data: bytes | str = b"",
        *,
        mode: int = 0o644,
        owner: Owner = None,
        created: int | None = None,
    ) -> Self:
        """Write *data* to the file *path*.

        *mode* is limited to permissions. *created* is its time in nanoseconds since 1970.
        """
        content = data.encode() if isinstance(data, str) else data
        return self._then(Mkfile(path, content, mode, owner, created))

    def mkdir(
        self,
        path: str,
        *,
        mode: int = 0o755,
        parents: bool = False,
        owner: Owner = None,
        created: int | None = None,
    ) -> Self:
        """Create the directory *path*, with *parents* also those above it."""
        return self._then(Mkdir(path, mode, parents, owner, created))

    def symlink(
        self, target: str, path: str, *, owner: Owner = None, created: int | None = None
    ) -> Self:
        """Create the symbolic link *path* that points to *target*; both are taken as they are."""
        return self._then(Symlink(target, path, owner, created))

    def rm(self, path: str, *, allow_not_found: bool = False, allow_wildcard: bool = False) -> Self:
        """Remove *path* and everything below it."""
        return self._then(Remove(path, allow_not_found, allow_wildcard))

    def copy(
        self,
        source: Tree | BoundActions,
        src: str,
        dest: str,
        *,
        mode: int | str | None = None,
        owner: Owner = None,
        created: int | None = None,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        required_paths: Sequence[str] = (),
        follow_symlinks: bool = False,
        contents_only: bool = False,
        unpack: bool = False,
        create_dest_path: bool = False,
        allow_wildcard: bool = False,
        allow_empty_wildcard: bool = False,
        always_replace: bool = False,
    ) -> Self:
        """Copy *src* of *source*, a state or :meth:`on` of other actions, to *dest*.

        *mode* is a number, or text as for chmod(1); None keeps that of each file. *include* and
        *exclude* are patterns as in .dockerignore. *contents_only* copies the files below a
        directory instead of the directory, *unpack* extracts archives, *create_dest_path* makes
        directories above *dest*, and *always_replace* replaces existing paths of another type.
        """
        options: dict[str, bool | Sequence[str]] = {
            "include_patterns": include,
            "exclude_patterns": exclude,
            "required_paths": required_paths,
            "follow_symlink": follow_symlinks,
            "dir_copy_contents": contents_only,
            "attempt_unpack": unpack,
            "create_dest_path": create_dest_path,
            "allow_wildcard": allow_wildcard,
            "allow_empty_wildcard": allow_empty_wildcard,
            "always_replace_existing_dest_paths": always_replace,
        }
        given = {name: value for name, value in options.items() if value}
        return self._then(Copy(source, src, dest, mode, owner, created, given))

    def on(self, tree: Tree) -> BoundActions:
        """Return the result of these actions on *tree*, as the source of a copy.

        The actions become a part of the operation that copies from them.
        """
        return BoundActions(tree, self.actions)


@dataclass(frozen=True, slots=True, eq=False)
class BoundActions:
    """Actions on a tree."""

    tree: Tree
    actions: tuple[Action, ...]


def _time(created: int | None) -> int:
    return _NO_TIME if created is None else created


def _owner(owner: Owner, base: int) -> ChownOpt | None:
    if owner is None:
        return None
    if isinstance(owner, tuple):
        uid, gid = owner
        return ChownOpt(user=_by_id(uid), group=_by_id(gid))
    user, colon, group = owner.partition(":")
    found = ChownOpt(user=_named(user, base))
    return found.replaced(group=_named(group, base)) if colon else found


def _named(name: str, base: int) -> UserOpt:
    if name in {"", "root"}:
        return _by_id(0)
    if _NUMBER.fullmatch(name) and -(2**31) <= int(name) < 2**31:
        return _by_id(int(name))
    return UserOpt(by_name=NamedUser(name=name, input=base))


def _by_id(number: int) -> UserOpt:
    return UserOpt(by_id=number & 0xFFFFFFFF)


_NOTHING = FileActions()
mkfile, mkdir, symlink = _NOTHING.mkfile, _NOTHING.mkdir, _NOTHING.symlink
rm, copy = _NOTHING.rm, _NOTHING.copy
"""Chains of one action: ``mkdir("/a")`` is ``FileActions().mkdir("/a")``."""
