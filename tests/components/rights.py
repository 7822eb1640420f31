"""The accounts of region-a, and what each may do, as Kubernetes would tell it from the roles that are registered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from components.access import RolloutAccess, RolloutAccessArgs
from rules.facts.workloads import Delivery
from stackfile.model import AccessConfig
from stackfile.reader import load_stack_file
from tests.components.graph import STACK_FILES, Graph, Node, record_component


@dataclass(frozen=True)
class Right:
    """One verb on one resource.

    Attributes:
        namespace: Where; "" for everywhere.
        names: Of which objects; none for all.
    """

    namespace: str
    verb: str
    group: str
    resource: str
    names: tuple[str, ...] = ()

    def allows(self, namespace: str, verb: str, group: str, resource: str, name: str = "") -> bool:
        return (
            self.namespace in ("", namespace)
            and (self.verb, self.group, self.resource) == (verb, group, resource)
            and (not self.names or name in self.names)
        )


def accounts(*clients: str, delivery: Delivery = "gitops") -> Graph:
    """What a region registers for its accounts, with clients in other namespaces too."""
    changed = {"access": AccessConfig(clients=clients), "delivery": delivery}
    config = load_stack_file(STACK_FILES[0]).model_copy(update=changed)
    return record_component(lambda: RolloutAccess("access", RolloutAccessArgs.of(config)))


def rights(graph: Graph, account: str) -> list[Right]:
    """All that the roles of a program give an account."""
    return [
        right
        for binding in graph
        if binding.kind in ("RoleBinding", "ClusterRoleBinding")
        and account in [subject["name"] for subject in binding.inputs["subjects"]]
        for role in graph
        if _is_of(role, binding)
        for right in _rights(role)
    ]


def _is_of(role: Node, binding: Node) -> bool:
    named = binding.inputs["roleRef"]
    where = binding.metadata.get("namespace") if named["kind"] == "Role" else None
    return (role.kind, role.inputs.get("metadata", {}).get("name")) == (named["kind"], named["name"]) and (
        role.metadata.get("namespace") == where
    )


def _rights(role: Node) -> Iterator[Right]:
    for rule in role.inputs["rules"]:
        for verb in rule["verbs"]:
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    names = tuple(rule.get("resourceNames") or ())
                    yield Right(role.metadata.get("namespace") or "", verb, group, resource, names)
