"""The file action copy, with the rules of BuildKit's copier."""

from __future__ import annotations

from functools import partial

from tarkit.errors import PathNotFoundError, RefusedError
from tarkit.llb.messages import FileActionCopy
from tarkit.rootfs.filesystem import FileSystem
from tarkit.rootfs.names import Parts
from tarkit.rootfs.node import Node
from tarkit.rootfs.path_patterns import PathPatterns
from tarkit.rootfs.writable.filesystem import WritableFileSystem
from tarkit.rootfs.writable.staged_tree import checked
from tarkit.solver.operations.edits import make_directories, time_of
from tarkit.solver.operations.modes import Change, parse_mode
from tarkit.solver.operations.owners import Owner
from tarkit.solver.operations.paths import base_name, matches, parts_of, resolved, rooted, shown
from tarkit.solver.operations.unpacking import is_archive, unpack
from tarkit.streams.cancellation import check
from tarkit.tar.member import Member, MemberType
from tarkit.values import replace

_KEPT = -1  # the mode of a copy that keeps those of the sources


def copy(
    files: WritableFileSystem, source: FileSystem, action: FileActionCopy, owner: Owner | None
) -> None:
    """Copy what *action* names from *source* to *files*, which may be the same.

    Data stays in its layer. Raises :class:`~tarkit.errors.PathNotFoundError` and
    :class:`~tarkit.errors.RefusedError` if files and directories are in each other's way.
    """
    # a fork does not change while files are added
    copier = _Copier(files, FileSystem(source.tree.fork(), source.contents), action, owner)
    copier.copy_all()


class _Copier:
    def __init__(
        self,
        files: WritableFileSystem,
        source: FileSystem,
        action: FileActionCopy,
        owner: Owner | None,
    ) -> None:
        self._files, self._source = files, source
        self._action, self._owner = action, owner
        self._mode = _change_of(action)
        self._time = time_of(action.timestamp)
        self._include = PathPatterns(action.include_patterns) if action.include_patterns else None
        self._exclude = PathPatterns(action.exclude_patterns) if action.exclude_patterns else None
        self._firsts: dict[Node, Parts] = {}
        self._touched: dict[tuple[bytes, ...], None] = {}

    def copy_all(self) -> None:
        """Copy all sources in order."""
        action = self._action
        if not action.create_dest_path:
            parent = resolved(self._files, action.dest)[:-1]
            if self._files.lookup(parent) is None:
                raise PathNotFoundError("no such directory", where=shown(parent))
        found = [action.src]
        if action.allow_wildcard:
            found = matches(self._source, action.src)
            if not found and not action.allow_empty_wildcard:
                raise PathNotFoundError("not found", where=rooted(action.src))
        for path in found:
            self._copy_one(path)
        for parts in self._touched:
            if self._files.lookup(list(parts)) is not None:
                self._files.touch(list(parts), self._time)

    def _copy_one(self, path: str) -> None:
        """Copy one source to its place at or below the destination."""
        trail = self._source.tree.trail(parts_of(path), follow=self._action.follow_symlink)
        if trail.missing:
            raise PathNotFoundError("not found", where=rooted(path))
        node = self._source.tree.node(trail.values[-1])
        self._make(self._parent_of_destination())
        target = resolved(self._files, self._action.dest)
        if self._action.attempt_unpack and self._unpacked(node, target):
            return
        existing = self._files.lookup(target)
        is_contents = self._action.dir_copy_contents and node.directory is not None
        if existing is not None and existing.directory is not None and not is_contents:
            target = target + parts_of(base_name(path))
        self._make(target if is_contents and existing is None else target[:-1])
        self._walk(node, target)

    def _parent_of_destination(self) -> Parts:
        """Return the directory that the text of the destination names: itself if it ends with "/"."""
        dest = self._action.dest
        is_directory = dest.endswith(("/", "/."))
        path = dest if is_directory else dest.rpartition("/")[0]
        return resolved(self._files, path)

    def _make(self, parts: Parts) -> None:
        mode = self._mode(0o755, True) if self._mode is not None else 0o755
        make_directories(self._files, parts, mode=mode, owner=self._owner, mtime_ns=self._time)

    def _unpacked(self, node: Node, target: Parts) -> bool:
        """Unpack the file *node* if it is an archive."""
        open_file = partial(self._source.contents.open, node)
        if node.type is not MemberType.FILE or not is_archive(open_file):
            return False
        unpack(self._files, open_file, target, owner=self._owner, mtime_ns=self._time)
        return True

    # trees

    def _walk(self, top: Node, target: Parts) -> None:
        """Copy *top* and the selected entries below it."""
        waiting: list[tuple[bytes, Node]] = []  # directories that no selected entry needed so far
        for below, node in self._source.tree.walk(top.value):
            check()
            while waiting and not below.startswith(waiting[-1][0] + b"/"):
                waiting.pop()
            if below and not self._selects(below):
                if node.directory is not None:
                    waiting.append((below, node))
                continue
            for path, directory in waiting:
                self._place(directory, [*target, *path.split(b"/")], is_top=False)
            waiting.clear()
            parts = [*target, *below.split(b"/")] if below else target
            self._place(node, parts, is_top=not below)

    def _selects(self, below: bytes) -> bool:
        if self._include is None and self._exclude is None:
            return True
        path = below.decode("utf-8", "surrogateescape")
        if self._include is not None and not self._include.match(path):
            return False
        return self._exclude is None or not self._exclude.match(path)

    def _place(self, node: Node, parts: Parts, *, is_top: bool) -> None:
        """Copy one entry to the real path *parts*, whose parent exists."""
        existing = self._files.lookup(parts)
        if existing is not None:
            existing = self._clear(node, existing, parts)
        if node.directory is not None:
            self._place_directory(node, existing, parts, is_top=is_top)
            return
        first = self._firsts.setdefault(node, parts) if node.links > 1 else parts
        if first is not parts and self._files.lookup(first) is not None:
            self._files.put_link(parts, first)
        else:
            member = self._files.adopt(self._source, node, self._changed(node))
            self._files.put(checked(parts), member)
        self._note(parts[:-1])

    def _place_directory(
        self, node: Node, existing: Node | None, parts: Parts, *, is_top: bool
    ) -> None:
        if existing is None:
            self._files.put(checked(parts), self._changed(node))
            self._note(parts[:-1])
        elif not is_top:
            self._files.change(parts, self._changed(node))

    def _clear(self, node: Node, existing: Node, parts: Parts) -> Node | None:
        """Return what stays at *parts*: a directory under a directory; raise if it is in the way."""
        both = node.directory is not None and existing.directory is not None
        neither = node.directory is None and existing.directory is None
        if both or (neither and not self._action.always_replace_existing_dest_paths):
            return existing
        if not parts:
            raise RefusedError("the root cannot be replaced", where="/")
        if not self._action.always_replace_existing_dest_paths:
            kind = "a file" if node.directory is None else "a directory"
            raise RefusedError(f"cannot be replaced by {kind}", where=shown(parts))
        self._files.drop(parts)
        return None

    def _note(self, parts: Parts) -> None:
        self._touched.setdefault(tuple(parts))

    def _changed(self, node: Node) -> Member:
        """Return the metadata of *node* with the changes that the action makes."""
        member = node.member
        uid, gid = (member.uid, member.gid) if self._owner is None else self._owner
        mode = member.mode
        if self._mode is not None and node.type is not MemberType.SYMLINK:
            mode = self._mode(mode, node.directory is not None)
        mtime_ns = member.mtime_ns if self._time is None else self._time
        return replace(member, mode=mode, uid=uid, gid=gid, mtime_ns=mtime_ns)


def _change_of(action: FileActionCopy) -> Change | None:
    """Return the change of modes, None if they are kept."""
    if action.mode_str:
        return parse_mode(action.mode_str)
    if action.mode == _KEPT:
        return None
    number = action.mode & 0o7777
    return lambda mode, is_directory: number
