"""Short descriptions of vertices. Text from definitions is untrusted: it is escaped to one line."""

from __future__ import annotations

from collections.abc import Iterator

from tarkit.errors import one_line
from tarkit.llb.constraints import CUSTOM_NAME
from tarkit.llb.messages import FileAction, Op, OpMetadata
from tarkit.values import dataclass


@dataclass(frozen=True, slots=True)
class Label:
    """The kind of a vertex, such as "exec", its text, and the name that its author gave it."""

    kind: str
    text: str
    name: str = ""


def label(op: Op, metadata: OpMetadata | None) -> Label:
    """Return the label of a vertex."""
    kind = op.which("op") or "result"
    name = metadata.description.get(CUSTOM_NAME, "") if metadata else ""
    return Label(kind, one_line(_text(op)), one_line(name))


def edge_labels(op: Op) -> list[str]:
    """Return a label for each input of *op*: the destination of a process's mount, or nothing."""
    labels = [""] * len(op.inputs)
    if op.exec is not None:
        for mount in op.exec.mounts:
            if 0 <= mount.input < len(labels) and not labels[mount.input]:
                labels[mount.input] = one_line(mount.dest)
    return labels


def _text(op: Op) -> str:
    if op.source is not None:
        return op.source.identifier
    if op.exec is not None:
        return " ".join(map(_word, op.exec.meta.args if op.exec.meta else ()))
    if op.file is not None:
        return ", ".join(map(_action, op.file.actions))
    if op.build is not None:
        return op.build.attrs.get("llbbuild.filename", "definition")
    if op.passthrough is not None:
        return op.passthrough.id
    return ""


def _word(argument: str) -> str:
    plain = argument and not any(c.isspace() or c in "'\"\\$" for c in argument)
    return argument if plain else repr(argument)


def _action(action: FileAction) -> str:
    return " ".join(_action_words(action))


def _action_words(action: FileAction) -> Iterator[str]:
    yield action.which("action") or "nothing"
    if action.copy is not None:
        yield from (action.copy.src, action.copy.dest)
    elif action.symlink is not None:
        yield from (action.symlink.newpath, "->", action.symlink.oldpath)
    else:
        for other in (action.mkfile, action.mkdir, action.rm):
            if other is not None:
                yield other.path
