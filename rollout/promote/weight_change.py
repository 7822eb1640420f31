"""A region's weights changed by one commit on top of what is checked out, if the plan does not refuse it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from rollout.git.repository import Repository
from rollout.plan.comparison import Plan
from rollout.plan.overlays import stack_file_of, weighed
from rollout.problem import Problem, RolloutError, refuse
from rollout.promote.upstream import commit_files, refuse_promotion
from rollout.weights import assignments
from rules.region.capacity import stable_of


class Done(StrEnum):
    """What came of it."""

    NOTHING = "nothing to do"
    PLANNED = "planned"
    REFUSED = "refused"
    COMMITTED = "committed"
    PUSHED = "pushed"


@dataclass(frozen=True)
class WeightChange:
    """What was done of it.

    Attributes:
        done: What came of it.
        before: The weights, whole percents by version, at the commit that is checked out.
        after: Those that were asked for.
        commit: The commit's full hash; None where there is nothing to do. A branch has it only if it was committed or pushed.
        branch: The branch.
        followed: Whether what is checked out is at that commit; with a push it may have stayed behind.
        plan: What the change does; None where there is nothing to do.
    """

    done: Done
    before: Mapping[str, int]
    after: Mapping[str, int]
    branch: str
    commit: str | None = None
    followed: bool = False
    plan: Plan | None = None


def change_weights(
    repository: Repository,
    region: str,
    service: str,
    wishes: Sequence[str],
    *,
    message: str | None = None,
    remote: str | None = None,
    dry_run: bool = False,
) -> WeightChange:
    """Commits what was wished on the branch that is checked out, and pushes it; all of it or nothing.

    Args:
        repository: The project's.
        region: Where.
        service: The service's name.
        wishes: Such as `v2=25`.
        message: The commit's; None for the weights before and after.
        remote: Where to push to; None to push nowhere.
        dry_run: Only to make the plan.

    Raises:
        RolloutError: there is no such region or version, or no split of 100; the region is frozen; a promotion of it is in
            progress, or the clone is shallow, so that this is not known; uncommitted changes would be lost; with a remote, the
            branch there is not at the commit that is checked out, or does not take the new one; or another rollout is at work.
    """
    with repository.locked(service):
        head, branch = repository.head()
        if branch is None:
            raise RolloutError.of(
                f"no branch is checked out, but the commit {head[:10]}",
                "a commit that no branch has is lost",
                "check the branch out first: git switch main",
            )
        onto = _remote_tip(repository, remote, branch, head) if remote is not None else None
        repository.refuse_cut(head)
        newest = repository.newest_record(head, service)
        if newest and region in newest[1].promotion.regions:
            refuse_promotion(newest)
        config = stack_file_of(repository.at(head), region).usable.services[service]
        before = config.weights
        after = assignments(wishes, before, stable_of(before, config.stable))
        outcome = WeightChange(Done.NOTHING, before, after, branch)
        if before == after:
            return outcome
        files = {region: weighed(repository.at(head), region, service, after)}
        subject = message or f"{service} in {_subject(region, before, after)}"
        change = commit_files(repository, head, service, files, f"{subject}\n")
        outcome = replace(outcome, commit=change.commit, plan=change.plan)
        if change.refused:
            return replace(outcome, done=Done.REFUSED)
        if dry_run:
            return replace(outcome, done=Done.PLANNED)
        refuse(
            Problem(
                f"{path} has changes that are not committed",
                "the commit changes this file, and they would be lost",
                "commit them, or put them aside (git stash)",
            )
            for path in repository.uncommitted([*change.files])
        )
        return _published(repository, remote, onto, outcome)


def _published(repository: Repository, remote: str | None, onto: str | None, outcome: WeightChange) -> WeightChange:
    assert outcome.commit is not None, "it was made"
    # what the remote refuses must not be on the branch here either
    if remote is not None:
        repository.push(outcome.commit, remote, outcome.branch, onto=onto)
    followed = repository.follow(outcome.commit, outcome.branch)
    if remote is None and not followed:
        raise RolloutError.of(
            f"{outcome.branch} cannot be moved to {outcome.commit[:10]}",
            "a file of it is in the way, or another git is at work",
            f"see what `git merge --ff-only {outcome.commit[:10]}` says",
        )
    return replace(outcome, done=Done.COMMITTED if remote is None else Done.PUSHED, followed=followed)


def _subject(region: str, before: Mapping[str, int], after: Mapping[str, int]) -> str:
    return f"{region}: " + ", ".join(
        f"{version} {before[version]} → {weight} %" if before[version] != weight else f"{version} {weight} %"
        for version, weight in after.items()
    )


def _remote_tip(repository: Repository, remote: str, branch: str, head: str) -> str:
    """The branch's tip there, which is what is checked out; "" where the remote does not have the branch."""
    if repository.tip(remote, branch) is None:
        return ""
    tip = repository.fetch(remote, branch)
    if tip == head:
        return tip
    ahead = repository.contains(tip, head)
    raise RolloutError.of(
        f"{branch} is at {head[:10]} here and at {tip[:10]} in {remote}",
        "commits that are not pushed would be delivered with this one, unseen"
        if ahead
        else "the weights here are not those that are delivered",
        f"push them first (git push {remote} {branch})"
        if ahead
        else f"bring it up to date first (git pull --ff-only {remote} {branch})",
    )
