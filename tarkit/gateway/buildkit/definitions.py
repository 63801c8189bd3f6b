"""Definitions and results, as messages."""

from __future__ import annotations

from tarkit.gateway.buildkit.messages import bridge
from tarkit.gateway.reference import Reference
from tarkit.gateway.result import Result
from tarkit.llb import messages
from tarkit.llb.definition import Definition


def to_message(definition: Definition, *, no_cache: bool = False) -> messages.Definition:
    """Return the message for *definition*; with *no_cache*, every step runs."""
    message = messages.Definition.decode(definition.encode())
    if not no_cache:
        return message
    metadata = {
        digest: message.metadata.get(digest, messages.OpMetadata()).replaced(ignore_cache=True)
        for digest in definition.digests
    }
    return message.replaced(metadata=metadata)


def from_message(message: messages.Definition | None) -> Definition:
    """Return the definition in *message*."""
    return Definition.decode(message.encode() if message is not None else b"")


def result_message(
    result: Result, ids: dict[Reference | None, str], *, arrays: bool
) -> bridge.Result:
    """Return the message for *result*, whose references have *ids*.

    Unless the daemon has *arrays*, it takes the deprecated fields only.
    """
    metadata = dict(result.metadata)
    if result.refs:
        named = {name: ids[ref] for name, ref in result.refs.items()}
        if arrays:
            refs = {name: bridge.Ref(id=each) for name, each in named.items()}
            return bridge.Result(refs=bridge.RefMap(refs=refs), metadata=metadata)
        old = bridge.RefMapDeprecated(refs=named)
        return bridge.Result(refs_deprecated=old, metadata=metadata)
    if arrays:
        return bridge.Result(ref=bridge.Ref(id=ids[result.ref]), metadata=metadata)
    return bridge.Result(ref_deprecated=ids[result.ref], metadata=metadata)
