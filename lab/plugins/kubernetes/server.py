"""Pulumi's ResourceProvider service: requests go the way of objects or of Helm releases, and their answers come back."""

from __future__ import annotations

import functools
import json
import os
import threading
import traceback
from collections.abc import Callable
from typing import Any, Final

import grpc
import yaml
from google.protobuf import any_pb2, empty_pb2
from google.rpc import status_pb2  # type: ignore[import-untyped]
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, plugin_pb2, provider_pb2, provider_pb2_grpc

from lab.plugins.kubernetes import decisions, values
from lab.plugins.kubernetes.awaiting import Operation
from lab.plugins.kubernetes.connection import Cluster, ProviderError, UnreachableError, resolve
from lab.plugins.kubernetes.decisions import Object
from lab.plugins.kubernetes.helm import Releases
from lab.plugins.kubernetes.objects import Objects, PartialError, Settings

VERSION: Final = "4.34.2"
"""The version of the official provider that this one stands in for."""
RELEASE: Final = "kubernetes:helm.sh/v3:Release"
YAML_DECODE: Final = "kubernetes:yaml:decode"
NOTICE: Final = "the lab's stand-in for Pulumi's kubernetes provider is in use; what it does not do, it refuses by name"
_CLUSTER_SETTINGS: Final = ("kubeconfig", "context", "cluster")
_SWITCHES: Final = ("enablePatchForce", "upsertExistingObjects", "enableConfigMapMutable", "enableSecretMutable")
_SETTINGS: Final = (*_CLUSTER_SETTINGS, *_SWITCHES, "namespace", "clusterIdentifier", "version")
_Diff: Final = provider_pb2.DiffResponse


def channel(address: str) -> grpc.Channel:
    """A channel to the engine, without a limit on the size of messages."""
    return grpc.insecure_channel(address, options=_GRPC_CHANNEL_OPTIONS)


def _answering(method: Callable[..., Any]) -> Callable[..., Any]:
    """Turns what a method raises into the status that the engine shows."""

    @functools.wraps(method)
    def answer(self: KubernetesProvider, request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return method(self, request)
        except ProviderError as problem:
            if isinstance(problem, PartialError):
                context.set_trailing_metadata((("grpc-status-details-bin", _initialisation_failure(problem)),))
            reasons = () if isinstance(problem, PartialError) else getattr(problem, "reasons", ())
            context.abort(grpc.StatusCode.UNKNOWN, "\n  - ".join([str(problem), *reasons]))
        except Exception as problem:
            traceback.print_exc()
            context.abort(grpc.StatusCode.INTERNAL, f"a bug in the stand-in provider, please report it: {problem!r}")
        raise AssertionError("abort does not return")

    return answer


def _initialisation_failure(problem: PartialError) -> bytes:
    reasons = [str(problem), *problem.reasons]
    detail = provider_pb2.ErrorResourceInitFailed(
        id=problem.identity, properties=values.encode(problem.state), reasons=reasons
    )
    if problem.inputs is not None:
        detail.inputs.CopyFrom(values.encode(problem.inputs))
    packed = any_pb2.Any()
    packed.Pack(detail)
    unknown = grpc.StatusCode.UNKNOWN.value[0]
    return bytes(status_pb2.Status(code=unknown, message=str(problem), details=[packed]).SerializeToString())


class KubernetesProvider(provider_pb2_grpc.ResourceProviderServicer):
    """One provider as the engine sees it: configured once, then asked from many threads.

    `stopped` ends every wait and every running Helm; whoever serves the provider may set it, and the engine does by `Cancel`.
    """

    def __init__(self, engine_address: str, stopped: threading.Event) -> None:
        self._stopped = stopped
        self._connecting = threading.Lock()
        self._engine = engine_pb2_grpc.EngineStub(channel(engine_address)) if engine_address else None
        self._configure({})

    def _configure(self, settings: dict[str, str]) -> None:
        def enabled(setting: str, variable: str) -> bool:
            return (settings.get(setting) or os.environ.get(f"PULUMI_K8S_{variable}", "")).lower() == "true"

        self._settings = settings
        self._connected: Cluster | None = None
        self._unreachable: ProviderError | None = None
        kinds = ("ConfigMap", "Secret")
        mutable = [kind for kind in kinds if enabled(f"enable{kind}Mutable", f"ENABLE_{kind.upper()}_MUTABLE")]
        upsert = enabled("upsertExistingObjects", "UPSERT_EXISTING_OBJECTS")
        force = enabled("enablePatchForce", "ENABLE_PATCH_FORCE")
        self._objects = Objects(self._cluster, Settings(force, upsert, tuple(mutable)))
        self._releases = Releases(self._cluster, upsert, self._stopped)

    def _cluster(self) -> Cluster:
        if self._unreachable is not None:
            raise self._unreachable
        with self._connecting:
            if self._connected is None:
                self._connected = Cluster(resolve(self._settings))
            return self._connected

    def _way(self, urn: str) -> Objects | Releases:
        return self._releases if _token(urn) == RELEASE else self._objects

    def _log(self, message: str, urn: str = "") -> None:
        if self._engine is None:
            return
        said = engine_pb2.LogRequest(severity=engine_pb2.INFO, message=message, urn=urn, ephemeral=bool(urn))
        try:
            self._engine.Log(said, timeout=5)
        except grpc.RpcError:
            return  # the engine is going away; its other calls say so

    def _call(self, urn: str, *, preview: bool = False, seconds: float = 0, ignore: Any = ()) -> Operation:
        told = [""]

        def report(message: str) -> None:
            if message != told[-1]:
                told.append(message)
                self._log(message, urn)

        return Operation(self._stopped, report, preview, seconds, tuple(ignore))

    @_answering
    def GetPluginInfo(self, _request: Any) -> plugin_pb2.PluginInfo:  # noqa: D102, N802
        return plugin_pb2.PluginInfo(version=VERSION)

    @_answering
    def Attach(self, request: plugin_pb2.PluginAttach) -> empty_pb2.Empty:  # noqa: D102, N802
        self._engine = engine_pb2_grpc.EngineStub(channel(request.address))
        return empty_pb2.Empty()

    @_answering
    def Cancel(self, _request: Any) -> empty_pb2.Empty:  # noqa: N802
        """Ends every wait: what is under way answers with a partial failure or an error."""
        self._stopped.set()
        return empty_pb2.Empty()

    @_answering
    def DiffConfig(self, request: provider_pb2.DiffRequest) -> provider_pb2.DiffResponse:  # noqa: N802
        """Another cluster, or another `clusterIdentifier`, replaces everything; the same one by another way does not."""
        olds, news = values.plain(values.decode(request.olds)), values.plain(values.decode(request.news))
        changed = sorted(key for key in {*olds, *news} if olds.get(key) != news.get(key))
        replaces = [key for key in _CLUSTER_SETTINGS if key in changed]
        if olds.get("clusterIdentifier") and news.get("clusterIdentifier"):
            replaces = [key for key in changed if key == "clusterIdentifier"]
        elif not values.has_unknown([news.get(key) for key in replaces]) and _same_cluster(olds, news):
            replaces = []
        return _Diff(changes=_Diff.DIFF_SOME if changed else _Diff.DIFF_NONE, diffs=changed, replaces=replaces)

    @_answering
    def Configure(self, request: provider_pb2.ConfigureRequest) -> provider_pb2.ConfigureResponse:  # noqa: N802
        """Takes the settings. A cluster that they name is asked whether it is there: if not, whatever needs it says so at once.

        What needs none goes on, as with the official provider: a program that reads a manifest is to fail by its objects.
        """
        given = values.plain(values.decode(request.args))
        given = {key: value for key, value in given.items() if value not in (None, "")}
        settings = {key: value if isinstance(value, str) else json.dumps(value) for key, value in given.items()}
        refused = [key for key, value in settings.items() if key not in _SETTINGS and not _is_harmless(key, value)]
        if refused:
            raise ProviderError(
                f"provider settings {', '.join(sorted(refused))}: the stand-in provider does not know them, so they would have no effect. "
                "Use the official provider, or leave them out."
            )
        self._configure(settings)
        self._log(NOTICE)
        if any(key in settings for key in _CLUSTER_SETTINGS):
            cluster = self._cluster()
            try:
                cluster.request("GET", "/version")
            except ProviderError as problem:
                self._unreachable = problem
        return provider_pb2.ConfigureResponse(
            acceptSecrets=True, supportsPreview=True, supports_autonaming_configuration=True
        )

    @_answering
    def Invoke(self, request: provider_pb2.InvokeRequest) -> provider_pb2.InvokeResponse:  # noqa: N802
        """`kubernetes:yaml:decode`, which `yaml.ConfigFile` and `yaml.ConfigGroup` (v1) need."""
        arguments = values.plain(values.decode(request.args))
        if request.tok != YAML_DECODE or arguments.get("defaultNamespace"):
            raise _refusal(f"the function {request.tok} with {', '.join(arguments)}")
        documents = yaml.load_all(arguments["text"], Loader=yaml.CSafeLoader)
        found = [document for document in documents if document and document.get("kind") and document.get("apiVersion")]
        answer = provider_pb2.InvokeResponse()
        getattr(answer, "return").CopyFrom(values.encode({"result": json.loads(json.dumps(found, default=str))}))
        return answer

    @_answering
    def Construct(self, request: provider_pb2.ConstructRequest) -> None:  # noqa: N802
        """Refuses remote components by name."""
        raise _refusal(f"the component {request.type}")

    @_answering
    def Call(self, request: provider_pb2.CallRequest) -> None:  # noqa: N802
        """Refuses methods by name."""
        raise _refusal(f"the method {request.tok}")

    @_answering
    def Check(self, request: provider_pb2.CheckRequest) -> provider_pb2.CheckResponse:  # noqa: N802
        """Inputs made complete. What is wrong with them is a failure of the check, so that the engine shows all of them."""
        name = request.urn.rpartition("::")[2]
        news, olds = values.decode(request.news), values.decode(request.olds)
        mode, modes = request.autonaming.mode, provider_pb2.CheckRequest.AutonamingOptions
        proposed = request.autonaming.proposed_name or decisions.unique_name(name, request.randomSeed)
        try:
            inputs = self._way(request.urn).check(_token(request.urn), news, olds, proposed)
            generated = values.plain(inputs.get("metadata") or inputs).get("name") == proposed
            if mode == modes.DISABLE and generated:
                raise ProviderError("metadata.name is missing, and this stack's autonaming is disabled. Give the name.")  # noqa: TRY301
        except UnreachableError:
            raise
        except ProviderError as problem:
            return provider_pb2.CheckResponse(failures=[provider_pb2.CheckFailure(reason=str(problem))])
        return provider_pb2.CheckResponse(inputs=values.encode(inputs))

    @_answering
    def Diff(self, request: provider_pb2.DiffRequest) -> provider_pb2.DiffResponse:  # noqa: D102, N802
        olds, news = values.decode(request.olds), values.decode(request.news)
        found = self._way(request.urn).diff(olds, news, request.ignoreChanges)
        detailed = {}
        for change in found.changes:
            kind = f"{change.kind}_REPLACE" if change.path in found.replaces else change.kind
            detail = provider_pb2.PropertyDiff(
                kind=provider_pb2.PropertyDiff.Kind.Value(kind), inputDiff=change.kind == "DELETE"
            )
            detailed[decisions.format_path(change.path)] = detail
        return _Diff(
            changes=_Diff.DIFF_SOME if detailed else _Diff.DIFF_NONE,
            replaces=map(decisions.format_path, found.replaces),
            diffs=sorted({str(change.path[0]) for change in found.changes}),
            detailedDiff=detailed,
            hasDetailedDiff=True,
            deleteBeforeReplace=found.delete_before_replace,
        )

    @_answering
    def Create(self, request: provider_pb2.CreateRequest) -> provider_pb2.CreateResponse:  # noqa: D102, N802
        call = self._call(request.urn, preview=request.preview, seconds=request.timeout)
        name, state = self._way(request.urn).create(values.decode(request.properties), call)
        return provider_pb2.CreateResponse(id=name, properties=values.encode(state))

    @_answering
    def Update(self, request: provider_pb2.UpdateRequest) -> provider_pb2.UpdateResponse:  # noqa: D102, N802
        call = self._call(request.urn, preview=request.preview, seconds=request.timeout, ignore=request.ignoreChanges)
        state = self._way(request.urn).update(values.decode(request.olds), values.decode(request.news), call)
        return provider_pb2.UpdateResponse(properties=values.encode(state))

    @_answering
    def Read(self, request: provider_pb2.ReadRequest) -> provider_pb2.ReadResponse:  # noqa: N802
        """What is there now, for a refresh or an import; an empty id says that it is gone."""
        state, inputs = values.decode(request.properties), values.decode(request.inputs)
        found = self._way(request.urn).read(_token(request.urn), request.id, state, inputs)
        if found is None:
            return provider_pb2.ReadResponse()
        return provider_pb2.ReadResponse(
            id=request.id, properties=values.encode(found[0]), inputs=values.encode(found[1])
        )

    @_answering
    def Delete(self, request: provider_pb2.DeleteRequest) -> empty_pb2.Empty:  # noqa: D102, N802
        call = self._call(request.urn, seconds=request.timeout)
        self._way(request.urn).delete(request.id, values.decode(request.properties), call)
        return empty_pb2.Empty()


def _is_harmless(setting: str, value: str) -> bool:
    return setting.startswith("suppress") or value == ("true" if setting == "enableServerSideApply" else "false")


def _same_cluster(olds: Object, news: Object) -> bool:
    try:
        return resolve(olds).cluster == resolve(news).cluster
    except UnreachableError:
        return True  # nobody can tell, so nothing is replaced


def _refusal(what: str) -> ProviderError:
    return ProviderError(
        f"the stand-in kubernetes provider does not do {what}. Use the official provider, or do without."
    )


def _token(urn: str) -> str:
    return urn.split("::")[2].rpartition("$")[2]
