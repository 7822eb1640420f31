"""A version brought into the regions with weight 0: its pods are well, and every Envoy knows it, before it gets a request of anybody's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from rollout.problem import Problem, RolloutError, refuse
from rollout.promote.clusters import Clusters
from rollout.promote.results import IntroductionResult
from rollout.promote.upstream import Upstream
from stackfile.editing import with_version
from stackfile.model import VersionConfig


@dataclass(frozen=True)
class Introduction:
    """What is brought where.

    Attributes:
        version: Its name.
        image: What it runs.
        replicas: How many pods it gets; None for as many as the version with most weight has, by which all else of it goes too.
        regions: Where, in this order.
        together: Whether by one commit for all of them; else each region gets its own once the one before has it.
    """

    version: str
    image: str
    replicas: int | None
    regions: Sequence[str]
    together: bool

    @property
    def turns(self) -> Sequence[Sequence[str]]:
        """The regions that have their turn at the same time, turn by turn."""
        return [self.regions] if self.together else [[region] for region in self.regions]


def preview(upstream: Upstream, new: Introduction, tip: str) -> Mapping[str, int]:
    """The regions that lack the version and would get it, judged by the rules as commits that are pushed nowhere.

    Returns:
        By region, the number of pods that it would get there; no region that has it already.

    Raises:
        RolloutError: a region has it otherwise; the rules refuse it, or its name, image or replicas cannot be used.
    """
    there = {region: upstream.declared(tip, region).versions.get(new.version) for region in new.regions}
    refuse(_otherwise(region, new, version) for region, version in there.items() if version and not _is(new, version))
    for turn in new.turns:
        tip = _introduced(upstream, new, [region for region in turn if not there[region]], tip)
    brought = {region: upstream.declared(tip, region).versions[new.version] for region in new.regions}
    return {region: version.replicas for region, version in brought.items() if not there[region]}


def introduce(upstream: Upstream, clusters: Clusters, new: Introduction, tip: str) -> list[IntroductionResult]:
    """Brings a version, and waits in each region until it is synced and healthy and each Envoy knows it; also where it is already.

    Args:
        upstream: The branch that Argo CD follows.
        clusters: The regions' clusters.
        new: The version.
        tip: What is to be delivered now. A region that somebody changes since then is left alone.

    Raises:
        RolloutError: it cannot be pushed or delivered; what is done stays done.
    """
    lacking = preview(upstream, new, tip)
    ours, results = tip, []
    for turn in new.turns:
        if missing := [region for region in turn if region in lacking]:
            ours = upstream.placed(_on_top_of(upstream, new, missing, ours))
            upstream.say(f"{', '.join(missing)}: {new.version} comes with {ours[:10]}; waits for every Envoy")
        for region in turn:
            delivery = clusters.deliver(region, ours, upstream.weights(ours, region), lambda: None)
            if isinstance(delivery, Problem):
                raise RolloutError(replace(delivery, fix=f"{delivery.fix}; when it is mended, run this again"))
            results.append(IntroductionResult(region, ours if region in lacking else None, delivery))
    return results


def _on_top_of(upstream: Upstream, new: Introduction, regions: Sequence[str], ours: str) -> Callable[[str], str]:
    def make(tip: str) -> str:
        upstream.refuse_changed_by_others(ours, tip, regions)
        return _introduced(upstream, new, regions, tip)

    return make


def _introduced(upstream: Upstream, new: Introduction, regions: Sequence[str], parent: str) -> str:
    if not regions:
        return parent
    own = {"image": new.image} | ({} if new.replicas is None else {"replicas": new.replicas})

    def edit(region: str) -> Callable[[str], str]:
        weights = upstream.weights(parent, region)
        like = max(weights, key=lambda version: weights[version])
        return lambda text: with_version(text, upstream.service, new.version, like, own)

    subject = f"Introduce {upstream.service} {new.version} in {', '.join(regions)}"
    edits = {region: edit(region) for region in regions}
    return upstream.edited(parent, edits, subject, f"introduce {new.version}", strict=True)


def _is(new: Introduction, version: VersionConfig) -> bool:
    return version.image == new.image and new.replicas in (None, version.replicas)


def _otherwise(region: str, new: Introduction, version: VersionConfig) -> Problem:
    return Problem(
        f"{region}: {new.version} is there already, with {version.image} and {version.replicas} replicas",
        "introduce adds a version and changes none",
        f"give the new one another name, or remove this one first (rollout retire {new.version}); "
        "its replicas change in the stack file",
    )
