"""A version taken out of the regions: one after the other, each once nothing of the mesh can send it a request any more."""

from __future__ import annotations

from collections.abc import Sequence

from rollout.judge.step import Observation, Step, somebody_else_answered
from rollout.measurement import Measurement, Tally
from rollout.problem import Problem, RolloutError, refuse
from rollout.promote.clusters import Clusters
from rollout.promote.results import RetirementResult
from rollout.promote.upstream import Upstream


def preview(upstream: Upstream, version: str, regions: Sequence[str]) -> list[str]:
    """The regions that a version would be taken from, judged by the rules as commits that are pushed nowhere.

    Raises:
        RolloutError: it has requests somewhere, is nowhere, or the rules refuse to take it out.
    """
    parent = upstream.tip()
    weights = {region: upstream.weights(parent, region) for region in regions}
    found = [region for region in regions if version in weights[region]]
    if not found:
        raise RolloutError.of(
            f"{version} is in none of the regions {', '.join(regions)}",
            "what is not there cannot be taken out",
            f"they have: {', '.join(sorted({name for split in weights.values() for name in split}))}",
        )
    busy = [region for region in found if weights[region][version]]
    refuse(_has_requests(region, version, weights[region][version]) for region in busy)
    for region in found:
        parent = upstream.without(parent, region, version, _subject(upstream.service, version, region))
    return found


def retire(upstream: Upstream, clusters: Clusters, version: str, regions: Sequence[str]) -> list[RetirementResult]:
    """Takes a version out of regions that do not send it requests; in each, once every Envoy has acknowledged that.

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
        tip = upstream.tip()
        before = upstream.weights(tip, region)
        if before.get(version):
            raise RolloutError(_has_requests(region, version, before[version]))
        acknowledged = clusters.deliver(region, tip, before, lambda: None)
        if isinstance(acknowledged, Problem):
            raise RolloutError(acknowledged)
        upstream.say(f"{region}: weight 0 of {version} is acknowledged by {acknowledged.envoys} Envoys")
        weights = {name: weight for name, weight in before.items() if name != version}

        def make(tip: str) -> str:
            upstream.refuse_changed_by_others(acknowledged_at, tip, [region])
            return upstream.without(tip, region, version, _subject(upstream.service, version, region))

        acknowledged_at = tip
        placed = upstream.placed(make)
        step = Step(region, next(iter(weights)), weights, weights)

        def lost(window: Measurement) -> Problem | None:
            reason = somebody_else_answered(step, Observation(window))
            return _lost(region, version, placed, reason) if reason else None

        delivery = clusters.deliver(region, placed, weights, lambda: lost(watch.seen()), without=version)
        if isinstance(delivery, Problem):
            raise RolloutError(delivery)
        coming = watch.turn()
        if problem := lost(coming):
            raise RolloutError(problem)
        upstream.say(
            f"{region}: {version} is gone since {placed[:10]}, {delivery.acknowledged:.1f} s after it was pushed"
        )
        return RetirementResult(region, placed, delivery, Tally(coming.requests, coming.failures))


def _subject(service: str, version: str, region: str) -> str:
    return f"Retire {service} {version} in {region}"


def _has_requests(region: str, version: str, weight: int) -> Problem:
    return Problem(
        f"{region}: {version} has weight {weight}",
        "while it has requests, they would be lost with it",
        f"promote another version (rollout promote), or rollout set {version}=0 --region {region}",
    )


def _lost(region: str, version: str, commit: str, reason: str) -> Problem:
    return Problem(
        f"{region}: while {version} was taken out: {reason}",
        "nothing should have been sent to it any more",
        f"see what it is (rollout status); git revert {commit[:10]} brings it back, with weight 0",
    )
