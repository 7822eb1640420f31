"""What a stack registers, as the rules can read it: plain Kubernetes objects, and what is there before each of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pulumi_policy import PolicyResource
from pulumi_policy.proxy import UnknownValueError

from rules.facts.shapes import KINDS
from rules.facts.workloads import ObjectId

SERVICE_NAMESPACE = "echo-rollout:service:ServiceNamespace"
"""The type of the component that is named as a namespace of services; `components.namespace` registers it."""
UNKNOWN = "(not known in a preview)"
"""Stands where a value is known only once something else is applied. No rule takes it for a number, a duration or a fixed tag."""

_SERVICE = "app.kubernetes.io/name"
"""The label that names the service of an object."""
_APPLICATION = ("argoproj.io", "Application")


@dataclass(frozen=True)
class Graph:
    """The resources of a stack.

    Attributes:
        stack: The stack's name.
        ids: What names each Kubernetes object in the cluster, by the URN of its resource.
        props: The properties of each resource, by its URN.
        namespaces: The namespaces that the program makes for services.
        applications: The paths of what Argo CD delivers, by the Application's name, which is a service's, and the namespace.
        before: For each resource the URNs of what is there before it: its dependencies and its parent.
    """

    stack: str
    ids: Mapping[str, ObjectId]
    props: Mapping[str, Mapping[str, Any]]
    namespaces: tuple[str, ...]
    applications: Mapping[tuple[str, str], str]
    before: Mapping[str, frozenset[str]]

    @classmethod
    def of(cls, resources: Sequence[PolicyResource], inputs: Mapping[str, Mapping[str, Any]]) -> Graph:
        """Read the resources of a stack that a policy is given, in no order, as they were registered where that is known, by URN."""
        resources = sorted(resources, key=lambda each: each.urn)
        props = {each.urn: inputs.get(each.urn, each.props) for each in resources}
        ids = dict(_ids(props))
        return cls(
            stack=resources[0].urn.split("::")[0].removeprefix("urn:pulumi:") if resources else "",
            ids=ids,
            props=props,
            namespaces=tuple(each.name for each in resources if each.resource_type == SERVICE_NAMESPACE),
            applications=dict(_applications(props, ids)),
            before={
                each.urn: frozenset(other.urn for other in (*each.dependencies, each.parent) if other is not None)
                for each in resources
            },
        )

    def workloads(self, namespace: str) -> dict[str, str]:
        """The service of each object in a namespace that one or the other delivers, as its label has it, by URN."""
        return {
            urn: str((_known(_known(self.props[urn], "metadata"), "labels") or {}).get(_SERVICE))
            for urn, each in self.ids.items()
            if each.namespace == namespace and each.kind in KINDS
        }

    def besides(self, namespace: str) -> tuple[Mapping[str, Any], ...]:
        """A namespace itself, and what is in it besides the workloads."""
        itself = ObjectId("Namespace", "", namespace)
        found = [
            urn
            for urn, each in self.ids.items()
            if each == itself or (each.namespace == namespace and each.kind not in KINDS)
        ]
        return tuple(self.plain(urn) for urn in found)

    def plain(self, urn: str) -> Mapping[str, Any]:
        """An object as its YAML has it."""
        plain: Mapping[str, Any] = _plain(self.props[urn])
        return plain

    def waits_for(self, later: str, earlier: str) -> bool:
        """Tell if Pulumi applies `later` after `earlier` and deletes it before: by dependencies, its own or its parents'."""
        seen: set[str] = set()
        todo = [later]
        while todo:
            urn = todo.pop()
            if urn == earlier:
                return True
            if urn not in seen:
                seen.add(urn)
                todo += self.before.get(urn, ())
        return False


def _ids(props: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, ObjectId]]:
    for urn, each in props.items():
        kind, metadata = _known(each, "kind"), _known(each, "metadata")
        if kind and isinstance(metadata, dict) and "name" in metadata:
            yield urn, ObjectId(str(kind), str(metadata.get("namespace", "")), str(metadata["name"]))


def _applications(
    props: Mapping[str, Mapping[str, Any]], ids: Mapping[str, ObjectId]
) -> Iterator[tuple[tuple[str, str], str]]:
    for urn, each in props.items():
        if urn not in ids or ids[urn].kind != _APPLICATION[1]:
            continue
        application = _plain(each)
        if str(application.get("apiVersion", "")).rpartition("/")[0] == _APPLICATION[0]:
            spec = application["spec"]
            yield (ids[urn].name, str(spec["destination"]["namespace"])), str(spec["source"]["path"])


def _plain(value: Any) -> Any:
    """A value of the graph without the guard that Pulumi puts around values that it may not know yet."""
    if isinstance(value, Mapping):
        return {key: _known(value, key) for key in value}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_known(value, position) for position in range(len(value))]
    return value


def _known(container: Any, key: Any) -> Any:
    try:
        return _plain(container[key])
    except KeyError:
        return None
    except UnknownValueError:
        return UNKNOWN
