"""The states of a vertex, and the table of transitions between them.

::

    NEW ──► MAPPING ──► ASKING ◄──────► KEYED ──► GATHERING ──► RUNNING ──► DONE
             (worker)      │              ▲ │                   (worker)     ▲▲
                           └──► HASHING ──┘ │                      └► NESTED ┘│
                                (worker)    └─────────────────────────────────┘

- ``MAPPING``: a worker finds out what the operation contributes to the key.
- ``ASKING``: the inputs are asked for keys or results, for the next kind of lookup.
- ``HASHING``: a worker hashes the content of results that the operation reads.
- ``KEYED``: results were looked up by the keys known so far (:class:`Depth`).
- ``GATHERING``: no result was found, and all inputs are asked for theirs.
- ``RUNNING``: a worker runs the operation.
- ``NESTED``: the operation said that its result is that of another vertex.
- ``DONE``: the result is there. If another output is needed, lookup is next.

``FAILED`` can follow every state. A vertex that was cancelled, or that is needed again after a
failure, begins again.
"""

from __future__ import annotations

from enum import Enum, IntEnum


class State(Enum):
    """The state of a vertex."""

    NEW = "new"
    MAPPING = "mapping"
    ASKING = "asking"
    HASHING = "hashing"
    KEYED = "keyed"
    GATHERING = "gathering"
    RUNNING = "running"
    NESTED = "nested"
    DONE = "done"
    FAILED = "failed"


class Need(IntEnum):
    """How much of a vertex somebody waits for."""

    NOTHING = 0
    KEY = 1  # the key that its definition gives
    ALL_KEYS = 2  # also keys that depend on content, unless a result is known before
    RESULT = 3


class Depth(IntEnum):
    """The keys of its inputs by which a vertex was looked up."""

    NOT_YET = 0
    DEFINITIONS = 1
    ALL_KEYS = 2
    CONTENT = 3


AT_WORK = frozenset({State.MAPPING, State.HASHING, State.RUNNING})
"""A worker is busy with the vertex."""

TRANSITIONS: dict[State, frozenset[State]] = {
    State.NEW: frozenset({State.MAPPING}),
    State.MAPPING: frozenset({State.ASKING, State.NEW}),
    State.ASKING: frozenset({State.KEYED, State.HASHING}),
    State.HASHING: frozenset({State.KEYED, State.NEW}),
    State.KEYED: frozenset({State.ASKING, State.GATHERING, State.DONE}),
    State.GATHERING: frozenset({State.RUNNING}),
    State.RUNNING: frozenset({State.DONE, State.NESTED, State.NEW}),
    State.NESTED: frozenset({State.DONE}),
    State.DONE: frozenset({State.KEYED}),
    State.FAILED: frozenset({State.NEW}),
}
"""The states that may follow each state, besides ``FAILED``."""
