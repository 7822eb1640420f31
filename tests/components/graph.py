"""Run the whole program against a monitor that records what it registers: no engine, no cluster, no state."""

import asyncio
import contextvars
import json
import runpy
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pulumi
from pulumi.runtime import rpc
from pulumi.runtime.mocks import MockCallArgs, MockEngine, MockMonitor, MockResourceArgs, Mocks, MockSettings
from pulumi.runtime.proto import resource_pb2
from pulumi.runtime.settings import configure
from pulumi.runtime.stack import run_in_stack
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
STACK_FILES = (ROOT / "Pulumi.region-a.yaml", ROOT / "Pulumi.region-b.yaml")
MANIFEST = Path(__file__).with_name("argocd.yaml")


@dataclass(frozen=True)
class Node:
    """One resource as the program registered it; `inputs` are in the form that goes over the wire."""

    type: str
    name: str
    urn: str
    parent: str
    provider: str
    custom: bool
    inputs: Mapping[str, Any]
    dependencies: frozenset[str]
    timeouts: tuple[str, str] = ("", "")
    """How long a creation and an update may take."""
    retained: bool = False
    """It stays on the cluster when the stack lets go of it."""
    protected: bool = False
    """Pulumi refuses to delete and to replace it."""
    ignored: tuple[str, ...] = ()
    """Inputs that stay as the stack's state has them."""
    aliases: tuple[tuple[str, str], ...] = ()
    """Other types and names that it may have in a state from before, below the same parent; "" for those of now."""

    @property
    def kind(self) -> str:
        return self.type.rsplit(":", 1)[-1]

    @property
    def metadata(self) -> Mapping[str, Any]:
        return dict(self.inputs["metadata"])


@dataclass(frozen=True)
class Graph:
    nodes: Mapping[str, Node]
    finished: Mapping[str, Mapping[str, Any]]

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes.values())

    @property
    def objects(self) -> list[Node]:
        """Everything that goes to the cluster, but for Helm's releases."""
        return [node for node in self if "metadata" in node.inputs]

    @property
    def outputs(self) -> Mapping[str, Any]:
        return next(outputs for urn, outputs in self.finished.items() if "::pulumi:pulumi:Stack::" in urn)

    def the(self, kind: str, name: str) -> Node:
        """The one resource of a kind and a name in Pulumi."""
        (node,) = [node for node in self if (node.kind, node.name) == (kind, name)]
        return node

    def waits_for(self, later: Node, earlier: Node) -> bool:
        """Tell if Pulumi makes `later` after `earlier` and deletes it before: by dependencies, its own or its parents'."""
        seen: set[str] = set()
        todo = [later.urn]
        while todo:
            urn = todo.pop()
            if urn == earlier.urn:
                return True
            if urn in seen or urn not in self.nodes:
                continue
            seen.add(urn)
            todo += [*self.nodes[urn].dependencies, self.nodes[urn].parent]
        return False


@dataclass(frozen=True)
class World:
    """What there is before the program runs."""

    outputs: Mapping[str, Any] = field(default_factory=dict)
    """The stack's own, of its last update."""
    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """The labels of the Secrets on the cluster, by namespace/name."""
    preview: bool = False
    refused: str = ""
    """A kind of which the cluster takes no object."""


LIVING = World({"delivery": "gitops", "services": {"echo": {}}})
"""A stack that is up: a hand-over of it finds the services' objects as the stack made them."""


class _Echoing(Mocks):
    """A provider that answers every registration with its own inputs, and in a preview gives nothing an id."""

    def __init__(self, world: World) -> None:
        self.world = world

    def call(self, args: MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        if args.token != "pulumi:pulumi:readStackOutputs":
            raise AssertionError(f"the program calls {args.token}, so it cannot be evaluated without a cluster")
        # another stack's outputs would say nothing about this one
        assert args.args["name"] == f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"
        return {"outputs": dict(self.world.outputs), "secretOutputNames": []}, []

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        if args.typ.rpartition(":")[2] == self.world.refused:
            raise RuntimeError(f"{args.name} is refused")
        if args.resource_id and args.typ == "kubernetes:core/v1:Secret":
            if args.resource_id == rpc.UNKNOWN:
                return rpc.UNKNOWN, {"metadata": rpc.UNKNOWN}
            return args.resource_id, {"metadata": {"labels": dict(self.world.secrets[args.resource_id])}}
        if self.world.preview:
            return "", dict(args.inputs)
        # a cluster's ids are its own names
        metadata = args.inputs.get("metadata", {"name": f"{args.name}-id"})
        return "/".join(filter(None, (metadata.get("namespace"), metadata["name"]))), dict(args.inputs)


class _Recorder(MockMonitor):
    def __init__(self, world: World) -> None:
        super().__init__(_Echoing(world))
        self._lock = threading.Lock()
        self.nodes: dict[str, Node] = {}
        self.finished: dict[str, Mapping[str, Any]] = {}

    def _record(
        self, request: resource_pb2.ReadResourceRequest | resource_pb2.RegisterResourceRequest, urn: str, **more: Any
    ) -> None:
        node = Node(
            type=request.type,
            name=request.name,
            urn=urn,
            parent=request.parent,
            provider=request.provider,
            dependencies=frozenset(request.dependencies),
            **more,
        )
        with self._lock:
            if urn in self.nodes:
                raise AssertionError(f"{urn} is registered twice")
            self.nodes[urn] = node

    def ReadResource(self, request: resource_pb2.ReadResourceRequest) -> Any:  # noqa: N802 - the protocol's name
        answer = super().ReadResource(request)  # type: ignore[no-untyped-call]
        self._record(request, answer.urn, custom=True, inputs={})
        return answer

    def RegisterResource(self, request: resource_pb2.RegisterResourceRequest) -> Any:  # noqa: N802 - the protocol's name
        answer = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        self._record(
            request,
            answer.urn,
            custom=request.custom,
            inputs=rpc.deserialize_properties(request.object, keep_unknowns=True),
            timeouts=(request.customTimeouts.create, request.customTimeouts.update),
            retained=request.retainOnDelete,
            protected=request.protect,
            ignored=tuple(request.ignoreChanges),
            aliases=tuple((alias.spec.type, alias.spec.name) for alias in request.aliases),
        )
        return answer

    def RegisterResourceOutputs(self, request: resource_pb2.RegisterResourceOutputsRequest) -> Any:  # noqa: N802
        # a ConfigFile's outputs are its objects: reading those here would look each of them up
        is_stack = "::pulumi:pulumi:Stack::" in request.urn
        outputs = rpc.deserialize_properties(request.outputs, keep_unknowns=True) if is_stack else {}
        with self._lock:
            self.finished[request.urn] = outputs
        return super().RegisterResourceOutputs(request)  # type: ignore[no-untyped-call]


def attempt(
    program: Callable[[], Any],
    config: Mapping[str, str] | None = None,
    stack: str = "region-a",
    world: World | None = None,
) -> tuple[Graph, Exception | None]:
    """Run a program in a context of its own and return what it registered, and the error that it ended with."""
    before = world or World()

    def run() -> tuple[Graph, Exception | None]:
        recorder = _Recorder(before)
        features = set(recorder.GetDeploymentInfo(None).supportedFeatures)  # type: ignore[no-untyped-call]
        # not set_mocks: it makes a root stack of its own, whose outputs would not be the program's
        configure(
            MockSettings(  # type: ignore[no-untyped-call]
                monitor=recorder,
                monitor_features=features,
                engine=MockEngine(None),
                project="echo-rollout",
                stack=stack,
                dry_run=before.preview,
                organization="organization",
                callbacks=None,
                # else what a run that failed has left would be waited for by the next one
                outputs=set(),
            )
        )
        pulumi.runtime.set_all_config(dict(config or {}))
        graph = Graph(nodes=recorder.nodes, finished=recorder.finished)
        try:
            asyncio.run(_quietly(run_in_stack(program)))
        except Exception as error:
            return graph, error
        return graph, None

    return contextvars.Context().run(run)


async def _quietly(running: Coroutine[Any, Any, None]) -> None:
    """Await a run whose failure its caller gets: that the tasks behind it have it too need not be logged when they are finalised.

    To log it, CPython 3.11 parses source code, and if that falls into another parsing, it takes both for broken.
    """
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
    await running


def record(
    program: Callable[[], Any],
    config: Mapping[str, str] | None = None,
    stack: str = "region-a",
    world: World | None = None,
) -> Graph:
    """Run a program in a context of its own and return what it registered."""
    graph, error = attempt(program, config, stack, world)
    if error is not None:
        raise error
    return graph


def record_component(build: Callable[[], pulumi.ComponentResource]) -> Graph:
    """Run a program that is one component."""
    return record(lambda: build() and None)


def stack_config(stack_file: Path, **changed: Any) -> dict[str, str]:
    """Return a stack file's values as Pulumi passes them, as JSON, sorted by key; with a manifest that needs no network.

    What is changed is given by its key; an object is merged over the file's.
    """
    config = YAML(typ="safe", pure=True).load(stack_file)["config"]
    config.setdefault("echo-rollout:argocd", {}).setdefault("manifest", str(MANIFEST))
    for key, value in changed.items():
        old = config.get(f"echo-rollout:{key}")
        config[f"echo-rollout:{key}"] = {**old, **value} if isinstance(old, dict) else value
    return {
        key: value if isinstance(value, str) else json.dumps(value, sort_keys=True) for key, value in config.items()
    }


def shipped_echo(**changed: Any) -> dict[str, Any]:
    """The service of the shipped stack files with something else in it, as the value of `services`."""
    config = YAML(typ="safe", pure=True).load(STACK_FILES[0])["config"]
    return {"echo": {**config["echo-rollout:services"]["echo"], **changed}}


def record_stack(stack_file: Path, world: World | None = None, **changed: Any) -> Graph:
    """Run `__main__.py` on a stack file in which some values are changed."""
    return record(run_main, stack_config(stack_file, **changed), stack_file.name.split(".")[1], world)


def run_main() -> None:
    runpy.run_path(str(ROOT / "__main__.py"), run_name="__main__")
