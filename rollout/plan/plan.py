"""A plan made: what a change in a project's Git repository does to the requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from rollout.git.repository import Repository
from rollout.plan.comparison import Images, Plan, Revision, plan
from rollout.plan.declaration import (
    DeclaredRegion,
    Overlay,
    Tree,
    WorkingTree,
    argo_cd_applies,
    declared,
    not_rendered,
    overlay_at,
    refuse_shared,
    refuse_unusable,
    rendered_workloads,
)
from rollout.problem import RolloutError
from rollout.regions import select
from rules.facts.region import Change
from rules.facts.versions import versions
from rules.facts.workloads import Workloads
from rules.region.capacity import stable_version

_HISTORY = 200
"""The commits of a region in which to look for a version that had all requests: four a week for a year."""
_ALL = 100
_PROGRAM = (("", "__main__.py"), ("", "requirements.txt"), ("components", "*.py"), ("stackfile", "*.py"))
"""What the objects are made by."""


def make_plan(
    repository: Repository,
    base: str,
    head: str | None,
    names: Sequence[str],
    *,
    alone: bool = False,
    at: datetime | None = None,
) -> Plan:
    """Plans the change from a base to a revision or to the working tree.

    Where base and head went apart, the change is what happened since then on the side of the head: what `git diff base...head`
    shows, and a pull request. A head that the base has in its history is a way back, and compared with the base itself.

    Args:
        repository: The project's.
        base: A revision, as Git names them.
        head: Another; None for the working tree, which is on top of HEAD.
        names: The regions to speak of; none for all.
        alone: Whether only these regions are looked at: what is wrong with others, and between them, is not seen.
        at: When the change is to be made; None for now.

    Raises:
        RolloutError: no such revision, stack files of the head that cannot be used or are of one region, or a
            name that is no region's; all problems of a kind together.
    """
    tip_commit = repository.resolved("--base", base)
    head_commit = None if head is None else repository.resolved("--head", head)
    base_commit = _set_out(repository, tip_commit, head_commit)
    base_tree = repository.at(base_commit)
    head_tree = repository.at(head_commit) if head_commit else WorkingTree(repository.project)

    def looked_at(tree: Tree) -> tuple[DeclaredRegion, ...]:
        return tuple(each for each in declared(tree) if not alone or each.name in names)

    regions = looked_at(head_tree)
    refuse_unusable(regions)
    before = tip = Revision(base, base_commit, looked_at(base_tree))
    if base_commit != tip_commit:
        before = replace(before, parted_from=head or "HEAD")
        tip = Revision(base, tip_commit, looked_at(repository.at(tip_commit)))
    program = _changed_program(base_tree, head_tree)
    touched = [each for each in regions if argo_cd_applies(each) and (program or each not in before.regions)]
    stale = {
        (each.name, service): told
        for each in touched
        for service in each.usable.services
        if (told := not_rendered(each, service))
    }
    after = Revision(head, head_commit, regions, program=program, stale=stale)
    _refuse_none_and_two_of_one(before, after, repository)
    select([*{each.name: each for each in (*before.regions, *after.regions)}.values()], names)
    return plan(
        before,
        after,
        tip=None if before is tip else tip,
        proven=lambda change: _proven(repository, before, change),
        followed=lambda region: _followed(repository, region),
        branch=repository.branch(base),
        history_is_cut=repository.shallow,
        names=names,
        at=at or datetime.now(UTC),
    )


def _changed_program(base: Tree, head: Tree) -> tuple[str, ...]:
    """The files that make the objects and are not the same at both revisions, by their paths."""
    changed: list[str] = []
    for directory, pattern in _PROGRAM:
        old, new = base.contents(directory, pattern), head.contents(directory, pattern)
        names = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
        changed += [f"{directory}/{name}" if directory else name for name in names]
    return tuple(changed)


def _followed(repository: Repository, region: DeclaredRegion) -> Mapping[str, Overlay]:
    """The overlays of a region on the branch that it names, as far as this clone knows it."""
    assert region.usable.repository is not None, "Argo CD reads one"
    name = region.usable.repository.branch
    # by their full names: a tag of the same name would come first; the name alone is that of a tag, or a commit
    refs = (f"refs/remotes/origin/{name}", f"refs/heads/{name}", name)
    commit = next((found for ref in refs if (found := repository.commit_of(ref))), None)
    places = {service: found.place for service, found in region.overlays.items()}
    return {
        service: Overlay(place, overlay_at(repository.at(commit), place) if commit else None)
        for service, place in places.items()
    }


def _set_out(repository: Repository, tip: str, head: str | None) -> str:
    """The commit from which a change set out."""
    side = repository.resolved("--head", "HEAD") if head is None else head
    if tip == side:
        return tip
    common = repository.merge_base(tip, side)
    return tip if common == head else common


def _refuse_none_and_two_of_one(before: Revision, after: Revision, repository: Repository) -> None:
    if not before.regions and not after.regions:
        raise RolloutError.of(
            f"{repository.project} has no stack file Pulumi.<stack>.yaml, neither in {before} nor in {after}",
            "the regions are the stacks of a project, and what they change is told from these files",
            "run this in the project's directory, or write a stack file for each region",
        )
    refuse_shared(after.regions, "what one of them says would be judged as what becomes of the other")


def _proven(repository: Repository, base: Revision, change: Change) -> Images:
    """The images with which each version had all requests of a region, or was the stable one that could have had them.

    In its last 200 commits, the base's included.
    """
    assert base.commit is not None, "a base is a commit"
    region = next(each for each in base.regions if each.name == change.name)
    found: dict[str, frozenset[str]] = {}
    place = region.overlays[change.service].place
    for entry in repository.log(base.commit, _HISTORY, paths=[region.stack_file, place]):
        workloads = _delivered_at(repository.at(entry.commit), region, change.service)
        if workloads is None or change.before is None:
            continue
        stable = stable_version(replace(change.before, workloads=workloads))
        for version in versions(workloads).values():
            if version.weight == _ALL or version.name == stable:
                found[version.name] = found.get(version.name, frozenset()) | {*version.images}
    return found


def _delivered_at(tree: Tree, region: DeclaredRegion, service: str) -> Workloads | None:
    """What was applied of a service at an earlier commit, by the one who applies it now."""
    if region.config is None or argo_cd_applies(region):
        return overlay_at(tree, region.overlays[service].place)
    earlier = next((each.config for each in declared(tree) if each.name == region.name), None)
    return rendered_workloads(earlier, service) if earlier and service in earlier.services else None
