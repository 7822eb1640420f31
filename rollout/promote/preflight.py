"""Refused before the first commit: a change that would not arrive, or whose way back would not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from rollout.access import RegionAccess
from rollout.cluster.application import ask_to_look, settled_application
from rollout.problem import refuse
from rollout.status.disagreements import RegionStatus
from rollout.status.preflight import Trouble, troubles
from rollout.status.snapshot import gather


def refuse_troubles(
    project: Path, regions: Sequence[RegionAccess], service: str, commit: str, say: Callable[[str], None]
) -> None:
    """Looks at all regions at once, a second or two.

    What Argo CD found when it last looked may have passed, or it did not find what is there. Where nothing else is in the way, it
    looks again first, for a minute at most.

    Args:
        project: Directory of Pulumi.yaml, in a clone of the repository.
        regions: Where.
        service: The service that is changed.
        commit: What is to be delivered there now, by its full hash.
        say: Told in a line what is only worth saying.

    Raises:
        RolloutError: something is in the way, or what tells that cannot be seen; all of it together.
    """
    status = gather(project, regions, [service], commit)
    found: Sequence[Trouble] = troubles(status)
    doubtful = {each.region for each in found if each.may_have_passed}
    if doubtful and all(each.may_have_passed for each in found if each.stops):
        _look_again(regions, status.regions, doubtful)
        status = gather(project, regions, [service], commit)
        found = [each for each in troubles(status) if each.stops or not each.may_have_passed]
    for each in (each for each in found if not each.stops):
        say(f"{each.title}: {each.problem.what}; {each.problem.fix}")
    problems = dict.fromkeys(each for region in status.regions for each in region.problems)
    for unseen in dict.fromkeys(each for region in status.regions for each in region.unseen if each not in problems):
        say(f"{unseen.what}; {unseen.fix}")
    refuse([*problems, *(each.titled for each in found if each.stops)])


def _look_again(regions: Sequence[RegionAccess], found: Sequence[RegionStatus], names: set[str]) -> None:
    where = {region.name: region for region in regions}
    asked = [(where[each.name], each.application.name) for each in found if each.name in names and each.application]
    for region, application in asked:
        ask_to_look(region, application)
    for region, application in asked:
        settled_application(region, application)
