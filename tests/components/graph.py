"""Run the whole program against a monitor that records what it registers: no engine, no cluster, no state."""

import asyncio
import contextvars
import json
import runpy
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
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
    timeouts: tuple[str, str]
    """How long a creation and an update may take."""

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


class _Echoing(Mocks):
    """A provider that answers every registration with its own inputs."""

    def call(self, args: MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        raise AssertionError(f"the program calls {args.token}, so it cannot be evaluated without a cluster")

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        return f"{args.name}-id", dict(args.inputs)


class _Recorder(MockMonitor):
    def __init__(self) -> None:
        super().__init__(_Echoing())
        self._lock = threading.Lock()
        self.nodes: dict[str, Node] = {}
        self.finished: dict[str, Mapping[str, Any]] = {}

    def RegisterResource(self, request: resource_pb2.RegisterResourceRequest) -> Any:  # noqa: N802 - the protocol's name
        answer = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        node = Node(
            type=request.type,
            name=request.name,
            urn=answer.urn,
            parent=request.parent,
            provider=request.provider,
            custom=request.custom,
            inputs=rpc.deserialize_properties(request.object),
            dependencies=frozenset(request.dependencies),
            timeouts=(request.customTimeouts.create, request.customTimeouts.update),
        )
        with self._lock:
            if node.urn in self.nodes:
                raise AssertionError(f"{node.urn} is registered twice")
            self.nodes[node.urn] = node
        return answer

    def RegisterResourceOutputs(self, request: resource_pb2.RegisterResourceOutputsRequest) -> Any:  # noqa: N802
        with self._lock:
            self.finished[request.urn] = rpc.deserialize_properties(request.outputs)
        return super().RegisterResourceOutputs(request)  # type: ignore[no-untyped-call]


def record(program: Callable[[], Any], config: Mapping[str, str] | None = None, stack: str = "region-a") -> Graph:
    """Run a program in a context of its own and return what it registered."""

    def run() -> Graph:
        recorder = _Recorder()
        features = set(recorder.GetDeploymentInfo(None).supportedFeatures)  # type: ignore[no-untyped-call]
        # not set_mocks: it makes a root stack of its own, whose outputs would not be the program's
        configure(
            MockSettings(  # type: ignore[no-untyped-call]
                monitor=recorder,
                monitor_features=features,
                engine=MockEngine(None),
                project="echo-rollout",
                stack=stack,
                dry_run=False,
                organization="organization",
                callbacks=None,
            )
        )
        pulumi.runtime.set_all_config(dict(config or {}))
        asyncio.run(run_in_stack(program))
        return Graph(nodes=recorder.nodes, finished=recorder.finished)

    return contextvars.Context().run(run)


def record_component(build: Callable[[], pulumi.ComponentResource]) -> Graph:
    """Run a program that is one component."""
    return record(lambda: build() and None)


def record_stack(stack_file: Path) -> Graph:
    """Run `__main__.py` on a stack file, its values passed on as Pulumi passes them: as JSON, sorted by key."""
    config = YAML(typ="safe", pure=True).load(stack_file)["config"]
    wire = {
        key: value if isinstance(value, str) else json.dumps(value, sort_keys=True) for key, value in config.items()
    }
    return record(run_main, wire, stack_file.name.split(".")[1])


def run_main() -> None:
    runpy.run_path(str(ROOT / "__main__.py"), run_name="__main__")
