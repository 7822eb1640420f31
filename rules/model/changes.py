"""The model on a real change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rules.facts.region import Change, Region
from rules.facts.versions import versions
from rules.facts.workloads import Workloads
from rules.model.mesh import AS_IT_IS, ORDERLY, Mesh
from rules.model.orders import ArgoCd, Order, Pods, PulumiOrder, Target
from rules.model.search import each_plot
from rules.model.story import Plot


def outage(change: Change) -> tuple[str, ...]:
    """A way to a 503 that this change leaves open, step by step; nothing if there is none, whatever goes wrong.

    Only the revision before is taken for granted: delivered, ready, and known to every proxy. The change may fail or be stopped
    anywhere, be tried again or stay as it is; pods may never get ready; istiod may hear of objects in another order than they were
    written in; each proxy may be as late as it likes, and may get routes while the new cluster warms. Of several stories it is one
    that needs the least of this, and of these a shortest.

    A version that fails before anything is done is left out, as are a region's first revision and its removal: the
    change is not what breaks them.
    """
    before, after = change.before, change.after
    if before is None or after is None:
        return ()
    # nobody uses yet what testers get with this change
    asked_for = frozenset(
        name for name, each in versions(before.workloads).items() if each.testers and each.subset and each.replicas
    )
    new, orders = _target(after.workloads, asked_for), _orders(before, after)
    old = _with_what_stood(_target(before.workloads, asked_for), new, before.workloads)
    if not _plots((old, new, new), orders, AS_IT_IS):
        return ()
    ways = (
        ((old, new), ORDERLY),
        ((old, new, new), ORDERLY),
        ((old, new), Mesh(hears_in_order=True, warm_before_routes=False)),
        ((old, new, new), AS_IT_IS),
    )
    plot, order = next(
        min(found, key=lambda each: len(each[0].events))
        for targets, mesh in ways
        if (found := _plots(targets, orders, mesh))
    )
    version = plot.failure.version
    kept = frozenset(each.id.name for each in after.workloads.deployments if each.replicas > 0)
    return plot.told(order.name, _weight(before, version), _weight(after, version), kept)


def _plots(targets: tuple[Target, ...], orders: Sequence[Order], mesh: Mesh) -> list[tuple[Plot, Order]]:
    return [
        (plot, order)
        for order in orders
        for plot in each_plot(targets, order, confirmed=False, mesh=mesh)
        # without an event it is the revision before that fails
        if plot.events
    ]


def _weight(region: Region, version: str) -> int | None:
    """The percent of the requests; None where it is only testers that ask for it."""
    known = versions(region.workloads).get(version)
    if known is not None and known.testers and not known.weight:
        return None
    return 0 if known is None else known.weight


def _target(workloads: Workloads, asked_for: frozenset[str]) -> Target:
    known = versions(workloads).values()
    return Target(
        frozenset(
            Pods(each.id.name, version.name, wanted=each.replicas > 0)
            for version in known
            for each in version.deployments
        ),
        frozenset(version.name for version in known if version.subset),
        frozenset(
            version.name for version in known if version.weight > 0 or (version.testers and version.name in asked_for)
        ),
    )


def _with_what_stood(old: Target, new: Target, before: Workloads) -> Target:
    """With the pods that were there for others, where a subset is moved to them: they need not come."""
    stood = {each.id.name: each.replicas > 0 for each in before.deployments}
    had = {(each.deployment, each.version) for each in old.pods}
    moved = (
        Pods(each.deployment, each.version, stood[each.deployment])
        for each in new.pods
        if each.deployment in stood and (each.deployment, each.version) not in had
    )
    return replace(old, pods=old.pods.union(moved))


def _orders(before: Region, after: Region) -> tuple[Order, ...]:
    """Who may apply the change: each of the two that delivers before it or after it."""
    argo_cd = _argo_cd(before.workloads, after.workloads)
    deliveries = {before.delivery, after.delivery}
    if deliveries == {"gitops"}:
        return (argo_cd,)
    return (PulumiOrder(),) if deliveries == {"direct"} else (argo_cd, PulumiOrder())


def _argo_cd(before: Workloads, after: Workloads) -> ArgoCd:
    """The waves of the objects as they will be, and of those that go as they were."""
    waves = {each.id.name: each.wave for each in (*before.deployments, *after.deployments)}
    return ArgoCd(
        # of several, the order that keeps the subsets longest from the routes
        destination_rule=max((each.wave for each in after.destination_rules), default=0),
        virtual_service=min((each.wave for each in after.virtual_services), default=0),
        pods=tuple(sorted((name, wave) for name, wave in waves.items() if wave != 0)),
    )
