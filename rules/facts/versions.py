"""What the objects of a region together say of each version."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import chain

from rules.facts.workloads import Version, Workloads

VERSION_LABEL = "version"
"""The label of a pod that names its version, where no subset does."""


def versions(workloads: Workloads) -> Mapping[str, Version]:
    """All versions that a route, a subset or a Deployment names, in the order v1, v2, v10.

    Where several routes name a version, its weight is the greatest of them.
    """
    subsets = {subset.name: subset.labels for rule in workloads.destination_rules for subset in rule.subsets}
    weights = _weights(workloads)
    testers = {
        subset
        for each in workloads.virtual_services
        for tester in each.testers
        if (subset := tester.destination.subset) is not None
    }
    selected = {
        name: tuple(each for each in workloads.deployments if selects(labels, each.labels))
        for name, labels in subsets.items()
    }
    in_subset = {each.id for deployments in selected.values() for each in deployments}
    for each in workloads.deployments:
        name = each.labels.get(VERSION_LABEL)
        # pods that the subset of their name does not select get none of its requests
        if name and name not in subsets and each.id not in in_subset:
            selected[name] = (*selected.get(name, ()), each)
    return {
        name: Version(
            name,
            weight=weights.get(name, 0),
            routed=name in weights,
            subset=name in subsets,
            replicas=sum(each.replicas for each in selected.get(name, ())),
            deployments=selected.get(name, ()),
            testers=name in testers,
        )
        for name in sorted({*weights, *selected, *testers}, key=by_number)
    }


def by_number(name: str) -> tuple[tuple[int, str], ...]:
    """Sort names as people count: v2 comes before v10."""
    return tuple((int(number or -1), text) for number, text in re.findall(r"([0-9]+)|([^0-9]+)", name))


def selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Whether pods with these labels are selected; by a selector without a label none are, as by a Service's."""
    return bool(selector) and selector.items() <= labels.items()


def _weights(workloads: Workloads) -> dict[str, int]:
    weights: dict[str, int] = {}
    routes = (route for each in workloads.virtual_services for route in each.routes)
    for destination in chain.from_iterable(routes):
        if destination.subset is not None:
            weights[destination.subset] = max(weights.get(destination.subset, 0), destination.weight)
    return weights
