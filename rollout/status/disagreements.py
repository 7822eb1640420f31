"""Where a region's weights are said, and who disagrees with whom: stack file, Git, Argo CD, cluster, Envoys. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from rollout.cluster.application import Application
from rollout.cluster.envoys import Envoy, acknowledges, by_header
from rollout.cluster.objects import Live, Route
from rollout.git.command import SHORT_HASH
from rollout.git.record import Record
from rollout.git.repository import Entry
from rollout.problem import Problem
from rollout.weights import routed
from rules.facts.versions import by_number
from rules.facts.workloads import Delivery

Weights = Mapping[str, int]
"""Whole percents by version."""

_PODS_SHOWN = 3


@dataclass(frozen=True)
class Declaration:
    """What the files say of a service in a region.

    Attributes:
        stack_file: The file's name.
        delivery: Who applies the workloads.
        stack: The weights in the stack file on the disk; None where it is not there or cannot be used.
        edited: When that file was last written.
        committed: Those of the stack file at HEAD.
        git: Those of the overlay at HEAD; None where there is none, and with `delivery: direct`.
        committed_at: When the newest commit up to HEAD was made that touched one of both; None where none did.
        branch: What Argo CD is to follow; "" where it is not known.
        path: Where the overlay is; "" where it is not known.
    """

    stack_file: str
    delivery: Delivery
    stack: Weights | None
    edited: datetime | None
    committed: Weights | None
    git: Weights | None
    committed_at: datetime | None
    branch: str = ""
    path: str = ""


@dataclass(frozen=True)
class RegionStatus:
    """A service in a region, as far as it could be seen.

    Attributes:
        name: The region.
        service: The service; "" where no file tells the region's services.
        context: Its context in the kubeconfig.
        declared: What the files say.
        application: Argo CD's; None where it does not deliver, or could not be asked.
        synced: The weights of the commit that Argo CD last synced; None where that is not in this clone.
        synced_at: When that commit was made; None as `synced`.
        live: What the cluster has been told; None where it could not be asked.
        envoys: What each sidecar and gateway does that was asked and can send to it; None where they could not be asked.
        problems: What of these could not be seen, and why.
        connections: What the istiods say of their proxies, as `read_connections` does; None where they were not asked.
        unasked: Why they could not be asked.
        others: The Envoys that were not asked, of more than 50, as their pods tell of them.
        unapplied: The objects that differ in Git between the commit at which Argo CD says Synced and the one that it last applied,
            as far as the cluster is not seen to have them as the former says.
    """

    name: str
    service: str
    context: str
    declared: Declaration
    application: Application | None
    synced: Weights | None
    synced_at: datetime | None
    live: Live | None
    envoys: tuple[Envoy, ...] | None
    problems: tuple[Problem, ...] = ()
    connections: Mapping[str, str] | None = None
    unasked: tuple[Problem, ...] = ()
    others: tuple[Envoy, ...] = ()
    unapplied: tuple[str, ...] = ()

    @property
    def versions(self) -> tuple[str, ...]:
        """All versions that anybody names, in the order v1, v2, v10."""
        named: set[str] = set()
        for weights in (self.declared.stack, self.declared.git, self.live_weights):
            named.update(weights or ())
        for envoy in self.envoys or ():
            named.update(envoy.weights or (), envoy.ejected)
        if self.live:
            named.update(self.live.pods)
        return tuple(sorted(named, key=by_number))

    @property
    def unseen(self) -> tuple[Problem, ...]:
        """All that could not be seen: also of its surroundings, and of its connections."""
        return *self.problems, *(self.live.around.unseen if self.live else ()), *self.unasked

    @property
    def live_weights(self) -> Weights | None:
        """Those of the VirtualService in the cluster."""
        return self.live.route.weights if self.live and self.live.route else None


@dataclass(frozen=True)
class Status:
    """All regions that were asked for.

    Attributes:
        at: When they were looked at.
        head: What is checked out in this clone; its full hash.
        regions: The services of the regions, region by region.
        promotions: The newest commit of each service's promotions, with what it says.
    """

    at: datetime
    head: str
    regions: tuple[RegionStatus, ...]
    promotions: tuple[tuple[Entry, Record], ...]


@dataclass(frozen=True)
class Disagreement:
    """Two that should say the same and do not.

    Attributes:
        region: Where.
        service: Of which service; "" for the region as a whole.
        what: Who says what.
        since: From when on; None where nobody keeps that.
        by: The program that changed one of them then, as it names itself; "" where that says nothing.
    """

    region: str
    what: str
    since: datetime | None = None
    by: str = ""
    service: str = ""


def all_disagreements(status: Status) -> tuple[Disagreement, ...]:
    """Those of all regions, in the order from the stack file to the pods; what each service of a region shows, once."""
    return tuple(dict.fromkeys(each for region in status.regions for each in disagreements(region)))


def disagreements(region: RegionStatus) -> tuple[Disagreement, ...]:
    """What disagrees in a region; weights of 0 and versions that are not there are the same."""
    of_service = (
        *_stack_and_git(region),
        *_git_and_cluster(region),
        *_cluster_and_envoys(region),
        *_pods(region),
        *_ejected(region),
        *_argo_cd(region),
    )
    return tuple(replace(each, service=region.service) for each in of_service)


def told(weights: Weights) -> str:
    """Weights for people: `v1 90, v2 10`."""
    return ", ".join(f"{version or 'all pods alike'} {weights[version]}" for version in sorted(weights, key=by_number))


def _stack_and_git(region: RegionStatus) -> Iterator[Disagreement]:
    declared = region.declared
    if declared.stack is None:
        return
    if not _same(declared.stack, declared.committed):
        said = told(declared.committed) if declared.committed else "nothing"
        yield Disagreement(
            region.name,
            f"{declared.stack_file} says {told(declared.stack)} and is not committed; HEAD says {said}",
            declared.edited,
        )
    if declared.committed is not None and declared.delivery != "direct" and not _same(declared.committed, declared.git):
        said = told(declared.git) if declared.git else "nothing"
        yield Disagreement(
            region.name,
            f"{declared.stack_file} at HEAD says {told(declared.committed)}, and its overlay, not rendered from it, {said}",
            declared.committed_at,
        )


def _git_and_cluster(region: RegionStatus) -> Iterator[Disagreement]:
    live = region.live
    if live is None:
        return
    if live.route is None:
        yield Disagreement(region.name, "there is no VirtualService in the cluster, so requests go to all pods alike")
    elif live.route.weights is None:
        yield _changed(region, live.route, f"the VirtualService in the cluster is no split: {live.route.problem}")
    elif region.declared.delivery == "direct":
        yield from _against_stack(region, live.route, live.route.weights)
    else:
        yield from _against_git(region, live.route, live.route.weights)


def _against_stack(region: RegionStatus, route: Route, weights: Weights) -> Iterator[Disagreement]:
    declared = region.declared
    if declared.stack is not None and not _same(weights, declared.stack):
        what = f"the cluster has {told(weights)}, {declared.stack_file} says {told(declared.stack)}"
        written_later = route.changed and declared.edited and declared.edited > route.changed.at
        yield Disagreement(region.name, what, declared.edited) if written_later else _changed(region, route, what)


def _against_git(region: RegionStatus, route: Route, weights: Weights) -> Iterator[Disagreement]:
    declared = region.declared
    at = region.application.synced_revision if region.application else None
    if region.synced is not None and at is not None and not _same(weights, region.synced):
        yield _changed(
            region,
            route,
            f"the cluster has {told(weights)}, and {at[:SHORT_HASH]}, which Argo CD last synced, says {told(region.synced)}",
        )
    if declared.git is None or _same(declared.git, weights if region.synced is None else region.synced):
        return
    if region.synced is not None and at is not None:
        what = f"Argo CD last synced {at[:SHORT_HASH]} with {told(region.synced)}, and HEAD says {told(declared.git)}"
        # this clone may be ahead, or behind
        made = [at for at in (declared.committed_at, region.synced_at) if at]
        yield Disagreement(region.name, what, max(made, default=None))
    else:
        here = f"{at[:SHORT_HASH]}, which Argo CD last synced, is not in this clone" if at else "Argo CD synced nothing"
        yield _changed(region, route, f"the cluster has {told(weights)}, HEAD says {told(declared.git)}; {here}")


def _changed(region: RegionStatus, route: Route, what: str) -> Disagreement:
    if route.changed is None:
        return Disagreement(region.name, what)
    return Disagreement(region.name, what, route.changed.at, route.changed.manager)


def _cluster_and_envoys(region: RegionStatus) -> Iterator[Disagreement]:
    weights = region.live_weights
    if weights is None or region.envoys is None or region.live is None or region.live.route is None:
        return
    changed, testers = region.live.route.changed, region.live.route.testers
    by_doing: dict[str, list[str]] = {}
    for envoy in region.envoys:
        if not envoy.error and not acknowledges(envoy, weights, testers):
            by_doing.setdefault(_doing(envoy, weights, by_header(envoy, testers), region.service), []).append(envoy.pod)
    for doing, pods in by_doing.items():
        yield Disagreement(
            region.name,
            f"{count(len(pods), len(region.envoys))} {doing}: {listed(pods)}",
            changed.at if changed else None,
        )


def _doing(envoy: Envoy, weights: Weights, testers: Collection[str], service: str) -> str:
    if envoy.weights is None:
        return f"have no route to {service}"
    if not _same(envoy.weights, weights):
        return f"route by {told(envoy.weights)}, and the cluster says {told(weights)}"
    if not envoy.gateway and envoy.testers != testers:
        return f"send testers to {_named(envoy.testers)}, and the cluster says {_named(testers)}"
    unknown = {*routed(weights), *testers} - envoy.subsets
    return f"know no pods of {_named(unknown)}, whose share fails"


def _named(versions: Collection[str]) -> str:
    return " and ".join(sorted(versions, key=by_number)) or "none"


def _pods(region: RegionStatus) -> Iterator[Disagreement]:
    for version, pods in (region.live.pods if region.live else {}).items():
        if pods.ready < pods.wanted or pods.waiting:
            waits = f": {listed([f'{pod.name} ({pod.reason})' for pod in pods.waiting])}" if pods.waiting else ""
            first = min((pod.since for pod in pods.waiting if pod.since), default=None)
            yield Disagreement(region.name, f"{pods.ready} of {pods.wanted} pods of {version} are ready{waits}", first)


def _ejected(region: RegionStatus) -> Iterator[Disagreement]:
    envoys = region.envoys or ()
    for version in sorted({version for envoy in envoys for version in envoy.ejected}, key=by_number):
        number, by = ejected(envoys, version)
        yield Disagreement(
            region.name, f"{number} of the pods of {version} {'is' if number == 1 else 'are'} ejected by {by}"
        )


def ejected(envoys: Sequence[Envoy], version: str) -> tuple[int, str]:
    """How many pods of a version are ejected, where most are, and by how many Envoys any is."""
    numbers = [envoy.ejected.get(version, 0) for envoy in envoys]
    return max(numbers, default=0), count(sum(number > 0 for number in numbers), len(envoys))


def _argo_cd(region: RegionStatus) -> Iterator[Disagreement]:
    application = region.application
    if application is None or application.is_well:
        return
    moving = ", and is at work" if application.is_moving else ""
    yield Disagreement(region.name, f"Argo CD says {application.sync}, {application.health}{moving}")


def _same(one: Weights | None, other: Weights | None) -> bool:
    return routed(one or {}) == routed(other or {})


def count(number: int, of: int) -> str:
    """How many Envoys, of how many."""
    return f"{number} of {of} Envoys"


def listed(names: Sequence[str]) -> str:
    """The first of some names, and how many more there are."""
    more = len(names) - _PODS_SHOWN
    return ", ".join(names[:_PODS_SHOWN]) + (f" and {more} more" if more > 0 else "")
