"""What people get wrong: each mutation makes something unsafe of what was safe, and names the rule that must notice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import product

from rules.facts.region import Change, Limits, Region
from rules.facts.windows import RecurringWindow
from rules.facts.workloads import (
    MESH,
    ConnectionPool,
    Delivery,
    Deployment,
    Destination,
    DestinationRule,
    HeaderRoute,
    ObjectId,
    OutlierDetection,
    ServicePort,
    Subset,
    Unreadable,
    VirtualService,
)
from rules.finding import Severity
from tests.rules.edits import (
    with_budget,
    with_deployment,
    with_destination,
    with_document,
    with_routes,
    with_rule,
    with_service,
    with_settings,
    with_subset,
    with_testers,
    with_waves,
)
from tests.rules.good import GATEWAY, HEADER, HOST, OUTSIDE, Wanted, region, versions

REGIONS = ("region-a", "region-b")
ALL: tuple[Delivery, ...] = ("gitops", "direct", "handover")
BY_ARGO_CD: tuple[Delivery, ...] = ("gitops", "handover")
EACH = ("v1", "v2")
CANARY = ("v2",)
ALWAYS_FROZEN = Limits(freeze=(RecurringWindow("0 0 * * *", "24h", reason="a drill"),))
SOME_DAY = datetime(2026, 11, 29, tzinfo=UTC)


@dataclass(frozen=True)
class Case:
    """A change that a rule must notice.

    Attributes:
        rule: The rule.
        severity: What becomes of the change.
        make: Makes the change of all regions.
        also: Other rules that must notice the same fault, from their own side.
    """

    name: str
    rule: str
    severity: Severity
    make: Callable[[], Sequence[Change]]
    also: frozenset[str] = frozenset()


OfRegion = Callable[[Region, str], Region]
OfChange = Callable[[str, Delivery, str], Change]
OfRegions = Callable[[], Sequence[Change]]

CASES: list[Case] = []


def bad_region(
    rule: str, *also: str, of: Sequence[str] = EACH, severity: Severity = Severity.REFUSED
) -> Callable[[OfRegion], OfRegion]:
    """Register a mutation of a good region, for each of these versions in each region; the other region is left alone."""

    def register(mutate: OfRegion) -> OfRegion:
        for name, version in product(REGIONS, of):
            make = partial(_of_bad_region, mutate, name, version)
            CASES.append(Case(_name(rule, mutate, name, version), rule, severity, make, frozenset(also)))
        return mutate

    return register


def bad_change(
    rule: str,
    *also: str,
    of: Sequence[str] = EACH,
    by: Sequence[Delivery] = ALL,
    severity: Severity = Severity.REFUSED,
) -> Callable[[OfChange], OfChange]:
    """Register a change of one region, for each of these versions and ways of delivery; the other region is left alone."""

    def register(mutate: OfChange) -> OfChange:
        for delivery, version in product(by, of):
            make = partial(_of_bad_change, mutate, delivery, version)
            CASES.append(Case(_name(rule, mutate, delivery, version), rule, severity, make, frozenset(also)))
        return mutate

    return register


def bad_regions(rule: str, *also: str, severity: Severity = Severity.REFUSED) -> Callable[[OfRegions], OfRegions]:
    """Register a change of several regions."""

    def register(mutate: OfRegions) -> OfRegions:
        CASES.append(Case(_name(rule, mutate), rule, severity, mutate, frozenset(also)))
        return mutate

    return register


def _of_bad_region(mutate: OfRegion, name: str, version: str) -> Sequence[Change]:
    return Change(region(name), mutate(region(name), version)), _kept(_other(name))


def _of_bad_change(mutate: OfChange, delivery: Delivery, version: str) -> Sequence[Change]:
    name = REGIONS[0]
    return mutate(name, delivery, version), _kept(_other(name))


def _name(rule: str, mutate: Callable[..., object], *variant: str) -> str:
    return f"{rule}: {' '.join([mutate.__name__, *variant])}"


def _kept(name: str) -> Change:
    return Change(region(name), region(name))


def _other(name: str) -> str:
    return REGIONS[1 - REGIONS.index(name)]


def _rest(version: str) -> str:
    return "v1" if version == "v2" else "v2"


# --- what an update rests on

_POD = "spec/template/spec"
_CONTAINER = f"{_POD}/containers/0"


def _in_deployment(of: Region, version: str, path: str, value: object) -> Region:
    return with_document(of, "Deployment", f"echo-{version}", path, value)


def _of_pods(rule: str, path: str, value: object, severity: Severity = Severity.REFUSED) -> None:
    """Register one value in the pods of a version, in a region that is new with it: what is there may change it in a warning's way."""
    for name, version in product(REGIONS, EACH):
        make = partial(_new_with, name, version, path, value)
        CASES.append(Case(f"{rule}: {path} {value} {name} {version}", rule, severity, make))


def _new_with(name: str, version: str, path: str, value: object) -> Sequence[Change]:
    return Change(None, _in_deployment(region(name), version, path, value)), _kept(_other(name))


_of_pods("pods-tell-readiness", f"{_CONTAINER}/readinessProbe", None)
_of_pods("liveness-proven-at-start", f"{_CONTAINER}/livenessProbe/httpGet/path", "/nothing")
_of_pods("liveness-proven-at-start", f"{_CONTAINER}/livenessProbe/httpGet/port", 9)
_of_pods("liveness-proven-at-start", f"{_CONTAINER}/livenessProbe/periodSeconds", 1, Severity.WARNING)
_of_pods("pods-end-in-peace", f"{_POD}/terminationGracePeriodSeconds", 0)
_of_pods("pods-end-in-peace", f"{_POD}/terminationGracePeriodSeconds", 9)
_of_pods("pods-end-in-peace", f"{_CONTAINER}/lifecycle", {"preStop": {"sleep": {"seconds": 21}}})

for _path, _value in (
    (f"{_CONTAINER}/readinessProbe/httpGet/path", "/other"),
    (f"{_CONTAINER}/readinessProbe/periodSeconds", 1),
    (f"{_CONTAINER}/resources/limits/memory", "128Mi"),
    (f"{_CONTAINER}/env/3/value", "0"),
    (f"{_POD}/serviceAccountName", "default"),
    ("spec/template/metadata/labels/team", "north"),
):

    @bad_change("pods-changed-under-requests", severity=Severity.WARNING)
    def a_template_changes(
        name: str, delivery: Delivery, version: str, path: str = _path, value: object = _value
    ) -> Change:
        before = region(name, delivery=delivery)
        return Change(before, _in_deployment(before, version, path, value))


@bad_region("kept-without-file", of=CANARY)
def a_service_may_be_pruned(of: Region, _: str) -> Region:
    return with_service(of, lambda it: replace(it, kept=False))


@bad_region("kept-without-file", of=CANARY)
def routes_and_subsets_may_be_pruned(of: Region, _: str) -> Region:
    return with_rule(with_routes(of, lambda it: replace(it, kept=False)), lambda it: replace(it, kept=False))


@bad_region("pool-has-room", of=CANARY, severity=Severity.WARNING)
def a_pool_is_smaller_than_the_probe_needs(of: Region, _: str) -> Region:
    return with_rule(of, lambda it: replace(it, connection_pool=ConnectionPool(10, 10)))


@bad_region("pool-has-room", "pool-reaches-pods", of=CANARY, severity=Severity.WARNING)
def a_pool_has_one_connection(of: Region, _: str) -> Region:
    return with_rule(of, lambda it: replace(it, connection_pool=ConnectionPool(1, 1)))


@bad_region("pool-reaches-pods", of=CANARY, severity=Severity.WARNING)
def a_pool_has_fewer_connections_than_there_are_pods(of: Region, _: str) -> Region:
    return with_rule(of, lambda it: replace(it, connection_pool=ConnectionPool(2, 1000)))


# --- what can be read


@bad_region("objects-readable", of=CANARY)
def an_object_cannot_be_read(of: Region, _: str) -> Region:
    fault = Unreadable("VirtualService echo/echo: spec.http[0].fault", "aborts requests", "VirtualService")
    return replace(of, workloads=replace(of.workloads, unreadable=(fault,)))


# --- routes


@bad_region("weights-sum-100")
def a_weight_is_lost(of: Region, version: str) -> Region:
    return with_destination(of, version, lambda it: replace(it, weight=it.weight - 1))


@bad_region("weights-sum-100")
def a_destination_goes_with_its_weight(of: Region, version: str) -> Region:
    return with_destination(of, version, lambda _: None)


@bad_region("weights-sum-100", "increase-limited", of=CANARY)
def a_weight_is_over_100(of: Region, version: str) -> Region:
    return with_destination(of, version, lambda it: replace(it, weight=101))


@bad_region("weights-sum-100")
def a_version_is_routed_twice(of: Region, version: str) -> Region:
    def edit(it: VirtualService) -> VirtualService:
        twice = tuple(each for each in it.routes[0] if each.subset == version)
        return replace(it, routes=((*it.routes[0], *twice),))

    return with_routes(of, edit)


@bad_region("one-split-for-all-requests", of=CANARY)
def there_is_no_route(of: Region, _: str) -> Region:
    return with_routes(of, lambda it: replace(it, routes=()))


@bad_region("one-split-for-all-requests", of=("v1",))
def a_second_route_is_never_reached(of: Region, version: str) -> Region:
    return with_routes(of, lambda it: replace(it, routes=(*it.routes, (Destination(HOST, version, 80, 100),))))


@bad_region("weighted-version-has-pods", "removed-only-when-idle", of=CANARY)
def a_version_with_weight_loses_its_pods(of: Region, version: str) -> Region:
    return with_deployment(of, version, lambda it: replace(it, replicas=0))


@bad_region("weighted-version-has-pods", "rollback-capacity", "removed-only-when-idle", of=("v1",))
def the_stable_version_loses_its_pods(of: Region, version: str) -> Region:
    return with_deployment(of, version, lambda it: replace(it, replicas=0))


@bad_region("weighted-version-has-pods", "removed-only-when-idle", "subset-matches-one-deployment", of=CANARY)
def a_version_with_weight_loses_its_deployment(of: Region, version: str) -> Region:
    return with_deployment(of, version, lambda _: None)


@bad_region("routed-subset-exists", "removed-only-when-idle")
def a_subset_goes_and_its_route_stays(of: Region, version: str) -> Region:
    return with_subset(of, version, None)


@bad_region("routed-subset-exists", "weighted-version-has-pods", "removed-only-when-idle", of=CANARY)
def a_subset_is_misspelt(of: Region, version: str) -> Region:
    def edit(it: DestinationRule) -> DestinationRule:
        return replace(
            it,
            subsets=tuple(
                Subset(each.name.upper() if each.name == version else each.name, each.labels) for each in it.subsets
            ),
        )

    return with_rule(of, edit)


@bad_region("routed-subset-exists", "header-names-its-version")
def a_destination_names_no_subset(of: Region, version: str) -> Region:
    return with_destination(of, version, lambda it: replace(it, subset=None))


@bad_region("routed-subset-exists", "weighted-version-has-pods", "header-names-its-version", of=CANARY)
def a_destination_names_another_subset(of: Region, version: str) -> Region:
    return with_destination(of, version, lambda it: replace(it, subset="v3"))


@bad_change("weighted-version-has-pods", of=("v3",))
def a_new_version_comes_without_pods(name: str, delivery: Delivery, version: str) -> Change:
    after = {**versions(v1=85, v2=10), version: Wanted(5, replicas=0)}
    return Change(region(name, delivery=delivery), region(name, after, delivery=delivery))


@bad_change("routed-subset-exists", of=("v3",))
def a_new_version_comes_without_its_subset(name: str, delivery: Delivery, version: str) -> Change:
    after = region(name, {**versions(v1=85, v2=10), version: Wanted(5)}, delivery=delivery)
    return Change(region(name, delivery=delivery), with_subset(after, version, None))


@bad_region("one-rule-and-routes-for-host", of=CANARY)
def the_routes_go(of: Region, _: str) -> Region:
    return with_routes(of, lambda _: None)


@bad_region("one-rule-and-routes-for-host", "routed-subset-exists", "removed-only-when-idle", of=CANARY)
def the_subsets_go(of: Region, _: str) -> Region:
    return with_rule(of, lambda _: None)


@bad_region("one-rule-and-routes-for-host", of=CANARY)
def a_second_object_routes_the_same_host(of: Region, _: str) -> Region:
    routes = of.workloads.virtual_services[0]
    other = replace(routes, id=ObjectId("VirtualService", "echo", "echo-canary"))
    return replace(of, workloads=replace(of.workloads, virtual_services=(routes, other)))


@bad_region("header-names-its-version")
def answers_of_one_version_say_the_other(of: Region, version: str) -> Region:
    return with_destination(of, version, lambda it: replace(it, answers=((it.answers[0][0], _rest(version)),)))


@bad_region("split-holds-in-mesh", of=CANARY)
def the_routes_hold_at_a_gateway_alone(of: Region, _: str) -> Region:
    return with_routes(of, lambda it: replace(it, gateways=(GATEWAY,)))


def _asked_for(name: str, delivery: Delivery, version: str, replicas: int = 3) -> Region:
    """A region in which the version has no requests but those of testers."""
    asked = Wanted(0, replicas=replicas, testers=True)
    return region(name, {_rest(version): Wanted(100), version: asked}, delivery=delivery)


def _not_asked_for(name: str, delivery: Delivery, version: str) -> Region:
    return region(name, {_rest(version): Wanted(100), version: Wanted(0)}, delivery=delivery)


@bad_change("header-names-its-version", by=("gitops",))
def testers_get_another_version(name: str, delivery: Delivery, version: str) -> Change:
    good = _asked_for(name, delivery, version)
    return Change(good, with_testers(good, lambda it: replace(it, value=_rest(version))))


@bad_change("one-split-for-all-requests", by=("gitops",))
def testers_come_after_all_requests(name: str, delivery: Delivery, version: str) -> Change:
    good = _asked_for(name, delivery, version)
    return Change(good, with_testers(good, lambda it: replace(it, position=1)))


@bad_change("routed-subset-exists", by=("gitops",))
def testers_are_sent_to_a_subset_that_never_was(name: str, delivery: Delivery, version: str) -> Change:
    good = _not_asked_for(name, delivery, version)
    nowhere = Destination(HOST, "v3", 80, 100)
    routes = (HeaderRoute(HEADER, "v3", nowhere, 0),)
    return Change(good, with_routes(good, lambda it: replace(it, testers=routes)))


@bad_change("weighted-version-has-pods", by=("gitops",), severity=Severity.WARNING)
def testers_are_sent_to_a_version_without_pods(name: str, delivery: Delivery, version: str) -> Change:
    asleep = {_rest(version): Wanted(100), version: Wanted(0, replicas=0)}
    return Change(region(name, asleep, delivery=delivery), _asked_for(name, delivery, version, replicas=0))


# --- hosts and ports


@bad_region("host-is-full-name", "routed-subset-exists", of=CANARY)
def the_host_of_the_subsets_is_short(of: Region, _: str) -> Region:
    return with_rule(of, lambda it: replace(it, host="echo"))


@bad_region("host-is-full-name", of=CANARY)
def a_host_of_clients_outside_is_bound_to_no_gateway(of: Region, _: str) -> Region:
    return with_routes(of, lambda it: replace(it, hosts=(HOST, OUTSIDE)))


@bad_region("host-is-full-name", "one-rule-and-routes-for-host", of=CANARY)
def only_clients_outside_find_the_routes(of: Region, _: str) -> Region:
    return with_routes(of, lambda it: replace(it, hosts=(OUTSIDE,), gateways=(MESH, GATEWAY)))


@bad_region("host-is-full-name", "routed-subset-exists")
def the_host_of_a_destination_is_short(of: Region, version: str) -> Region:
    return with_destination(of, version, lambda it: replace(it, host="echo"))


@bad_region("host-is-full-name", "routed-subset-exists")
def the_host_of_a_destination_is_of_another_namespace(of: Region, version: str) -> Region:
    return with_destination(of, version, lambda it: replace(it, host="echo.prod.svc.cluster.local"))


@bad_region("traffic-beside-service", of=CANARY)
def the_routes_are_in_another_namespace(of: Region, _: str) -> Region:
    return with_routes(of, lambda it: replace(it, id=replace(it.id, namespace="default")))


@bad_region("routed-port-exists")
def a_route_goes_to_the_port_of_the_pods(of: Region, version: str) -> Region:
    return with_destination(of, version, lambda it: replace(it, port=8080))


@bad_region("routed-port-exists", of=CANARY)
def the_port_moves_without_the_routes(of: Region, _: str) -> Region:
    return with_service(of, lambda it: replace(it, ports=(ServicePort("http", 8000, "http"),)))


@bad_region("target-port-exists", of=CANARY)
def the_service_asks_for_a_port_of_another_name(of: Region, _: str) -> Region:
    return with_service(of, lambda it: replace(it, ports=(ServicePort("http", 80, "web"),)))


@bad_region("target-port-exists")
def the_pods_name_their_port_otherwise(of: Region, version: str) -> Region:
    return with_deployment(of, version, lambda it: replace(it, ports={"web": 8080}))


@bad_region("port-names-protocol", of=CANARY)
def the_port_does_not_say_http(of: Region, _: str) -> Region:
    return with_service(of, lambda it: replace(it, ports=(ServicePort("web", 80, "http"),)))


# --- whose pods


@bad_region(
    "subset-matches-one-deployment",
    "weighted-version-has-pods",
    "removed-only-when-idle",
    of=CANARY,
)
def the_labels_of_a_subset_match_no_pod(of: Region, version: str) -> Region:
    return with_subset(of, version, {"version": version.removeprefix("v")})


@bad_region("subset-matches-one-deployment", of=("v1",))
def the_labels_of_a_subset_match_every_pod(of: Region, version: str) -> Region:
    return with_subset(of, version, {"app": "echo"})


@bad_region("subset-matches-one-deployment", of=("v1",))
def a_subset_takes_the_pods_of_another(of: Region, version: str) -> Region:
    return with_subset(of, version, {"version": _rest(version)})


@bad_region(
    "subset-matches-one-deployment",
    "weighted-version-has-pods",
    "removed-only-when-idle",
    "deployment-selects-own-pods",
    of=CANARY,
)
def the_pods_of_a_version_are_relabelled(of: Region, version: str) -> Region:
    return with_deployment(of, version, lambda it: replace(it, labels={"app": "echo", "version": "next"}))


@bad_region("service-selects-versions", "subset-matches-one-deployment")
def the_service_selects_one_version(of: Region, version: str) -> Region:
    return with_service(of, lambda it: replace(it, selector={"app": "echo", "version": version}))


@bad_region("service-selects-versions", of=CANARY)
def the_service_selects_a_deployment_that_is_no_version(of: Region, _: str) -> Region:
    labels = {"app": "echo", "role": "job"}
    job = Deployment(ObjectId("Deployment", "echo", "job"), 1, {"role": "job"}, labels, ("job:1.0.0",), {"http": 8080})
    return replace(of, workloads=replace(of.workloads, deployments=(*of.workloads.deployments, job)))


@bad_region("deployment-selects-own-pods", "selector-unchanged")
def a_deployment_selects_the_pods_of_every_version(of: Region, version: str) -> Region:
    return with_deployment(of, version, lambda it: replace(it, selector={"app": "echo"}))


# --- ejection


def _ejecting(of: Region, detection: OutlierDetection | None) -> Region:
    return with_rule(of, lambda it: replace(it, outlier_detection=detection))


def _needing(of: Region, pods: int) -> Region:
    return replace(of, limits=replace(of.limits, pods_for_all_traffic=pods))


@bad_region("ejection-can-fire", of=CANARY)
def no_limit_of_ejection_is_set(of: Region, _: str) -> Region:
    return _ejecting(of, OutlierDetection(10, None, 5.0, 30.0))


@bad_region("ejection-can-fire")
def a_version_becomes_too_small_for_its_ejection(of: Region, version: str) -> Region:
    grown = with_deployment(of, _rest(version), lambda it: replace(it, replicas=10))
    grown = with_deployment(grown, version, lambda it: replace(it, replicas=9))
    return _ejecting(_needing(grown, 9), OutlierDetection(10, None, 5.0, 30.0, 11))


@bad_region("ejection-is-heeded", of=CANARY)
def ejection_is_in_panic_with_one_pod_out(of: Region, _: str) -> Region:
    return _ejecting(of, OutlierDetection(10, None, 5.0, 30.0, 34, 80))


# --- capacity, drains and updates


@bad_region("rollback-capacity", of=CANARY)
def a_canary_outgrows_the_stable_version(of: Region, version: str) -> Region:
    return with_deployment(of, version, lambda it: replace(it, replicas=4))


@bad_region("rollback-capacity")
def more_pods_are_needed_than_there_are(of: Region, _: str) -> Region:
    return _needing(of, 4)


@bad_region("rollback-capacity", of=CANARY)
def the_stable_version_is_none(of: Region, _: str) -> Region:
    return replace(of, limits=replace(of.limits, stable="v0"))


@bad_region("one-budget-for-pods")
def a_version_has_no_budget(of: Region, version: str) -> Region:
    return with_budget(of, version, lambda _: None)


@bad_region("one-budget-for-pods")
def a_budget_covers_another_version_too(of: Region, version: str) -> Region:
    return with_budget(of, version, lambda it: replace(it, selector={"app": "echo"}))


@bad_region("budget-allows-drain")
def a_budget_lets_no_pod_go(of: Region, version: str) -> Region:
    return with_budget(of, version, lambda it: replace(it, max_unavailable=0))


@bad_region("budget-protects")
def a_budget_lets_every_pod_go(of: Region, version: str) -> Region:
    return with_budget(of, version, lambda it: replace(it, max_unavailable="100%"))


@bad_region("update-keeps-pods")
def an_update_takes_every_pod(of: Region, version: str) -> Region:
    return with_deployment(of, version, lambda it: replace(it, unavailable="100%"))


# --- images, waves, owners


@bad_change("image-pinned", by=("gitops",))
def an_image_is_not_pinned(name: str, _: Delivery, version: str) -> Change:
    return _imaged(name, version, "registry.corp.local/echo")


@bad_change("image-pinned", by=("gitops",))
def the_tag_of_an_image_moves(name: str, _: Delivery, version: str) -> Change:
    return _imaged(name, version, "registry.corp.local/echo:stable")


def _imaged(name: str, version: str, image: str) -> Change:
    """The image of an idle version changes."""
    wanted = {_rest(version): Wanted(100), version: Wanted(0)}
    return Change(region(name, wanted), region(name, {**wanted, version: Wanted(0, image=image)}))


@bad_change("waves-in-order", of=CANARY, by=BY_ARGO_CD)
def subsets_come_with_the_pods(name: str, delivery: Delivery, _: str) -> Change:
    return Change(region(name, delivery=delivery), with_waves(region(name, delivery=delivery), 1, 1, 2))


@bad_change("waves-in-order", of=CANARY, by=BY_ARGO_CD)
def waves_are_left_out(name: str, delivery: Delivery, _: str) -> Change:
    return Change(region(name, delivery=delivery), with_waves(region(name, delivery=delivery), 0, 0, 0))


@bad_change("one-owner", by=("gitops",))
def pulumi_registers_what_argo_cd_syncs(name: str, _: Delivery, version: str) -> Change:
    application = ObjectId("Application", "argocd", "echo")
    both = frozenset({application, ObjectId("Deployment", "echo", f"echo-{version}")})
    return Change(region(name), replace(region(name), pulumi=both))


@bad_change("one-owner", of=CANARY, by=("gitops",))
def nobody_applies_the_overlay(name: str, _: Delivery, __: str) -> Change:
    return Change(region(name), replace(region(name), pulumi=frozenset()))


@bad_change("one-owner", by=("direct",))
def pulumi_leaves_out_what_nobody_else_applies(name: str, _: Delivery, version: str) -> Change:
    good = region(name, delivery="direct")
    left_out = ObjectId("Deployment", "echo", f"echo-{version}")
    return Change(good, replace(good, pulumi=good.workloads.ids - {left_out}))


@bad_change("one-owner", of=CANARY, by=("direct",))
def argo_cd_comes_where_pulumi_delivers(name: str, _: Delivery, __: str) -> Change:
    good = region(name, delivery="direct")
    return Change(good, replace(good, pulumi=good.workloads.ids | {ObjectId("Application", "argocd", "echo")}))


# --- the way from one revision to the next


@bad_change("removed-only-when-idle")
def a_version_goes_with_its_weight(name: str, delivery: Delivery, version: str) -> Change:
    before = region(name, versions(v1=50, v2=50), delivery=delivery)
    return Change(before, region(name, {_rest(version): Wanted(100)}, delivery=delivery))


@bad_change("removed-only-when-idle")
def a_version_loses_its_pods_with_its_weight(name: str, delivery: Delivery, version: str) -> Change:
    before = region(name, versions(v1=50, v2=50), delivery=delivery)
    after = {version: Wanted(0, replicas=0), _rest(version): Wanted(100)}
    return Change(before, region(name, after, delivery=delivery))


@bad_change("removed-only-when-idle")
def a_subset_goes_with_its_weight(name: str, delivery: Delivery, version: str) -> Change:
    before = region(name, versions(v1=50, v2=50), delivery=delivery)
    after = region(name, {version: Wanted(0), _rest(version): Wanted(100)}, delivery=delivery)
    after = with_destination(after, version, lambda _: None)
    return Change(before, with_subset(after, version, None))


@bad_change("removed-only-when-idle", "subset-matches-one-deployment")
def a_deployment_goes_with_its_weight(name: str, delivery: Delivery, version: str) -> Change:
    before = region(name, versions(v1=50, v2=50), delivery=delivery)
    after = region(name, {version: Wanted(0), _rest(version): Wanted(100)}, delivery=delivery)
    return Change(before, with_budget(with_deployment(after, version, lambda _: None), version, lambda _: None))


@bad_change("removed-only-when-idle", "selector-unchanged")
def a_version_gets_other_labels_all_at_once(name: str, delivery: Delivery, version: str) -> Change:
    labels = {"app": "echo", "version": "next"}
    before = region(name, delivery=delivery)
    after = with_deployment(before, version, lambda it: replace(it, labels=labels, selector=labels))
    after = with_budget(after, version, lambda it: replace(it, selector=labels))
    return Change(before, with_subset(after, version, {"version": "next"}))


@bad_change("removed-only-when-idle", "introduced-idle")
def a_version_changes_its_name_with_all_that_it_has(name: str, delivery: Delivery, version: str) -> Change:
    before = region(name, versions(v1=50, v2=50), delivery=delivery)
    after = {_rest(version): Wanted(50), f"{version}1": Wanted(50)}
    return Change(before, region(name, after, delivery=delivery))


@bad_change("removed-only-when-idle")
def a_version_goes_with_its_testers(name: str, delivery: Delivery, version: str) -> Change:
    before = _asked_for(name, delivery, version)
    return Change(before, region(name, {_rest(version): Wanted(100)}, delivery=delivery))


@bad_change("removed-only-when-idle")
def a_version_loses_its_pods_with_its_testers(name: str, delivery: Delivery, version: str) -> Change:
    after = {_rest(version): Wanted(100), version: Wanted(0, replicas=0)}
    return Change(_asked_for(name, delivery, version), region(name, after, delivery=delivery))


@bad_change("removed-only-when-idle", of=("v3",))
def an_introduction_is_reverted(name: str, delivery: Delivery, version: str) -> Change:
    introduced = region(name, {**versions(v1=90, v2=5), version: Wanted(5)}, delivery=delivery)
    return Change(introduced, region(name, versions(v1=90, v2=10), delivery=delivery))


@bad_change("removed-only-when-idle", of=("v3",))
def everything_is_aborted_at_once(name: str, delivery: Delivery, version: str) -> Change:
    introduced = region(name, {**versions(v1=50, v2=25), version: Wanted(25)}, delivery=delivery)
    return Change(introduced, region(name, versions(v1=100), delivery=delivery))


@bad_change("removed-only-when-idle", by=BY_ARGO_CD)
def a_deployment_is_replaced_under_requests(name: str, delivery: Delivery, version: str) -> Change:
    before = region(name, delivery=delivery)
    return Change(before, with_deployment(before, version, _renamed))


def _renamed(deployment: Deployment) -> Deployment:
    return replace(deployment, id=replace(deployment.id, name=f"{deployment.id.name}-new"))


@bad_change("introduced-idle", of=("v3",))
def a_new_version_comes_with_weight(name: str, delivery: Delivery, version: str) -> Change:
    return _introduced(name, delivery, version)


@bad_change("introduced-idle", of=("v3",))
def a_new_version_comes_with_a_single_percent(name: str, delivery: Delivery, version: str) -> Change:
    after = {**versions(v1=89, v2=10), version: Wanted(1)}
    return Change(region(name, delivery=delivery), region(name, after, delivery=delivery))


@bad_change("introduced-idle")
def a_second_version_comes_with_weight(name: str, delivery: Delivery, version: str) -> Change:
    before = region(name, {_rest(version): Wanted(100)}, delivery=delivery)
    return Change(before, region(name, {_rest(version): Wanted(95), version: Wanted(5)}, delivery=delivery))


@bad_change("introduced-idle", of=("v3",))
def a_resting_version_wakes_with_weight(name: str, delivery: Delivery, version: str) -> Change:
    resting = {**versions(v1=90, v2=10), version: Wanted(0, replicas=0)}
    return replace(_introduced(name, delivery, version), before=region(name, resting, delivery=delivery))


@bad_change("introduced-idle", of=("v3",))
def a_version_gets_its_subset_with_its_weight(name: str, delivery: Delivery, version: str) -> Change:
    change = _introduced(name, delivery, version)
    idle = region(name, {**versions(v1=90, v2=10), version: Wanted(0)}, delivery=delivery)
    without_route = with_destination(idle, version, lambda _: None)
    return replace(change, before=with_subset(without_route, version, None))


@bad_change("introduced-idle", of=("v3",))
def a_version_gets_its_deployment_with_its_weight(name: str, delivery: Delivery, version: str) -> Change:
    change = _introduced(name, delivery, version)
    idle = region(name, {**versions(v1=90, v2=10), version: Wanted(0)}, delivery=delivery)
    return replace(change, before=with_deployment(idle, version, lambda _: None))


@bad_change("introduced-idle", of=("v3",), by=BY_ARGO_CD)
def an_idle_version_gets_its_weight_with_another_deployment(name: str, delivery: Delivery, version: str) -> Change:
    change = _introduced(name, delivery, version)
    assert change.after is not None
    idle = region(name, {**versions(v1=90, v2=10), version: Wanted(0)}, delivery=delivery)
    return Change(idle, with_deployment(change.after, version, _renamed))


@bad_change("introduced-idle", of=("v1",))
def everything_returns_to_a_version_that_is_gone(name: str, delivery: Delivery, version: str) -> Change:
    return _returned(name, delivery, versions(v2=100), version)


@bad_change("introduced-idle", of=("v1",))
def everything_returns_to_a_version_without_pods(name: str, delivery: Delivery, version: str) -> Change:
    return _returned(name, delivery, {version: Wanted(0, replicas=0), "v2": Wanted(100)}, version)


def _returned(name: str, delivery: Delivery, before: Mapping[str, Wanted], version: str) -> Change:
    proven = {version: frozenset({"registry.corp.local/echo:1.0.0"})}
    after = {version: Wanted(100), "v2": Wanted(0)}
    return Change(region(name, before, delivery=delivery), region(name, after, delivery=delivery), proven)


@bad_change("introduced-idle", "waves-in-order", of=("v3",), by=BY_ARGO_CD)
def a_new_version_comes_without_waves(name: str, delivery: Delivery, version: str) -> Change:
    return _introduced(name, delivery, version, waves=(0, 0, 0))


@bad_change("introduced-idle", "waves-in-order", of=("v3",), by=BY_ARGO_CD)
def a_new_version_is_routed_with_its_subset(name: str, delivery: Delivery, version: str) -> Change:
    return _introduced(name, delivery, version, waves=(0, 1, 1))


@bad_change("introduced-idle", "waves-in-order", of=("v3",), by=BY_ARGO_CD)
def a_new_version_is_routed_before_its_pods(name: str, delivery: Delivery, version: str) -> Change:
    return _introduced(name, delivery, version, waves=(3, 1, 2))


def _introduced(name: str, delivery: Delivery, version: str, waves: tuple[int, int, int] = (0, 1, 2)) -> Change:
    after = region(name, {**versions(v1=85, v2=10), version: Wanted(5)}, delivery=delivery)
    return Change(region(name, delivery=delivery), with_waves(after, *waves))


@bad_change("make-before-break", of=CANARY, by=BY_ARGO_CD)
def a_subset_moves_to_pods_that_come(name: str, delivery: Delivery, version: str) -> Change:
    """The pods that it had stay, as those of another subset, so that nothing goes."""
    resting = {**versions(v1=90, v2=10), "v3": Wanted(0, replicas=0)}
    after = region(name, versions(v1=90, v2=10, v3=0), delivery=delivery)
    after = with_subset(after, version, {"version": "v3"})
    return Change(region(name, resting, delivery=delivery), with_subset(after, "v3", {"version": version}))


@bad_change("increase-limited", of=CANARY)
def a_canary_rises_by_51_points(name: str, delivery: Delivery, _: str) -> Change:
    return Change(region(name, delivery=delivery), region(name, versions(v1=39, v2=61), delivery=delivery))


@bad_change("increase-limited", of=CANARY)
def a_canary_gets_everything_at_once(name: str, delivery: Delivery, _: str) -> Change:
    return Change(region(name, delivery=delivery), region(name, versions(v1=0, v2=100), delivery=delivery))


@bad_change("increase-limited", of=("v3",))
def a_new_version_starts_with_most_requests(name: str, delivery: Delivery, version: str) -> Change:
    before = {**versions(v1=90, v2=10), version: Wanted(0)}
    after = {**versions(v1=30, v2=10), version: Wanted(60)}
    return Change(region(name, before, delivery=delivery), region(name, after, delivery=delivery))


@bad_change("increase-limited", of=CANARY)
def a_canary_becomes_the_stable_version_to_get_everything(name: str, delivery: Delivery, version: str) -> Change:
    after = region(name, versions(v1=0, v2=100), delivery=delivery, limits=Limits(stable=version))
    return Change(region(name, delivery=delivery), after)


@bad_change("increase-limited", of=CANARY)
def a_change_lifts_the_limit_that_it_breaks(name: str, delivery: Delivery, _: str) -> Change:
    after = region(name, versions(v1=0, v2=100), delivery=delivery, limits=Limits(largest_increase=100))
    return Change(region(name, delivery=delivery), after)


@bad_change("increase-limited", of=CANARY)
def a_change_waives_the_rule_that_it_breaks(name: str, delivery: Delivery, _: str) -> Change:
    limits = Limits(waived={"increase-limited": "it will be fine"})
    after = region(name, versions(v1=0, v2=100), delivery=delivery, limits=limits)
    return Change(region(name, delivery=delivery), after)


@bad_change("increase-limited", of=("v1",))
def the_stable_version_returns_with_another_image(name: str, delivery: Delivery, version: str) -> Change:
    before = region(name, versions(v1=10, v2=90), delivery=delivery)
    after = {version: Wanted(100, image="registry.corp.local/echo:1.1.0"), "v2": Wanted(0)}
    return Change(before, region(name, after, delivery=delivery))


@bad_change("selector-unchanged")
def a_selector_gains_a_label(name: str, delivery: Delivery, version: str) -> Change:
    labels = {"app": "echo", "version": version, "tier": "web"}
    before = region(name, delivery=delivery)
    return Change(before, with_deployment(before, version, lambda it: replace(it, labels=labels, selector=labels)))


@bad_change("selector-unchanged")
def a_selector_loses_a_label(name: str, delivery: Delivery, version: str) -> Change:
    before = region(name, delivery=delivery)
    return Change(before, with_deployment(before, version, lambda it: replace(it, selector={"version": version})))


@bad_change("delivery-changed-by-handover", of=CANARY, by=("gitops", "direct"))
def who_delivers_is_switched(name: str, delivery: Delivery, _: str) -> Change:
    other: Delivery = "gitops" if delivery == "direct" else "direct"
    return Change(region(name, delivery=delivery), region(name, delivery=other))


@bad_change("region-removed", of=CANARY)
def a_region_goes(name: str, delivery: Delivery, _: str) -> Change:
    return Change(region(name, delivery=delivery), None, region_goes=True)


@bad_change("service-removed", of=CANARY)
def the_only_service_gives_way_to_another(name: str, delivery: Delivery, _: str) -> Change:
    return Change(region(name, delivery=delivery), None)


# --- several services of one region


def _beside(*services: Region) -> Sequence[Change]:
    """Services that come to be beside each other in one region."""
    return [Change(None, each) for each in services]


@bad_regions("own-objects")
def names_of_services_and_versions_run_together() -> Sequence[Change]:
    image = "registry.corp.local/shop:1.0.0"
    first, second = {"b-c": Wanted(100, image=image)}, {"c": Wanted(100, image=image)}
    shop = partial(region, namespace="shop")
    return _beside(shop(wanted=first, service="a"), shop(wanted=second, service="a-b"))


@bad_regions("own-objects")
def two_services_have_one_service_account() -> Sequence[Change]:
    first, second = (region(service=name, namespace="shop") for name in ("shop", "cart"))
    accounts = (*second.workloads.service_accounts, *first.workloads.service_accounts)
    return _beside(first, replace(second, workloads=replace(second.workloads, service_accounts=accounts)))


@bad_regions("own-hosts")
def two_services_are_asked_for_by_one_name() -> Sequence[Change]:
    return _beside(region(gateway=GATEWAY), region(service="web", gateway=GATEWAY))


@bad_regions("own-pods")
def a_service_answers_for_another() -> Sequence[Change]:
    first, second = (region(service=name, namespace="shop") for name in ("shop", "cart"))
    wide = {"app.kubernetes.io/part-of": "echo-rollout"}
    return _beside(with_service(first, lambda it: replace(it, selector=wide)), second)


@bad_regions("service-removed")
def a_service_goes_and_others_stay() -> Sequence[Change]:
    return [_kept("region-a"), Change(region(service="web"), None), _kept("region-b")]


@bad_regions("service-removed")
def a_service_changes_its_name() -> Sequence[Change]:
    return [Change(region(), None), Change(None, region(service="web"))]


@bad_regions("mesh-identity-kept", "service-removed")
def a_service_changes_its_name_together_with_the_mesh() -> Sequence[Change]:
    before, after = region(), region(service="web")
    return [Change(_set(before), None), Change(None, _set(after, mesh__trustDomain="other.local"))]


@bad_regions("service-removed")
def a_service_waives_its_removal_in_another_that_comes_with_it() -> Sequence[Change]:
    limits = Limits(waived={"service-removed": "it is called web now"})
    return [Change(region(), None), Change(None, region(service="web", limits=limits))]


@bad_regions("removed-only-when-idle", "introduced-idle")
def two_services_have_versions_of_one_name() -> Sequence[Change]:
    """Of which one goes from the first as the other comes to the second."""
    gone = Change(region(), region(wanted=versions(v1=100)))
    web = partial(region, service="web")
    return [gone, Change(web(wanted=versions(v1=100)), web(wanted=versions(v1=90, v2=10)))]


# --- several regions


@bad_regions("own-place")
def a_copied_stack_file_names_the_cluster_of_the_other() -> Sequence[Change]:
    context = {"cluster__context": "region-a"}
    return [Change(region(name), with_settings(region(name), **context)) for name in REGIONS]


@bad_regions("own-place")
def a_copied_stack_file_names_the_overlay_of_the_other() -> Sequence[Change]:
    path = {"services__echo__path": "deploy/overlays/region-a/echo"}
    return [Change(region(name), with_settings(region(name), **path)) for name in REGIONS]


@bad_regions("own-place")
def two_services_have_one_overlay() -> Sequence[Change]:
    one = with_settings(region(), services__echo__path="deploy/all")
    return [Change(None, one), Change(None, with_settings(region(service="web"), services__web__path="deploy/all"))]


def _together(before: Mapping[str, Wanted], after: Mapping[str, Wanted], *names: str) -> Sequence[Change]:
    return [Change(region(name, before), region(name, after)) for name in names or REGIONS]


@bad_regions("starts-in-one-region", "introduced-idle")
def a_new_version_starts_in_both_regions() -> Sequence[Change]:
    return _together(versions(v1=100), versions(v1=90, v2=10))


@bad_regions("starts-in-one-region")
def a_version_gets_its_first_requests_in_both_regions() -> Sequence[Change]:
    return _together(versions(v1=100, v2=0), versions(v1=95, v2=5))


@bad_regions("starts-in-one-region", "introduced-idle")
def a_new_version_starts_in_three_regions() -> Sequence[Change]:
    return _together(versions(v1=90, v2=10), versions(v1=85, v2=10, v3=5), "region-a", "region-b", "region-c")


@bad_regions("starts-in-one-region")
def a_new_version_starts_in_both_regions_and_one_of_them_agrees() -> Sequence[Change]:
    first, second = _together(versions(v1=100, v2=0), versions(v1=95, v2=5))
    assert second.before is not None
    return [first, replace(second, before=replace(second.before, limits=Limits(introduce_together=True)))]


# --- what may go on, once somebody has read it


WARNING = Severity.WARNING


@bad_region("ejection-is-on", of=CANARY, severity=WARNING)
def ejection_is_left_out(of: Region, _: str) -> Region:
    return _ejecting(of, None)


@bad_region("ejection-leaves-pods", of=CANARY, severity=WARNING)
def every_pod_may_be_ejected(of: Region, _: str) -> Region:
    return _ejecting(of, OutlierDetection(10, None, 5.0, 30.0, 100))


@bad_region("ejection-thresholds-apart", of=CANARY, severity=WARNING)
def one_threshold_hides_the_other(of: Region, _: str) -> Region:
    return _ejecting(of, OutlierDetection(5, 5, 5.0, 30.0, 34))


@bad_change("version-capacity", of=CANARY, by=("gitops",), severity=WARNING)
def a_canary_has_too_few_pods_for_its_weight(name: str, _: Delivery, version: str) -> Change:
    before = {"v1": Wanted(60, replicas=5), version: Wanted(40, replicas=3)}
    after = {"v1": Wanted(39, replicas=5), version: Wanted(61, replicas=3)}
    return Change(region(name, before), region(name, after))


@bad_region("update-keeps-pods", severity=WARNING)
def an_update_takes_a_pod(of: Region, version: str) -> Region:
    return with_deployment(of, version, lambda it: replace(it, unavailable=1))


@bad_change("image-changed-under-requests", by=("gitops",), severity=WARNING)
def an_image_changes_under_requests(name: str, delivery: Delivery, version: str) -> Change:
    before = region(name, delivery=delivery)
    image = ("registry.corp.local/echo:9.9.9",)
    return Change(before, with_deployment(before, version, lambda it: replace(it, images=image)))


@bad_change("limits-loosened", of=CANARY, by=("gitops",), severity=WARNING)
def a_limit_is_loosened(name: str, _: Delivery, __: str) -> Change:
    return Change(region(name), region(name, limits=Limits(largest_increase=100)))


@bad_change("limits-loosened", of=CANARY, by=("gitops",), severity=WARNING)
def a_rule_is_waived(name: str, _: Delivery, __: str) -> Change:
    return Change(region(name), region(name, limits=Limits(waived={"increase-limited": "a drill"})))


@bad_change("service-limits-loosened", of=CANARY, by=("gitops",), severity=WARNING)
def fewer_pods_are_to_answer_everything(name: str, _: Delivery, __: str) -> Change:
    return Change(region(name), region(name, limits=Limits(pods_for_all_traffic=2)))


@bad_change("outside-freeze", of=CANARY, severity=WARNING)
def a_weight_rises_in_a_freeze(name: str, delivery: Delivery, _: str) -> Change:
    before = region(name, delivery=delivery, limits=ALWAYS_FROZEN)
    return Change(before, region(name, versions(v1=75, v2=25), delivery=delivery, limits=ALWAYS_FROZEN), at=SOME_DAY)


@bad_change("platform-outside-freeze", of=CANARY, by=("gitops",), severity=WARNING)
def istio_changes_in_a_freeze(name: str, _: Delivery, __: str) -> Change:
    before, after = (
        with_settings(region(name, limits=ALWAYS_FROZEN), istio__version=each) for each in ("1.31.1", "1.31.2")
    )
    return Change(before, after, at=SOME_DAY)


@bad_change("handed-over-unchanged", of=CANARY, by=("gitops", "direct"), severity=WARNING)
def a_handover_changes_the_weights(name: str, delivery: Delivery, _: str) -> Change:
    after = region(name, versions(v1=80, v2=20), delivery="handover")
    return Change(region(name, delivery=delivery), after)


@bad_regions("differ-only-where-allowed", severity=WARNING)
def regions_come_to_have_different_probes() -> Sequence[Change]:
    first, second = (_kept(name) for name in REGIONS)
    return [first, replace(second, after=with_settings(region("region-b"), probe__image="probe:1.0.1"))]


@bad_regions("differ-only-where-allowed", severity=WARNING)
def a_service_comes_to_one_region_alone() -> Sequence[Change]:
    return [_kept("region-a"), Change(None, region("region-a", service="web")), _kept("region-b"), _kept("region-c")]


@bad_regions("raised-in-one-region", severity=WARNING)
def a_canary_rises_in_all_of_three_regions() -> Sequence[Change]:
    return _together(versions(v1=90, v2=10), versions(v1=75, v2=25), "region-a", "region-b", "region-c")


@bad_regions("raised-in-one-region", severity=WARNING)
def a_canary_rises_in_both_regions() -> Sequence[Change]:
    return _together(versions(v1=90, v2=10), versions(v1=75, v2=25))


@bad_regions("pods-changed-in-one-region")
def an_image_changes_in_both_regions() -> Sequence[Change]:
    return _together(
        versions(v1=90, v2=10), {"v1": Wanted(90), "v2": Wanted(10, image="registry.corp.local/echo:2.0.1")}
    )


@bad_regions("pods-changed-in-one-region")
def an_environment_changes_in_both_regions() -> Sequence[Change]:
    return [
        Change(region(name), _in_deployment(region(name), "v1", f"{_CONTAINER}/env/3/value", "0")) for name in REGIONS
    ]


@bad_regions("treatment-in-one-region", severity=WARNING)
def ejection_changes_in_both_regions() -> Sequence[Change]:
    path = "spec/trafficPolicy/outlierDetection/interval"
    return [
        Change(region(name), with_document(region(name), "DestinationRule", "echo", path, "9s")) for name in REGIONS
    ]


@bad_regions("platform-in-one-region", severity=WARNING)
def istio_changes_in_both_regions() -> Sequence[Change]:
    return [Change(region(name), with_settings(region(name), istio__version="1.32.0")) for name in REGIONS]


# --- what Pulumi installs


def _set(of: Region, **settings: object) -> Region:
    """The region with these settings; its versions of before and after the change are as usual."""
    usual = {"mesh__trustDomain": "corp.local", "mesh__meshId": "mesh", "mesh__network": of.name}
    return with_settings(of, **{**usual, **settings})


def _resets(name: str, delivery: Delivery, before: Mapping[str, object], after: Mapping[str, object]) -> Change:
    return Change(_set(region(name, delivery=delivery), **before), _set(region(name, delivery=delivery), **after))


@bad_region("helm-values-keep-the-mesh", of=CANARY)
def a_value_gives_another_trust_domain(of: Region, _: str) -> Region:
    return _set(of, istio__values__meshConfig__trustDomain="other.local")


@bad_region("helm-values-keep-the-mesh", of=CANARY)
def injection_is_switched_off(of: Region, _: str) -> Region:
    return _set(of, istio__values__global__proxy__autoInject="disabled")


@bad_regions("helm-values-keep-the-mesh", severity=WARNING)
def istiod_is_scaled_to_nothing() -> Sequence[Change]:
    return _as_in_the_other("istio.values.pilot.replicaCount", 0)


@bad_regions("helm-values-keep-the-mesh", severity=WARNING)
def some_pods_are_left_out_of_injection() -> Sequence[Change]:
    never = [{"matchLabels": {"app": "echo"}}]
    return _as_in_the_other("istio.values.sidecarInjectorWebhook.neverInjectSelector", never)


def _as_in_the_other(setting: str, value: object) -> Sequence[Change]:
    """The first region gets a setting that the second has."""
    first, second = (replace(region(name), settings={**region(name).settings, setting: value}) for name in REGIONS)
    waived = replace(second, limits=Limits(waived={"helm-values-keep-the-mesh": "as ever"}))
    return [Change(region(REGIONS[0]), first), Change(waived, waived)]


@bad_region("sources-encrypted", of=CANARY)
def argo_cd_is_installed_from_plain_http(of: Region, _: str) -> Region:
    return _set(of, argocd__manifest="http://mirror.corp.local/install.yaml")


@bad_change("mesh-identity-kept", of=CANARY)
def a_living_mesh_gets_another_trust_domain(name: str, delivery: Delivery, _: str) -> Change:
    return _resets(name, delivery, {}, {"mesh__trustDomain": "other.local"})


@bad_change("mesh-identity-kept", of=CANARY)
def the_alias_of_a_trust_domain_comes_with_it(name: str, delivery: Delivery, _: str) -> Change:
    aliases = {"istio__values__meshConfig__trustDomainAliases": ["corp.local"]}
    return _resets(name, delivery, {}, {"mesh__trustDomain": "other.local", **aliases})


@bad_change("mesh-identity-kept", of=CANARY)
def a_living_mesh_gets_another_network(name: str, delivery: Delivery, _: str) -> Change:
    return _resets(name, delivery, {}, {"mesh__network": "other"})


@bad_change("mesh-identity-kept", of=CANARY, severity=WARNING)
def an_alias_of_the_trust_domain_goes(name: str, delivery: Delivery, _: str) -> Change:
    after = region(name, delivery=delivery)
    return Change(with_settings(after, istio__values__meshConfig__trustDomainAliases=["old.local"]), after)


@bad_change("istio-one-minor-at-a-time", of=CANARY)
def istio_goes_up_by_two_minors(name: str, delivery: Delivery, _: str) -> Change:
    return _resets(name, delivery, {"istio__version": "1.30.2"}, {"istio__version": "1.32.0"})


@bad_change("istio-one-minor-at-a-time", of=CANARY, severity=WARNING)
def istio_goes_back_by_a_minor(name: str, delivery: Delivery, _: str) -> Change:
    after = region(name, delivery=delivery)
    return Change(with_settings(after, istio__version="1.32.0"), after)


# --- pods that go, and ejection that fails requests by itself


@bad_change("pods-kept-under-requests", of=CANARY, severity=WARNING)
def most_pods_of_all_versions_go(name: str, delivery: Delivery, version: str) -> Change:
    before = {"v1": Wanted(100, replicas=30), version: Wanted(0, replicas=30)}
    after = {"v1": Wanted(100, replicas=3), version: Wanted(0, replicas=3)}
    return Change(region(name, before, delivery=delivery), region(name, after, delivery=delivery))


@bad_change("way-back-kept", of=("v1",), severity=WARNING)
def the_version_before_keeps_one_pod(name: str, delivery: Delivery, version: str) -> Change:
    return _rested(name, delivery, version, 1)


@bad_change("way-back-kept", of=("v1",), severity=WARNING)
def the_version_before_keeps_no_pod(name: str, delivery: Delivery, version: str) -> Change:
    return _rested(name, delivery, version, 0)


def _rested(name: str, delivery: Delivery, version: str, replicas: int) -> Change:
    after = {version: Wanted(0, replicas=replicas), "v2": Wanted(100)}
    return Change(region(name, versions(v1=0, v2=100), delivery=delivery), region(name, after, delivery=delivery))


@bad_region("ejection-can-fire", of=CANARY, severity=WARNING)
def a_canary_has_two_pods_beside_ten(of: Region, _: str) -> Region:
    few = with_deployment(of, "v2", lambda it: replace(it, replicas=2))
    many = with_deployment(few, "v1", lambda it: replace(it, replicas=10))
    return _ejecting(many, OutlierDetection(10, None, 5.0, 30.0))


@bad_region("ejection-costs-little", of=CANARY, severity=WARNING)
def one_failed_answer_ejects_a_pod(of: Region, _: str) -> Region:
    return _ejecting(of, OutlierDetection(1, None, 5.0, 30.0, 34))


@bad_region("ejection-costs-little", of=CANARY, severity=WARNING)
def an_ejected_pod_stays_out_for_hours(of: Region, _: str) -> Region:
    return _ejecting(of, OutlierDetection(10, None, 5.0, 7200.0, 34))


@bad_region("ejection-costs-little", of=CANARY, severity=WARNING)
def nobody_looks_at_ejected_pods_for_an_hour(of: Region, _: str) -> Region:
    return _ejecting(of, OutlierDetection(10, None, 3600.0, 30.0, 34))
