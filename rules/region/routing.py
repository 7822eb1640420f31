"""Where requests are sent: the routes, their weights, and what each of them names."""

from __future__ import annotations

from collections.abc import Iterator

from rules.facts.region import Region
from rules.facts.versions import versions
from rules.facts.workloads import ALL, MESH, VirtualService
from rules.finding import Rule, Severity, Violation
from rules.region.hosts import for_testers, names, of_host, routed
from rules.region.reading import all_read


def _route(virtual_service: VirtualService, position: int) -> str:
    return f"{virtual_service.id}: spec.http[{position}]"


def _wrong_weights(region: Region) -> Iterator[Violation]:
    for where, destination in routed(region.workloads):
        if not 0 <= destination.weight <= ALL:
            yield Violation(f"{where}.weight", f"{destination.weight} is not in 0..100")
    for virtual_service in region.workloads.virtual_services:
        for position, route in zip(virtual_service.positions, virtual_service.routes, strict=True):
            weights = [destination.weight for destination in route]
            if route and all(0 <= weight <= ALL for weight in weights) and sum(weights) != ALL:
                yield Violation(
                    f"{_route(virtual_service, position)}.route",
                    f"the weights {' + '.join(map(str, weights))} make {sum(weights)}, not 100",
                )


def _not_one_split(region: Region) -> Iterator[Violation]:
    for each in region.workloads.virtual_services:
        if not each.routes:
            yield Violation(f"{each.id}: spec.http", "there is no route")
            continue
        first = each.positions[0]
        if not each.routes[0]:
            yield Violation(f"{_route(each, first)}.route", "there is no destination")
        for position in range(first + 1, len(each.routes) + len(each.testers)):
            yield Violation(_route(each, position), "the route before it takes every request")


def _without_pods(region: Region) -> Iterator[Violation]:
    if not all_read(region.workloads, "Deployment", "DestinationRule"):
        return
    known = versions(region.workloads)
    for where, destination in routed(region.workloads):
        if destination.weight <= 0 or destination.subset is None or known[destination.subset].replicas > 0:
            continue
        version = known[destination.subset]
        deployments = ", ".join(each.id.name for each in version.deployments)
        lack = f"its Deployment {deployments} has 0 replicas" if deployments else "no Deployment is of this version"
        if version.weight > 0:
            yield Violation(f"{where}.weight", f"{destination.weight} % of the requests go to {version.name}: {lack}")
        else:
            yield Violation(where, f"testers' requests go to {version.name}: {lack}", severity=Severity.WARNING)


def _misnamed(region: Region) -> Iterator[Violation]:
    for where, destination in routed(region.workloads):
        for header, value in destination.answers:
            if value != destination.subset:
                yield Violation(
                    f"{where}.headers.response.set.{header}", f"{value} is not the subset, {destination.subset}"
                )
    for where, tester in for_testers(region.workloads):
        if tester.value != tester.destination.subset:
            yield Violation(
                f"{where}.match[0].headers.{tester.header}", f"{tester.value} leads to {tester.destination.subset}"
            )


def _unbound(region: Region) -> Iterator[Violation]:
    for each in region.workloads.virtual_services:
        if each.gateways and MESH not in each.gateways:
            yield Violation(f"{each.id}: spec.gateways", f"{', '.join(each.gateways)} without {MESH}")


def _to_no_subset(region: Region) -> Iterator[Violation]:
    workloads = region.workloads
    if not all_read(workloads, "DestinationRule"):
        return
    for where, destination in routed(workloads):
        rules = [rule for rule in workloads.destination_rules if rule.host == destination.host]
        subsets = [subset.name for rule in rules for subset in rule.subsets]
        if destination.subset is None:
            if subsets:
                yield Violation(
                    f"{where}.destination",
                    f"without a subset its {destination.weight} % go to the pods of all versions",
                    mend=f"name one of the subsets {', '.join(subsets)}",
                )
        elif destination.subset not in subsets:
            yield Violation(
                f"{where}.destination.subset",
                f"{destination.subset} is not among the subsets of {destination.host}: {', '.join(subsets) or 'it has none'}",
                # Istio leaves a destination of weight 0 out of the route
                severity=None if destination.weight else Severity.WARNING,
            )


def _not_one_for_host(region: Region) -> Iterator[Violation]:
    workloads = region.workloads
    for service in workloads.services:
        if not of_host(service, workloads.deployments):
            continue
        for kind, found in (
            ("DestinationRule", [each.id for each in workloads.destination_rules if names(each.host, service)]),
            (
                "VirtualService",
                [each.id for each in workloads.virtual_services if any(names(host, service) for host in each.hosts)],
            ),
        ):
            if len(found) > 1:
                yield Violation(
                    str(found[1]), f"it is for the host of {service.id} as {found[0]} is, and nobody says which holds"
                )
            elif not found and all_read(workloads, kind):
                yield Violation(str(service.id), f"there is no {kind} for its host")


_UNSPLIT = "requests go to the pods of every version alike, whatever the weights"

ROUTING: tuple[Rule[Region], ...] = (
    Rule(
        id="weights-sum-100",
        holds="The weights of a route are whole percents, 0..100, and make 100.",
        reason="Istio would take them as proportions, so that a weight is not the percent of the requests that it says",
        mend="change the weights in the stack file so that they make 100",
        fact="https://istio.io/latest/docs/reference/config/networking/virtual-service/#HTTPRouteDestination",
        check=_wrong_weights,
    ),
    Rule(
        id="one-split-for-all-requests",
        holds="A VirtualService has one route, with a destination, that takes every request; routes for testers come before it.",
        reason="a request that no route takes gets 404, and of two routes that take every request only the first is used",
        mend="leave one route, with all versions as its destinations",
        fact="https://istio.io/latest/docs/concepts/traffic-management/#routing-rule-precedence",
        check=_not_one_split,
    ),
    Rule(
        id="weighted-version-has-pods",
        holds="A version that gets requests has pods.",
        reason="a subset without pods answers 503, and its share does not fall to the others",
        mend="give it replicas, or weight 0",
        fact="https://istio.io/latest/docs/ops/common-problems/network-issues/#503-errors-after-setting-destination-rule",
        check=_without_pods,
    ),
    Rule(
        id="routed-subset-exists",
        holds="Every destination of a route is a subset that the DestinationRule of its host has.",
        reason="a subset that is not there answers 503, and a destination without one is not of any version",
        mend="add the subset to the DestinationRule, or take the destination out of the route",
        fact="https://istio.io/latest/docs/reference/config/networking/virtual-service/#Destination",
        check=_to_no_subset,
    ),
    Rule(
        id="one-rule-and-routes-for-host",
        holds="The host of the Service has exactly one DestinationRule and one VirtualService.",
        reason=f"without one {_UNSPLIT}; of two VirtualServices only one holds, and two DestinationRules are "
        "merged by their age",
        mend="leave one of each, with all subsets and all destinations",
        fact="https://istio.io/latest/docs/ops/best-practices/traffic-management/#split-virtual-services",
        check=_not_one_for_host,
    ),
    Rule(
        id="header-names-its-version",
        holds="A header that names a version, of an answer or of a tester's request, names the subset that its route leads to.",
        reason="the measured shares, and what testers look at, would be those of another version",
        mend="render again: `rollout render` writes the headers",
        fact="https://istio.io/latest/docs/reference/config/networking/virtual-service/#Headers",
        check=_misnamed,
    ),
    Rule(
        id="split-holds-in-mesh",
        holds="The gateways of a VirtualService are left out, or `mesh` is among them.",
        reason="the routes hold at the gateways alone, and requests from inside the mesh go to the pods of every version alike",
        mend="add mesh",
        fact="https://istio.io/latest/docs/reference/config/networking/virtual-service/#VirtualService",
        check=_unbound,
    ),
)
