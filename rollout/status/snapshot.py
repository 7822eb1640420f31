"""A status put together: files and Git read first, then all clusters asked at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.names import APPLICATION, overlay
from rollout.access import RegionAccess
from rollout.cluster.application import Application, read_application
from rollout.cluster.envoys import Envoy, read_envoys
from rollout.cluster.objects import Live, read_live
from rollout.git.commits import Writer
from rollout.git.revisions import Repository, WorkingTree
from rollout.plan.declaration import DeclaredRegion, declared
from rollout.problem import Problem, RolloutError
from rollout.status.answers import await_all, or_problems
from rollout.status.disagreements import Declaration, RegionStatus, Status, Weights
from rollout.status.overlay import overlay_weights
from rules.facts.versions import versions
from rules.facts.workloads import Workloads

_WHY = "without it nothing says which weights the region is to have"


@dataclass(frozen=True)
class _Seen:
    """What a cluster was asked, each part with its answer or why there is none."""

    application: Future[Application] | None
    live: Future[Live]
    envoys: Future[tuple[Envoy, ...]]


def gather(project: Path, regions: Sequence[RegionAccess]) -> Status:
    """Looks at the regions. What cannot be seen of one is a problem of that region.

    Args:
        project: Directory of Pulumi.yaml, in a clone of the repository.
        regions: The regions.

    Raises:
        RolloutError: the repository cannot be read, or the last commit of a promotion says nothing that can be used.
    """
    writer = Writer(project)
    head, _branch = writer.head()
    on_disk = {each.stack: each for each in declared(WorkingTree(project))}
    with Repository(project) as repository:
        committed = {each.stack: each for each in declared(repository.at(head))}
        touched = {
            region.name: repository.commits_touching(head, [_stack_file(region), overlay(region.name)], 1)
            for region in regions
        }
    declarations = {
        region.name: _declaration(
            project / _stack_file(region),
            on_disk.get(region.stack),
            committed.get(region.stack),
            next((writer.log(commit, 1)[0].at for commit in touched[region.name]), None),
        )
        for region in regions
    }
    seen = _ask(regions, declarations)

    def status(region: RegionAccess) -> RegionStatus:
        problems = _problems(region, on_disk.get(region.stack))
        answers = seen[region.name]
        application = or_problems(answers.application.result, problems) if answers.application else None
        synced, synced_at = _synced(project, writer, application) if application else (None, None)
        return RegionStatus(
            name=region.name,
            context=region.context,
            declared=declarations[region.name],
            application=application,
            synced=synced,
            synced_at=synced_at,
            live=or_problems(answers.live.result, problems),
            envoys=or_problems(answers.envoys.result, problems),
            # a cluster that does not answer does not answer any question
            problems=tuple(dict.fromkeys(problems)),
        )

    return Status(datetime.now(UTC), head, tuple(map(status, regions)), writer.newest_record(head))


def _declaration(
    stack_file: Path, now: DeclaredRegion | None, then: DeclaredRegion | None, committed_at: datetime | None
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
        committed_at=committed_at,
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
            region.name: _Seen(
                # Argo CD is only there where it delivers, also for the time of a handover
                application=None
                if declarations[region.name].delivery == "direct"
                else pool.submit(read_application, region, APPLICATION),
                live=pool.submit(read_live, region),
                envoys=pool.submit(read_envoys, region),
            )
            for region in regions
        }
        asked: list[Future[Any]] = []
        for one in seen.values():
            asked += filter(None, (one.application, one.live, one.envoys))
        await_all(asked)
    return seen


def _synced(project: Path, writer: Writer, application: Application) -> tuple[Weights | None, datetime | None]:
    """The weights at the commit that Argo CD last synced, and when it was made; nothing where this clone does not tell."""
    revision = application.synced_revision
    if revision is None:
        return None, None
    try:
        return overlay_weights(project, revision, application.path), writer.log(revision, 1)[0].at
    except RolloutError:
        return None, None
