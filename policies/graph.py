"""What a stack registers, as the rules can read it: plain Kubernetes objects, and what is there before each of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pulumi_policy import PolicyResource
from pulumi_policy.proxy import UnknownValueError

from rules.facts.shapes import KINDS
from rules.facts.workloads import ObjectId

NAMESPACE = "echo"
"""The namespace of the workloads; `components.names` has it for the program."""
UNKNOWN = "(not known in a preview)"
"""Stands where a value is known only once something else is applied. No rule takes it for a number, a duration or a fixed tag."""

_APPLICATION = ("argoproj.io", "Application")


@dataclass(frozen=True)
class Graph:
    """The resources of a stack.

    Attributes:
        stack: The stack's name.
        ids: What names each Kubernetes object in the cluster, by the URN of its resource.
        workloads: The objects in the namespace of echo that one or the other delivers.
        namespace: That namespace itself, and what else is in it.
        applications: The objects that have Argo CD deliver into that namespace.
        before: For each resource the URNs of what is there before it: its dependencies and its parent.
    """

    stack: str
    ids: Mapping[str, ObjectId]
    workloads: tuple[Mapping[str, Any], ...]
    namespace: tuple[Mapping[str, Any], ...]
    applications: tuple[Mapping[str, Any], ...]
    before: Mapping[str, frozenset[str]]

    @classmethod
    def of(cls, resources: Sequence[PolicyResource], inputs: Mapping[str, Mapping[str, Any]]) -> Graph:
        """Read the resources of a stack that a policy is given, in no order, as they were registered where that is known, by URN."""
        resources = sorted(resources, key=lambda each: each.urn)
        props = {each.urn: inputs.get(each.urn, each.props) for each in resources}
        ids = dict(_ids(props))
        itself = ObjectId("Namespace", "", NAMESPACE)
        inside = [each for each in resources if each.urn in ids and ids[each.urn].namespace == NAMESPACE]
        others = [each for each in resources if ids.get(each.urn) == itself]
        others += [each for each in inside if ids[each.urn].kind not in KINDS]
        return cls(
            stack=resources[0].urn.split("::")[0].removeprefix("urn:pulumi:") if resources else "",
            ids=ids,
            workloads=tuple(_plain(props[each.urn]) for each in inside if ids[each.urn].kind in KINDS),
            namespace=tuple(_plain(props[each.urn]) for each in others),
            applications=tuple(_applications(props, ids)),
            before={
                each.urn: frozenset(other.urn for other in (*each.dependencies, each.parent) if other is not None)
                for each in resources
            },
        )

    def of_kind(self, kind: str) -> dict[str, ObjectId]:
        """What names the workloads of a kind, by the URN of their resource."""
        return {urn: each for urn, each in self.ids.items() if (each.kind, each.namespace) == (kind, NAMESPACE)}

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


def _applications(props: Mapping[str, Mapping[str, Any]], ids: Mapping[str, ObjectId]) -> Iterator[Mapping[str, Any]]:
    for urn, each in props.items():
        if urn not in ids or ids[urn].kind != _APPLICATION[1]:
            continue
        application = _plain(each)
        group = str(application.get("apiVersion", "")).rpartition("/")[0]
        if group == _APPLICATION[0] and application["spec"]["destination"]["namespace"] == NAMESPACE:
            yield application


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
