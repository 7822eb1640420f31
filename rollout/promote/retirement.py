"""A version taken out of the regions: one after the other, each once nothing of the mesh can send it a request any more."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rollout.judge.checks import none_lost_on_the_way, nothing_lost
from rollout.measurement import Measurement, Tally
from rollout.problem import Problem, RolloutError, refuse
from rollout.promote.clusters import Clusters
from rollout.promote.delivery import DeliveryTime
from rollout.promote.results import RetirementResult
from rollout.promote.upstream import Upstream
from rollout.weights import routed
from stackfile.editing import without_testers, without_version


def preview(upstream: Upstream, version: str, regions: Sequence[str]) -> Mapping[str, bool]:
    """The regions that a version would be taken from, judged by the rules as commits that are pushed nowhere.

    Returns:
        By region, whether testers can ask for it there: then a commit that ends this comes first.

    Raises:
        RolloutError: it has requests somewhere, is nowhere, or the rules refuse to take it out.
    """
    parent = upstream.tip()
    declared = {region: upstream.declared(parent, region) for region in regions}
    weights = {region: each.weights for region, each in declared.items()}
    found = [region for region in regions if version in weights[region]]
    if not found:
        raise RolloutError.of(
            f"{version} is in none of the regions {', '.join(regions)}",
            "what is not there cannot be taken out",
            f"they have: {', '.join(sorted({name for split in weights.values() for name in split}))}",
        )
    busy = [region for region in found if weights[region][version]]
    refuse(_has_requests(region, version, weights[region][version]) for region in busy)
    by_testers = {region: version in declared[region].for_testers for region in found}
    for region, asked_for in by_testers.items():
        if asked_for:
            parent = _unasked(upstream, parent, region, version)
        parent = _removed(upstream, parent, region, version)
    return by_testers


def retire(upstream: Upstream, clusters: Clusters, version: str, regions: Sequence[str]) -> list[RetirementResult]:
    """Takes a version out of regions that do not send it requests; in each, once every Envoy has acknowledged that.

    Where testers can ask for it, a commit ends that first, and is acknowledged as well.

    Args:
        upstream: The branch that Argo CD follows.
        clusters: The regions' clusters.
        version: Which.
        regions: Where, in this order.

    Raises:
        RolloutError: it cannot be delivered, or a request failed meanwhile; what is done stays done.
    """
    return [_retire(upstream, clusters, version, region) for region in preview(upstream, version, regions)]


def _retire(upstream: Upstream, clusters: Clusters, version: str, region: str) -> RetirementResult:
    with clusters.watched(region) as watch:
        ours = upstream.tip()
        service = upstream.declared(ours, region)
        before = service.weights
        if before.get(version):
            raise RolloutError(_has_requests(region, version, before[version]))
        if pods := clusters.asked_at_gateways(region, version):
            raise RolloutError(_is_asked_for_outside(region, version, pods))
        weights = {name: weight for name, weight in before.items() if name != version}

        def lost(window: Measurement) -> Problem | None:
            found = nothing_lost(window, routed(weights), none_lost_on_the_way)
            return _lost(region, version, ours, found[0].text) if found else None

        def place(make: Callable[[Upstream, str, str, str], str]) -> str:
            def made(tip: str) -> str:
                upstream.refuse_changed_by_others(ours, tip, [region])
                return make(upstream, tip, region, version)

            return upstream.placed(made)

        acknowledged = _needed(clusters.deliver(region, ours, before, lambda: None))
        upstream.say(f"{region}: weight 0 of {version} is acknowledged by {acknowledged.envoys} Envoys")
        if version in service.for_testers:
            ours = place(_unasked)
            acknowledged = _needed(clusters.deliver(region, ours, before, lambda: lost(watch.seen())))
            upstream.say(f"{region}: testers cannot ask for {version}, acknowledged by {acknowledged.envoys} Envoys")
        ours = place(_removed)
        delivery = _needed(clusters.deliver(region, ours, weights, lambda: lost(watch.seen()), without=version))
        coming = watch.turn()
        if problem := lost(coming):
            raise RolloutError(problem)
        upstream.say(
            f"{region}: {version} is gone since {ours[:10]}, {delivery.acknowledged:.1f} s after it was pushed"
        )
        return RetirementResult(region, ours, delivery, Tally(coming.requests, coming.failures))


def _unasked(upstream: Upstream, parent: str, region: str, version: str) -> str:
    subject = f"Take {upstream.service} {version} from testers in {region}"
    edits = {region: lambda text: without_testers(text, upstream.service, version)}
    return upstream.edited(parent, edits, subject, f"retire {version}")


def _removed(upstream: Upstream, parent: str, region: str, version: str) -> str:
    subject = f"Retire {upstream.service} {version} in {region}"
    edits = {region: lambda text: without_version(text, upstream.service, version)}
    return upstream.edited(parent, edits, subject, f"retire {version}")


def _needed(delivery: DeliveryTime | Problem) -> DeliveryTime:
    if isinstance(delivery, Problem):
        raise RolloutError(delivery)
    return delivery


def _has_requests(region: str, version: str, weight: int) -> Problem:
    return Problem(
        f"{region}: {version} has weight {weight}",
        "while it has requests, they would be lost with it",
        f"promote another version (rollout promote), or rollout set {version}=0 --region {region}",
    )


def _is_asked_for_outside(region: str, version: str, pods: Sequence[str]) -> Problem:
    return Problem(
        f"{region}: testers outside the mesh can ask for {version}, by the gateways {', '.join(pods)}",
        "their route is Pulumi's, and would lead to a version that is not there",
        f"set testers: false for {version} in the stack file, rollout render, commit, push, and pulumi up -s {region}; then retire it",
    )


def _lost(region: str, version: str, commit: str, reason: str) -> Problem:
    return Problem(
        f"{region}: while {version} was taken out: {reason}",
        "nothing should have been sent to it any more",
        f"see what it is (rollout status); git revert {commit[:10]} brings it back, with weight 0",
    )
