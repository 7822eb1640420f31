"""A good region with one thing changed, and what the rules say of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rules.catalogue import ONE_REGION
from rules.facts.region import Region
from rules.facts.workloads import Destination, Unreadable
from rules.finding import Violation

_RULES = {rule.id: rule for rule in ONE_REGION}


def violations(rule_id: str, region: Region) -> list[Violation]:
    return list(_RULES[rule_id].check(region))


def texts(rule_id: str, region: Region) -> list[str]:
    """Each violation as `where: what`."""
    return [f"{each.where}: {each.what}" for each in violations(rule_id, region)]


def workloads(region: Region, **changes: Any) -> Region:
    return replace(region, workloads=replace(region.workloads, **changes))


def each(region: Region, kind: str, name: str | None = None, **changes: Any) -> Region:
    """Change the objects in a field of the workloads, or only that of this name."""
    found = getattr(region.workloads, kind)
    changed = tuple(replace(one, **changes) if name in (None, one.id.name) else one for one in found)
    assert changed != found, "nothing was changed"
    return workloads(region, **{kind: changed})


def without(region: Region, kind: str, name: str) -> Region:
    found = getattr(region.workloads, kind)
    kept = tuple(one for one in found if one.id.name != name)
    assert kept != found, "nothing was taken out"
    return workloads(region, **{kind: kept})


def twice(region: Region, kind: str, name: str) -> Region:
    """A second object like this one, of another name."""
    (one,) = (one for one in getattr(region.workloads, kind) if one.id.name == name)
    second = replace(one, id=replace(one.id, name=f"{name}-again"))
    return workloads(region, **{kind: (*getattr(region.workloads, kind), second)})


def destination(region: Region, entry: int, **changes: Any) -> Region:
    """Change one destination of the route."""
    (route,) = region.workloads.virtual_services[0].routes
    changed = tuple(replace(one, **changes) if at == entry else one for at, one in enumerate(route))
    return routes(region, changed)


def routes(region: Region, *new: tuple[Destination, ...]) -> Region:
    return each(region, "virtual_services", routes=new)


def subset(region: Region, entry: int, **changes: Any) -> Region:
    """Change one subset of the DestinationRule."""
    found = region.workloads.destination_rules[0].subsets
    changed = tuple(replace(one, **changes) if at == entry else one for at, one in enumerate(found))
    return each(region, "destination_rules", subsets=changed)


def detection(region: Region, **changes: Any) -> Region:
    found = region.workloads.destination_rules[0].outlier_detection
    assert found is not None
    return each(region, "destination_rules", outlier_detection=replace(found, **changes))


def port(region: Region, **changes: Any) -> Region:
    """Change the port of the Service."""
    (found,) = region.workloads.services[0].ports
    return each(region, "services", ports=(replace(found, **changes),))


def unread(region: Region, kind: str) -> Region:
    """Say that there is an object of this kind that cannot be read."""
    return workloads(region, unreadable=(Unreadable(f"{kind} echo/other", "is no good", kind),))
