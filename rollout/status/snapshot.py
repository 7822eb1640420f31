"""A status put together: files and Git read first, then all clusters asked at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from components.names import ECHO_ADDRESS, overlay
from rollout.access import RegionAccess
from rollout.cluster.application import Application, read_application
from rollout.cluster.envoys import Envoy, read_envoys
from rollout.cluster.objects import Live, read_live
from rollout.git.repository import Entry, Repository
from rollout.plan.declaration import DeclaredRegion, WorkingTree, declared
from rollout.problem import Problem, RolloutError
from rollout.status.answers import await_all, or_problems
from rollout.status.disagreements import Declaration, RegionStatus, Status, Weights
from rollout.status.overlay import overlay_weights
from rules.facts.versions import versions
from rules.facts.workloads import Workloads

_WHY = "without it nothing says which weights the region is to have"


_Seen = tuple[Future[Application] | None, Future[Live], Future[dict[str, tuple[Envoy, ...]]]]
"""What a cluster was asked, each part with its answer or why there is none."""


def gather(project: Path, regions: Sequence[RegionAccess]) -> Status:
    """Looks at the regions. What cannot be seen of one is a problem of that region.

    Args:
        project: Directory of Pulumi.yaml, in a clone of the repository.
        regions: The regions.

    Raises:
        RolloutError: the repository cannot be read, or the last commit of a promotion says nothing that can be used.
    """
    repository = Repository(project)
    head, _branch = repository.head()
    on_disk = {each.stack: each for each in declared(WorkingTree(project))}
    committed = {each.stack: each for each in declared(repository.at(head))}
    declarations = {
        region.name: _declaration(
            project / _stack_file(region),
            on_disk.get(region.stack),
            committed.get(region.stack),
            next(iter(repository.log(head, 1, paths=[_stack_file(region), overlay(region.name)])), None),
        )
        for region in regions
    }
    seen = _ask(regions, declarations)

    def status(region: RegionAccess) -> RegionStatus:
        problems = _problems(region, on_disk.get(region.stack))
        asked, live, envoys = seen[region.name]
        application = or_problems(asked.result, problems) if asked else None
        synced, synced_at = _synced(repository, application) if application else (None, None)
        return RegionStatus(
            name=region.name,
            context=region.context,
            declared=declarations[region.name],
            application=application,
            synced=synced,
            synced_at=synced_at,
            live=or_problems(live.result, problems),
            envoys=or_problems(lambda: envoys.result()[ECHO_ADDRESS.name], problems),
            # a cluster that does not answer does not answer any question
            problems=tuple(dict.fromkeys(problems)),
        )

    return Status(datetime.now(UTC), head, tuple(map(status, regions)), repository.newest_record(head))


def _declaration(
    stack_file: Path, now: DeclaredRegion | None, then: DeclaredRegion | None, touched: Entry | None
) -> Declaration:
    config = next((each.config for each in (now, then) if each and each.config), None)
    delivery = config.delivery if config else "gitops"
    return Declaration(
        stack_file=stack_file.name,
        delivery=delivery,
        stack=_stack_weights(now),
        edited=datetime.fromtimestamp(stack_file.stat().st_mtime, UTC) if stack_file.is_file() else None,
        committed=_stack_weights(then),
        git=_routed(then.overlay) if then and then.overlay and delivery != "direct" else None,
        committed_at=touched.at if touched else None,
    )


def _stack_file(region: RegionAccess) -> str:
    return f"Pulumi.{region.stack}.yaml"


def _stack_weights(found: DeclaredRegion | None) -> Weights | None:
    return found.config.echo.weights if found and found.config else None


def _routed(workloads: Workloads) -> Weights | None:
    return {version.name: version.weight for version in versions(workloads).values() if version.routed} or None


def _problems(region: RegionAccess, found: DeclaredRegion | None) -> list[Problem]:
    if found is None:
        return [
            Problem(
                f"{region.name}: there is no stack file {_stack_file(region)}",
                _WHY,
                "run this in a whole checkout of the project",
            )
        ]
    return [Problem(line) for line in found.problems]


def _ask(regions: Sequence[RegionAccess], declarations: Mapping[str, Declaration]) -> Mapping[str, _Seen]:
    """Asks for all there is of all regions side by side; returns when each answer is there, or why it is not."""
    with ThreadPoolExecutor(max_workers=max(1, 3 * len(regions))) as pool:
        seen = {
            region.name: (
                # Argo CD is only there where it delivers, also for the time of a handover
                None
                if declarations[region.name].delivery == "direct"
                else pool.submit(read_application, region, ECHO_ADDRESS.application),
                pool.submit(read_live, region, ECHO_ADDRESS),
                pool.submit(read_envoys, region, [ECHO_ADDRESS]),
            )
            for region in regions
        }
        await_all([asked for three in seen.values() for asked in three if asked])
    return seen


def _synced(repository: Repository, application: Application) -> tuple[Weights | None, datetime | None]:
    """The weights at the commit that Argo CD last synced, and when it was made; nothing where this clone does not tell."""
    revision = application.synced_revision
    if revision is None:
        return None, None
    try:
        return overlay_weights(repository.project, revision, application.path), repository.log(revision, 1)[0].at
    except RolloutError:
        return None, None
