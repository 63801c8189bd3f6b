"""The client that build functions receive for a daemon."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tarkit.errors import MalformedError, UsageError
from tarkit.gateway.building import result_of
from tarkit.gateway.buildkit.bridge import Bridge
from tarkit.gateway.buildkit.containers import RemoteContainer
from tarkit.gateway.buildkit.definitions import to_message
from tarkit.gateway.buildkit.messages import bridge as wire
from tarkit.gateway.buildkit.messages.control import CacheOptionsEntry
from tarkit.gateway.buildkit.messages.status import Empty
from tarkit.gateway.buildkit.reference import RemoteReference
from tarkit.gateway.client import Client
from tarkit.gateway.containers import Container, NewContainerRequest
from tarkit.gateway.options import BuildOpts
from tarkit.gateway.requests import (
    ImageConfig,
    ResolveImageConfigOpt,
    SolveRequest,
    SourceMeta,
    WarnOpts,
)
from tarkit.gateway.result import Result
from tarkit.image.digest import Digest
from tarkit.image.platform import Platform
from tarkit.llb import messages
from tarkit.llb.definition import Definition
from tarkit.llb.platforms import to_message as platform_message
from tarkit.llb.platforms import to_platform
from tarkit.llb.state import State
from tarkit.llb.vertices import ResolvedImage
from tarkit.values import replace

_LAYOUT = 1  # the resolver of OCI layouts

Resolve = Callable[[str, Platform], ResolvedImage]


class RemoteClient(Client):
    """The client of one build function; *resolve* lets the daemon read an image at a location."""

    def __init__(
        self,
        bridge: Bridge,
        options: BuildOpts,
        inputs: Mapping[str, State | Definition],
        resolve: Resolve,
        *,
        no_cache: bool = False,
    ) -> None:
        self._bridge = bridge
        self._options = options
        self._inputs = inputs
        self._resolve = resolve
        self._no_cache = no_cache

    def build_opts(self) -> BuildOpts:
        """See :class:`~tarkit.gateway.client.Client`."""
        return self._options

    def inputs(self) -> dict[str, State]:
        """See :class:`~tarkit.gateway.client.Client`."""
        return {
            name: each if isinstance(each, State) else State.from_definition(each)
            for name, each in self._inputs.items()
        }

    def solve(
        self, request: SolveRequest | State | Definition, *, evaluate: bool = False
    ) -> Result:
        """See :class:`~tarkit.gateway.client.Client`."""
        wanted = request if isinstance(request, SolveRequest) else SolveRequest(definition=request)
        if wanted.definition is not None and wanted.frontend:
            raise UsageError("a request has a definition or a frontend, not both")
        evaluate = evaluate or wanted.evaluate
        if callable(wanted.frontend):
            result = self._called(wanted)
        else:
            in_solve = evaluate and "gateway.solve.evaluate" in self._options.caps
            result = self._result(self._request(wanted, evaluate=in_solve))
            evaluate = evaluate and not in_solve
        if evaluate:
            for ref in result.each_ref():
                ref.evaluate()
        return result

    def _called(self, request: SolveRequest) -> Result:
        """Return the result of a frontend that is a function."""
        assert callable(request.frontend)
        options = replace(self._options, opts=dict(request.frontend_opt))
        client = RemoteClient(
            self._bridge, options, request.frontend_inputs, self._resolve, no_cache=self._no_cache
        )
        return result_of(request.frontend, client)

    def _request(self, request: SolveRequest, *, evaluate: bool) -> wire.SolveRequest:
        opt = dict(request.frontend_opt)
        if request.frontend and self._no_cache:
            opt.setdefault("no-cache", "")
        imports = [
            CacheOptionsEntry(type=each.type, attrs=dict(each.attrs))
            for each in request.cache_imports
        ]
        assert isinstance(request.frontend, str)
        return wire.SolveRequest(
            definition=self._message(request.definition) if request.definition else None,
            frontend=request.frontend,
            frontend_opt=opt,
            frontend_inputs={
                name: self._message(each) for name, each in request.frontend_inputs.items()
            },
            allow_result_return=True,
            allow_result_array_ref=True,
            cache_imports=imports,
            evaluate=evaluate,
        )

    def _message(self, definition: State | Definition) -> messages.Definition:
        if isinstance(definition, State):
            definition = self.marshal(definition)
        self._options.llb_caps.require(definition.capabilities)
        return to_message(definition, no_cache=self._no_cache)

    def _result(self, request: wire.SolveRequest) -> Result:
        answer = self._bridge.call("Solve", request, wire.SolveResponse)
        found = answer.result
        if found is None:
            return Result(self._reference(wire.Ref(id=answer.ref)))
        result = Result()
        match found.which("result"):
            case "ref":
                result.set_ref(self._reference(found.ref))
            case "refs":
                for name, ref in found.refs.refs.items() if found.refs else ():
                    result.add_ref(name, self._reference(ref))
            case "ref_deprecated":
                result.set_ref(self._reference(wire.Ref(id=found.ref_deprecated or "")))
            case "refs_deprecated":
                for name, text in (
                    found.refs_deprecated.refs.items() if found.refs_deprecated else ()
                ):
                    result.add_ref(name, self._reference(wire.Ref(id=text)))
        for name, value in found.metadata.items():
            result.add_meta(name, bytes(value))
        return result

    def _reference(self, ref: wire.Ref | None) -> RemoteReference | None:
        if ref is None or not ref.id:
            return None
        return RemoteReference(self._bridge, self._options.caps, ref)

    def _marshal(self, state: State, platform: Platform | str) -> Definition:
        return state.marshal(
            platform=platform,
            capabilities=self._options.llb_caps,
            resolve=self._resolve,
            local_unique_id=self._options.session_id,  # a directory is read once in a build
        )

    def resolve_image_config(
        self, reference: str, options: ResolveImageConfigOpt | None = None
    ) -> ImageConfig:
        """See :class:`~tarkit.gateway.client.Client`."""
        options = options or ResolveImageConfigOpt()
        platform = to_platform(options.platform or self.platforms[0])
        request = wire.ResolveImageConfigRequest(
            ref=reference,
            platform=platform_message(platform),
            resolve_mode=options.resolve_mode,
            log_name=options.log_name,
            resolver_type=_LAYOUT if options.store is not None else 0,
            session_id=self._options.session_id if options.store is not None else "",
            store_id=options.store or "",
        )
        answer = self._bridge.call("ResolveImageConfig", request, wire.ResolveImageConfigResponse)
        return ImageConfig(
            answer.ref or reference, _digest(answer.digest, reference), bytes(answer.config)
        )

    def resolve_source(
        self, source: State, options: ResolveImageConfigOpt | None = None
    ) -> SourceMeta:
        """See :class:`~tarkit.gateway.client.Client`."""
        options = options or ResolveImageConfigOpt()
        graph = self.marshal(source, platform=options.platform).graph()
        op = graph.ops[graph.head.digest] if graph.head is not None else None
        if op is None or op.source is None:
            raise UsageError("the state is not a source")
        if "source.metaresolver" not in self._options.caps:
            return self._old_meta(op.source.identifier, options)
        request = wire.ResolveSourceMetaRequest(
            source=op.source, platform=op.platform, log_name=options.log_name,
            resolve_mode=options.resolve_mode,
        )  # fmt: skip
        answer = self._bridge.call("ResolveSourceMeta", request, wire.ResolveSourceMetaResponse)
        identifier = answer.source.identifier if answer.source else op.source.identifier
        if answer.image is None:
            return SourceMeta(identifier)
        digest = _digest(answer.image.digest, identifier)
        name = identifier.partition("://")[2]
        return SourceMeta(identifier, ImageConfig(name, digest, bytes(answer.image.config)))

    def _old_meta(self, identifier: str, options: ResolveImageConfigOpt) -> SourceMeta:
        scheme, _, reference = identifier.partition("://")
        if scheme != "docker-image":
            return SourceMeta(identifier)
        return SourceMeta(identifier, self.resolve_image_config(reference, options))

    def new_container(self, request: NewContainerRequest) -> Container:
        """See :class:`~tarkit.gateway.client.Client`."""
        self._options.caps.check("gateway.exec")
        return RemoteContainer.create(self._bridge, self._options.caps, request)

    def warn(self, digest: str, message: str, options: WarnOpts | None = None) -> None:
        """See :class:`~tarkit.gateway.client.Client`; old daemons show no warnings."""
        if "gateway.warnings" not in self._options.caps:
            return
        options = options or WarnOpts()
        request = wire.WarnRequest(
            digest=digest, level=options.level, short=message.encode("utf-8", "surrogateescape"),
            detail=options.detail, url=options.url, info=options.source, ranges=options.ranges,
        )  # fmt: skip
        self._bridge.call("Warn", request, Empty)


def _digest(text: str, where: str) -> Digest:
    if not text:
        raise MalformedError("the daemon sent no digest", where=where[:200])
    return Digest.parse(text, where=where[:200])
