"""Random stacks of layers that a builder could write: parents before children, arbitrary links."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.rootfs.layers import Item, directory, file, hard, link

NAMES = st.sampled_from(["a", "b", "c"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
TARGETS = st.one_of(
    PATHS, PATHS.map(lambda path: f"/{path}"), PATHS.map(lambda path: f"../{path}"), st.just("..")
)
MODES = st.sampled_from([0o755, 0o700, 0o1777])


@st.composite
def entries(draw: st.DrawFn) -> Item:
    path = draw(PATHS)
    kind = draw(st.sampled_from(["file", "file", "directory", "directory", "link", "hard", "gone"]))
    if kind == "file":
        return file(path, draw(st.binary(max_size=3)))
    if kind == "directory":
        return directory(path, draw(MODES))
    if kind == "link":
        return link(path, draw(TARGETS))
    if kind == "hard":
        return hard(path, draw(PATHS))
    parent, _, name = path.rpartition("/")
    hidden = draw(st.sampled_from([f".wh.{name}", f".wh.{name}", ".wh..wh..opq"]))
    return file(f"{parent}/{hidden}" if parent else hidden)


def layers() -> st.SearchStrategy[list[Item]]:
    return st.lists(entries(), max_size=8, unique_by=lambda item: item.name)


def stacks() -> st.SearchStrategy[list[list[Item]]]:
    return st.lists(layers(), min_size=1, max_size=4)
