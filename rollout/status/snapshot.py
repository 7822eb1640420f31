"""A status put together: files and Git read first, then all clusters asked at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.names import ServiceAddress, address
from rollout.access import RegionAccess
from rollout.answers import await_all
from rollout.cluster.application import SYNCED, Application, read_application
from rollout.cluster.client import api_client, list_all_pods
from rollout.cluster.envoys import Envoy, read_envoys, sample
from rollout.cluster.istiod import read_connections
from rollout.cluster.objects import Live, read_live
from rollout.git.repository import Repository
from rollout.plan.declaration import DeclaredRegion, WorkingTree, declared, overlay_at
from rollout.problem import Problem, RolloutError, or_problems
from rollout.regions import refuse_unknown_services
from rollout.status.disagreements import Declaration, RegionStatus, Status, Weights
from rollout.status.overlay import overlay_split
from rules.change.differences import Difference, differences
from rules.facts.versions import versions
from rules.facts.workloads import Delivery, Workloads
from stackfile.model import RegionConfig, ServiceConfig

_WHY = "without it nothing says which weights the region is to have"


def gather(project: Path, regions: Sequence[RegionAccess], only: Sequence[str] = (), at: str | None = None) -> Status:
    """Looks at the services of regions. What cannot be seen of one is a problem of that one.

    Args:
        project: Directory of Pulumi.yaml, in a clone of the repository.
        regions: The regions.
        only: The services to look at, by name; none for all.
        at: A commit whose files are meant, by its full hash; None for those on the disk and at HEAD.

    Raises:
        RolloutError: the repository cannot be read, the last commit of a promotion says nothing that can be used, or there is no
            service of a name.
    """
    repository = Repository(project)
    head = at or repository.head()[0]
    committed = {each.stack: each for each in declared(repository.at(head))}
    on_disk = committed if at else {each.stack: each for each in declared(WorkingTree(project))}
    places = [
        _Place(region, on_disk.get(region.stack), committed.get(region.stack), project, repository, head)
        for region in regions
    ]
    names = sorted({name for place in places for name in place.services})
    refuse_unknown_services(names, only)
    chosen = [name for name in names if not only or name in only]
    seen = _ask(places, chosen)
    found = [
        place.status(seen[place.region.name], name) for place in places for name in place.services if name in chosen
    ]
    # of a region whose services are not known, why they are not
    unknown = [place.unknown() for place in places if not place.services]
    promotions = [newest for name in chosen if (newest := repository.newest_record(head, name))]
    return Status(datetime.now(UTC), head, (*found, *unknown), tuple(promotions))


@dataclass(frozen=True)
class _Place:
    """A region, what the files say of it on the disk and at HEAD, and where they are."""

    region: RegionAccess
    now: DeclaredRegion | None
    then: DeclaredRegion | None
    project: Path
    repository: Repository
    head: str

    @property
    def services(self) -> Mapping[str, ServiceConfig]:
        """Its services, as far as a stack file that can be used tells them."""
        config = self.config
        return config.services if config else {}

    @property
    def config(self) -> RegionConfig | None:
        """What the stack file says on the disk, else at HEAD."""
        return next((each.config for each in (self.now, self.then) if each and each.config), None)

    @property
    def delivery(self) -> Delivery:
        """Who applies the workloads."""
        return self.config.delivery if self.config else "gitops"

    @property
    def stack_file(self) -> Path:
        """Where the stack file is."""
        return self.project / f"Pulumi.{self.region.stack}.yaml"

    def declaration(self, service: str) -> Declaration:
        """What the files say of a service."""
        overlay = self.then.overlays.get(service) if self.then else None
        paths = [self.stack_file.name, *([overlay.place] if overlay else [])]
        touched = next(iter(self.repository.log(self.head, 1, paths=paths)), None)
        routes = overlay.workloads if overlay and self.delivery != "direct" else None
        return Declaration(
            stack_file=self.stack_file.name,
            delivery=self.delivery,
            stack=_stack_weights(self.now, service),
            edited=datetime.fromtimestamp(self.stack_file.stat().st_mtime, UTC) if self.stack_file.is_file() else None,
            committed=_stack_weights(self.then, service),
            git=_routed(routes) if routes else None,
            committed_at=touched.at if touched else None,
            branch=self.config.repository.branch if self.config and self.config.repository else "",
            path=overlay.place if overlay else "",
        )

    def status(self, seen: _Seen, service: str) -> RegionStatus:
        """A service there, as far as it could be seen."""
        problems = self._problems()
        asked = seen.applications.get(service)
        application = or_problems(asked.result, problems) if asked else None
        unasked: list[Problem] = []
        connections = or_problems(seen.connections.result, unasked)
        synced, synced_at = _synced(self.repository, application, service) if application else (None, None)
        declaration = self.declaration(service)
        live = or_problems(lambda: seen.live.result()[service], problems)
        return RegionStatus(
            name=self.region.name,
            service=service,
            context=self.region.context,
            declared=declaration,
            application=application,
            synced=synced,
            synced_at=synced_at,
            live=live,
            envoys=or_problems(lambda: seen.envoys.result().asked[service], problems),
            # a cluster that does not answer does not answer any question
            problems=tuple(dict.fromkeys(problems)),
            connections=connections,
            unasked=tuple(each for each in unasked if each not in problems),
            others=() if seen.envoys.exception() else seen.envoys.result().others,
            unapplied=_unapplied(self.repository, application, declaration.path, live) if application else (),
        )

    def unknown(self) -> RegionStatus:
        """The region where no file tells its services."""
        problems = tuple(self._problems())
        return RegionStatus(
            self.region.name, "", self.region.context, self.declaration(""), None, None, None, None, None, problems
        )

    def _problems(self) -> list[Problem]:
        if self.now is None:
            return [
                Problem(
                    f"{self.region.name}: there is no stack file {self.stack_file.name}",
                    _WHY,
                    "run this in a whole checkout of the project",
                )
            ]
        return [Problem(line) for line in self.now.problems]


def _stack_weights(found: DeclaredRegion | None, service: str) -> Weights | None:
    known = found.config.services.get(service) if found and found.config else None
    return known.weights if known else None


def _routed(workloads: Workloads) -> Weights | None:
    return {version.name: version.weight for version in versions(workloads).values() if version.routed} or None


@dataclass(frozen=True)
class _Envoys:
    """Those that were asked, by the service that they can send to, and the others."""

    asked: dict[str, tuple[Envoy, ...]]
    others: tuple[Envoy, ...]


@dataclass(frozen=True)
class _Seen:
    """What a cluster was asked of its services, by their names, each part with its answer or why there is none."""

    applications: Mapping[str, Future[Application]]
    live: Future[dict[str, Live]]
    envoys: Future[_Envoys]
    connections: Future[Mapping[str, str] | None]


def _ask(places: Sequence[_Place], chosen: Sequence[str]) -> Mapping[str, _Seen]:
    """Asks for all there is of all regions side by side; returns when each answer is there, or why it is not."""
    # for each region the pods, what needs them, and an Application
    with ThreadPoolExecutor(max_workers=max(1, 5 * len(places))) as pool:
        seen = {}
        for place in places:
            region = place.region
            services = [address(each) for name, each in place.services.items() if name in chosen]
            # Argo CD is only there where it delivers, also for the time of a handover
            by_argo_cd = services if place.delivery != "direct" else []
            pods = pool.submit(_pods, region)
            seen[region.name] = _Seen(
                {each.name: pool.submit(read_application, region, each.application) for each in by_argo_cd},
                pool.submit(read_live, region, services, pods.result, argo_cd=bool(by_argo_cd)),
                pool.submit(_envoys, region, services, pods),
                pool.submit(_connections, region, pods),
            )
        for asked in seen.values():
            await_all([*asked.applications.values(), asked.live, asked.envoys, asked.connections])
    return seen


def _pods(region: RegionAccess) -> list[Mapping[str, Any]]:
    return list_all_pods(region, api_client(region))


def _envoys(region: RegionAccess, services: Sequence[ServiceAddress], pods: Future[list[Mapping[str, Any]]]) -> _Envoys:
    chosen, others = sample(pods.result())
    return _Envoys(read_envoys(region, services, chosen), others)


def _connections(region: RegionAccess, pods: Future[list[Mapping[str, Any]]]) -> Mapping[str, str] | None:
    return read_connections(region, pods.result())


def _synced(repository: Repository, application: Application, service: str) -> tuple[Weights | None, datetime | None]:
    """The weights at the commit that Argo CD last synced, and when it was made; nothing where this clone does not tell."""
    revision = application.synced_revision
    if revision is None:
        return None, None
    try:
        return overlay_split(repository.project, revision, application.path, service).weights, repository.log(
            revision, 1
        )[0].at
    except RolloutError:
        return None, None


def _unapplied(repository: Repository, application: Application, path: str, live: Live | None) -> tuple[str, ...]:
    """The objects of an overlay that Argo CD cannot have applied where it says so; nothing where this clone does not tell.

    A Deployment that the cluster has as the commit says is left out: Argo CD had nothing to apply.
    """
    applied, now = application.applied_revision, application.compared_revision
    if application.sync != SYNCED or application.is_moving or not applied or not path:
        return ()
    try:
        before, after = (overlay_at(repository.at(commit), path) for commit in (applied, now))
    except RolloutError:
        return ()
    if not before or not after:
        return ()
    changed = differences(before, after)
    deployed = Workloads(documents=live.deployments) if live else None
    wrong = differences(deployed, after) if deployed else ()
    lacking = [each for each in changed if not deployed or not _has(deployed, wrong, each)]
    return tuple(dict.fromkeys(str(each.of) for each in lacking))


def _has(deployed: Workloads, wrong: Sequence[Difference], change: Difference) -> bool:
    """Whether a Deployment in the cluster is as a change made it. What the commit does not say any more, the API server's defaults do.

    Args:
        deployed: The Deployments in the cluster.
        wrong: In what they differ from the commit.
        change: What the commit made of an object.
    """
    if change.of.kind != "Deployment":
        return False
    if not change.path and change.after is None:
        return change.of not in deployed.documents
    return not any(
        (each.path == change.path and each.before == change.before) if each.after is None else _meet(each, change)
        for each in wrong
        if each.of == change.of
    )


def _meet(one: Difference, other: Difference) -> bool:
    """Whether one of two fields is the other one, or in it."""
    return all(step == also for step, also in zip(one.path, other.path, strict=False))
