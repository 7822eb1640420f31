"""What the verbs that change a region through Git have in common: the clone, the remote, the branch, and the regions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from rich.console import Console

from rollout.access import RegionAccess
from rollout.cli.output.progress import shown
from rollout.git.repository import Repository
from rollout.plan.declaration import STACK_FILES, refuse_unusable
from rollout.plan.declaration import declared as declared_at
from rollout.problem import Problem, RolloutError, refuse
from rollout.promote.clusters import Clusters
from rollout.promote.upstream import Upstream, followed_branch, regions_at
from rollout.regions import Discovery, discover, find_project, refuse_unknown, the_service


@dataclass(frozen=True)
class Clone:
    """A project one of whose services can be changed, and by nobody else in this clone for as long.

    Attributes:
        upstream: The branch that Argo CD follows.
        discovery: Where the regions are.
        regions_file: Says that; None for the usual place.
        names: The regions that were named, in that order; none for all.
        messages: The console for messages.
    """

    upstream: Upstream
    discovery: Discovery
    regions_file: Path | None
    names: Sequence[str]
    messages: Console

    def regions(self, commit: str) -> tuple[str, ...]:
        """The regions that the command line names; without names, all regions in which the commit declares the service.

        Raises:
            RolloutError: a stack file cannot be used, a region is not there or is not delivered by Argo CD, or they follow different
                branches.
        """
        refuse_unusable(declared_at(self.upstream.repository.at(commit)))
        declared = self.upstream.regions(commit)
        refuse_unknown([*declared], self.names)
        chosen = tuple(dict.fromkeys(self.names)) or tuple(declared)
        followed_branch(declared, chosen)
        return chosen

    def accesses(self, regions: Sequence[str]) -> tuple[RegionAccess, ...]:
        """How to reach these regions.

        Raises:
            RolloutError: nothing says where one of them is.
        """
        known = {region.name: region for region in self.discovery.regions}
        refuse(
            Problem(
                f"{name}: nothing in {self.discovery.source} says where this region is",
                "a region that cannot be watched is not changed",
                "name its cluster there, then run this again",
            )
            for name in regions
            if name not in known
        )
        return tuple(known[name] for name in regions)

    def at(self, commit: str) -> Clone:
        """The same, with the regions of a commit that the one that is checked out does not have: that may be older, or of a branch.

        Raises:
            TransientError: the commit cannot be read now.
        """
        stack_files = self.upstream.repository.at(commit).contents("", STACK_FILES)
        # a stack file that cannot be used says nothing; what that means is for others to say
        with suppress(RolloutError):
            found = discover(self.upstream.repository.project, self.regions_file, stack_files)
            known = {region.name for region in self.discovery.regions}
            more = [region for region in found.regions if region.name not in known]
            return replace(self, discovery=replace(self.discovery, regions=(*self.discovery.regions, *more)))
        return self

    def clusters(self, regions: Sequence[str], rate: int) -> Clusters:
        """Their clusters; asks nothing yet. One of a region that nobody knows the place of is refused when it is to be asked."""
        return Clusters(self.upstream, self.discovery, regions, rate, partial(shown, self.messages))


@contextmanager
def opened(
    messages: Console,
    service: str | None,
    remote: str | None,
    proposal: str | None,
    *,
    regions_file: Path | None,
    names: Sequence[str],
) -> Iterator[Clone]:
    """The project that the working directory is in, for as long as a block lasts.

    Args:
        messages: The console for messages.
        service: The service that was named; None for the only one.
        remote: The Git remote that was asked for; None for the usual one.
        proposal: A branch to push to, to be merged by somebody; None to push where Argo CD reads.
        regions_file: Says where the regions are; None for the usual place.
        names: The regions that were named; none for all.

    Raises:
        RolloutError: there is no project, repository, remote, service or region of these names; or another rollout of the service is
            at work in this clone.
    """
    project = find_project(Path.cwd())
    repository = Repository(project)
    head, _ = repository.head()
    # an edit that nobody has committed says nothing of what is delivered, and keeps no way back from being taken
    discovery = discover(project, regions_file, repository.at(head).contents("", STACK_FILES))
    meant = the_service((name for each in regions_at(repository, head).values() for name in each.services), service)
    with repository.locked(meant):
        target = repository.remote(remote, discovery.remote)
        upstream = Upstream(repository, meant, target, "", proposal, messages.print)
        declared = upstream.regions(head)
        refuse(upstream.problems(head, names))
        refuse_unknown([*declared], names)
        # where none is named, those that Argo CD does not deliver to say nothing of its branch
        chosen = [*names] or [name for name, config in declared.items() if config.delivery == "gitops"] or [*declared]
        branch = followed_branch(declared, chosen)
        yield Clone(replace(upstream, branch=branch), discovery, regions_file, names, messages)
