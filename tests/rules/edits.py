"""Regions with one thing changed in their objects; an edit that returns None takes the object away."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from rules.facts.manifests import read
from rules.facts.region import Region
from rules.facts.workloads import (
    Budget,
    Deployment,
    Destination,
    DestinationRule,
    HeaderRoute,
    ObjectId,
    Service,
    Subset,
    VirtualService,
    Workloads,
)

Kind = TypeVar("Kind", Deployment, Service, DestinationRule, VirtualService, Budget)


def with_deployment(of: Region, version: str, edit: Callable[[Deployment], Deployment | None]) -> Region:
    def edit_version(each: Deployment) -> Deployment | None:
        return edit(each) if each.id.name == f"echo-{version}" else each

    found = of.workloads
    return _with(of, replace(found, deployments=_edited(found.deployments, edit_version)))


def with_budget(of: Region, version: str, edit: Callable[[Budget], Budget | None]) -> Region:
    def edit_version(each: Budget) -> Budget | None:
        return edit(each) if each.id.name == f"echo-{version}" else each

    return _with(of, replace(of.workloads, budgets=_edited(of.workloads.budgets, edit_version)))


def with_service(of: Region, edit: Callable[[Service], Service | None]) -> Region:
    return _with(of, replace(of.workloads, services=_edited(of.workloads.services, edit)))


def with_rule(of: Region, edit: Callable[[DestinationRule], DestinationRule | None]) -> Region:
    return _with(of, replace(of.workloads, destination_rules=_edited(of.workloads.destination_rules, edit)))


def with_routes(of: Region, edit: Callable[[VirtualService], VirtualService | None]) -> Region:
    return _with(of, replace(of.workloads, virtual_services=_edited(of.workloads.virtual_services, edit)))


def with_destination(of: Region, version: str, edit: Callable[[Destination], Destination | None]) -> Region:
    """The region with something else in the routes to a version."""

    def edit_routes(each: VirtualService) -> VirtualService:
        routes = tuple(
            tuple(
                changed
                for destination in route
                if (changed := edit(destination) if destination.subset == version else destination) is not None
            )
            for route in each.routes
        )
        return replace(each, routes=routes)

    return with_routes(of, edit_routes)


def with_testers(of: Region, edit: Callable[[HeaderRoute], HeaderRoute]) -> Region:
    return with_routes(of, lambda it: replace(it, testers=tuple(edit(each) for each in it.testers)))


def with_subset(of: Region, version: str, labels: Mapping[str, str] | None) -> Region:
    """The region with other labels of a version's subset; without the subset for None."""

    def edit(rule: DestinationRule) -> DestinationRule:
        subsets = tuple(
            Subset(each.name, labels) if each.name == version and labels is not None else each
            for each in rule.subsets
            if each.name != version or labels is not None
        )
        return replace(rule, subsets=subsets)

    return with_rule(of, edit)


def with_waves(of: Region, deployments: int, rule: int, routes: int) -> Region:
    found = of.workloads
    return _with(
        of,
        replace(
            found,
            deployments=tuple(replace(each, wave=deployments) for each in found.deployments),
            destination_rules=tuple(replace(each, wave=rule) for each in found.destination_rules),
            virtual_services=tuple(replace(each, wave=routes) for each in found.virtual_services),
        ),
    )


def with_document(of: Region, kind: str, name: str, path: str, value: object) -> Region:
    """The region with another value in an object as it is written, at a path such as `spec/http/0/timeout`; without it for None."""
    documents = copy.deepcopy(dict(of.workloads.documents))
    *parents, last = [int(step) if step.isdigit() else step for step in path.split("/")]
    place: Any = documents[ObjectId(kind, "echo", name)]
    for step in parents:
        place = place[step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return _with(of, read(documents.values()))


def with_settings(of: Region, **settings: object) -> Region:
    """The region with other settings; their paths are written with `__` for each dot."""
    return replace(of, settings={**of.settings, **{key.replace("__", "."): value for key, value in settings.items()}})


def _edited(objects: tuple[Kind, ...], edit: Callable[[Kind], Kind | None]) -> tuple[Kind, ...]:
    return tuple(edited for each in objects if (edited := edit(each)) is not None)


def _with(of: Region, workloads: Workloads) -> Region:
    """The region with these objects."""
    return replace(of, workloads=workloads)
