"""A commit followed into a region: synced by Argo CD, healthy, and acknowledged by every Envoy."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from components.names import ServiceAddress
from rollout.access import RegionAccess
from rollout.cluster.acknowledgement import Acknowledgements
from rollout.cluster.application import HEALTHY, Application, ask_to_look, read_application
from rollout.cluster.client import api_client, list_all_pods
from rollout.cluster.envoys import Envoy, acknowledges, read_envoys
from rollout.cluster.istiod import read_counters, read_proxies
from rollout.cluster.objects import read_route
from rollout.cluster.pods import FEW, PROXY, container, is_ready
from rollout.cluster.syncz import Counters, Proxy
from rollout.git.repository import Repository
from rollout.problem import Problem, RolloutError
from rollout.status.overlay import overlay_split
from rollout.weights import routed

WITHIN_SECONDS = 600.0
"""How long a commit may take: Argo CD that is not told looks every three minutes, and an istiod may start anew meanwhile."""

_LOOK_EVERY_SECONDS = 0.5
_ASK_EVERY_SECONDS = 10.0
_SURE_SECONDS = 10.0
_LIST_EVERY_SECONDS = 5.0
_SHOWN = 5
_Seen = TypeVar("_Seen")


@dataclass(frozen=True)
class DeliveryTime:
    """How long a commit took to get where it is meant to be, in seconds from the moment that Argo CD was asked to look.

    Attributes:
        synced: Until Argo CD had brought the cluster to it and found it healthy.
        acknowledged: Until each Envoy had taken it.
        envoys: How many Envoys have taken it.
    """

    synced: float
    acknowledged: float
    envoys: int


def deliver(
    region: RegionAccess,
    service: ServiceAddress,
    application: str,
    is_there: Callable[[Application], bool],
    is_taken: Callable[[Envoy], bool],
    *,
    meanwhile: Callable[[], Problem | None],
    healthy: bool = True,
    say: Callable[[str], None] = lambda _line: None,
    meant: Callable[[], object] = lambda: None,
) -> DeliveryTime | Problem:
    """Waits until a region has what was committed, after asking Argo CD to look for it.

    Args:
        region: The region.
        service: The service.
        application: Its Application there, as `namespace/name`.
        is_there: Whether what Argo CD last synced is what is waited for.
        is_taken: Whether an Envoy has it.
        meanwhile: Called twice a second; a problem that it finds ends the waiting.
        healthy: Whether all that was committed must be healthy as well.
        say: Told in a line of each Envoy that may not be asked, once, and of what Argo CD says is wrong.
        meant: What `is_taken` means now; where that changes, no Envoy is known to have it.

    Returns:
        How long it took; or what is missing after ten minutes, or what was found meanwhile.

    Raises:
        RolloutError: the cluster cannot be asked; or `meanwhile` raises.
    """
    began = asked = time.monotonic()
    ask_to_look(region, application)
    answered, refused = False, ""

    def looked() -> Application:
        nonlocal answered, refused
        now = read_application(region, application)
        said = "; ".join(now.refusals)
        # only where it was asked, that it finds nothing wrong says that nothing is: by itself it forgets what it could not compare
        if not now.asked and (said or not answered):
            if said and not refused:
                say(f"{region.name}: Argo CD has not applied the commit, and is asked again: {said}")
            answered, refused = True, said
        return now

    def found_meanwhile() -> Problem | None:
        nonlocal answered, asked
        found = meanwhile()
        # asking once is lost where Argo CD restarts; an istiod that was away makes it compare with what it remembers
        if time.monotonic() - asked > _ASK_EVERY_SECONDS:
            ask_to_look(region, application)
            answered, asked = False, time.monotonic()
        return found

    def synced_seconds() -> float | Problem:
        now = looked()
        is_well = now.health == HEALTHY or not healthy
        return time.monotonic() - began if is_well and is_there(now) else _not_synced(region, now, refused)

    envoys = Envoys(region, service, is_taken, say)
    envoys.before()
    counted = meant()

    def envoys_with_it() -> int | Problem:
        nonlocal envoys, counted
        if meant() != counted:
            envoys, counted = Envoys(region, service, is_taken, say), meant()
            envoys.before()
        now, (number, missing) = looked(), envoys.look()
        if number and not missing:
            return number
        return _not_synced(region, now, refused) if refused else _not_taken(region, service, missing)

    synced = _await(synced_seconds, began, found_meanwhile)
    if isinstance(synced, Problem):
        return synced
    number = _await(envoys_with_it, began, found_meanwhile)
    return number if isinstance(number, Problem) else DeliveryTime(synced, time.monotonic() - began, number)


class Envoys:
    """The Envoys of a region that can send to a service, followed until all have taken a change.

    Args:
        region: The region.
        service: The service.
        is_taken: Whether an Envoy has it.
        say: Told in a line of each Envoy that may not be asked, once; and when istiod cannot be asked.
    """

    def __init__(
        self,
        region: RegionAccess,
        service: ServiceAddress,
        is_taken: Callable[[Envoy], bool],
        say: Callable[[str], None],
    ) -> None:
        self._region, self._service, self._is_taken, self._say = region, service, is_taken, say
        self._api = api_client(region)
        # by uid, since when it is known
        self._taken: dict[str, float] = {}
        self._idle: set[str] = set()
        self._refused: set[str] = set()
        self._many: Acknowledgements[Envoy] | None = None
        self._pods: dict[str, Mapping[str, Any]] = {}
        self._listed_at = 0.0

    def before(self) -> None:
        """Finds out what is there before the cluster has the change; where there are few Envoys, nothing.

        Raises:
            RolloutError: the cluster cannot be asked.
        """
        self._list()
        if len(self._pods) > FEW:
            self._many = Acknowledgements(self, self._is_taken)
            # those of the service itself have a route to it, also where Sidecars leave out what is not needed
            own = sorted(self._pods, key=lambda pod: not pod.startswith(f"{self._service.namespace}/"))
            try:
                self._many.before(own)
            except RolloutError as error:
                self._asks_each(error)

    def look(self) -> tuple[int, Mapping[str, str]]:
        """How many have taken it; and which have not, each with why it could not be asked.

        Raises:
            RolloutError: the cluster cannot be asked.
        """
        while self._many is not None:
            pods: Mapping[str, Mapping[str, Any]] = self._pods
            if time.monotonic() - self._listed_at > _LIST_EVERY_SECONDS:
                pods = self._list()
            try:
                number, missing = self._many.look({name: pod["metadata"]["uid"] for name, pod in pods.items()})
            except RolloutError as error:
                self._asks_each(error)
                break
            # also those that came since
            if missing or self._list().keys() <= pods.keys():
                return number, missing
        # Those that could not send may by now, and those that came meanwhile got their first configuration from the same istiod: both
        # count as well. A connection gets nothing older than before, but a new one may lead to an istiod that lags.
        since = time.monotonic() - _SURE_SECONDS
        missing = self._behind({*self._taken, *self._idle}) or self._behind(
            [uid for uid, at in self._taken.items() if at > since]
        )
        return len(self._taken), missing

    def weights(self) -> Mapping[str, int] | None:
        """What the cluster says."""
        route = read_route(self._region, self._service)
        return route.weights if route else None

    def proxies(self) -> Mapping[str, Mapping[str, Proxy]]:
        """The proxies of each istiod."""
        return read_proxies(self._region)

    def counters(self) -> Mapping[str, Counters]:
        """What each istiod has counted."""
        return read_counters(self._region)

    def ask(self, pods: Collection[str]) -> Mapping[str, Envoy]:
        """What these do themselves."""
        return {envoy.pod: envoy for envoy in self._ask([self._pods[pod] for pod in pods if pod in self._pods])}

    def _ask(self, pods: Sequence[Mapping[str, Any]]) -> Sequence[Envoy]:
        envoys = read_envoys(self._region, [self._service], pods)[self._service.name]
        for envoy in envoys:
            if envoy.refused and envoy.pod not in self._refused:
                self._refused.add(envoy.pod)
                self._say(
                    f"{self._region.name}: {envoy.pod} may not be asked ({envoy.error}), so nobody knows what it has taken"
                )
        return envoys

    def _asks_each(self, error: RolloutError) -> None:
        self._many = None
        self._say(f"{self._region.name}: each Envoy is asked, which takes longer: {error.problems[0].what}")

    def _list(self) -> Mapping[str, Mapping[str, Any]]:
        self._pods = {
            f"{pod['metadata']['namespace']}/{pod['metadata']['name']}": pod
            for pod in list_all_pods(self._region, self._api)
            if is_ready(pod) and container(pod, PROXY)
        }
        self._listed_at = time.monotonic()
        return self._pods

    def _behind(self, known: Collection[str]) -> dict[str, str]:
        """Those that have not taken it, with why they could not be asked; those of pods that are known are not asked."""
        self._list()
        uids = {name: pod["metadata"]["uid"] for name, pod in self._pods.items() if pod["metadata"]["uid"] not in known}
        envoys = self._ask([self._pods[name] for name in uids])
        for envoy in envoys:
            self._taken.pop(uids[envoy.pod], None)
            if self._is_taken(envoy):
                self._taken[uids[envoy.pod]] = time.monotonic()
        self._idle.update(uids[name] for name in uids.keys() - {envoy.pod for envoy in envoys})
        return {envoy.pod: envoy.error for envoy in envoys if not self._is_taken(envoy)}


def await_commit(
    region: RegionAccess,
    service: ServiceAddress,
    application: str,
    repository: Repository,
    commit: str,
    *,
    fetch: Callable[[str], object],
) -> DeliveryTime | Problem:
    """Waits until a region has a commit, or a later one.

    Args:
        region: The region.
        service: The service.
        application: Its Application there, as `namespace/name`.
        repository: A clone of what Argo CD reads.
        commit: The commit's full hash.
        fetch: Brings a branch into the clone, where Argo CD has a commit that is not there.

    Returns:
        As `deliver`.

    Raises:
        RolloutError: the cluster cannot be asked, the commit says no weights, or Argo CD has a commit that cannot be fetched.
    """
    before = read_application(region, application)
    split = overlay_split(repository.project, commit, before.path, service.name)

    def contains(commit: str, tip: str) -> bool:
        if repository.commit_of(tip) is None:
            fetch(before.target_revision)
        return repository.contains(commit, repository.resolved("what Argo CD has,", tip))

    def is_there(now: Application) -> bool:
        nonlocal split
        synced = now.synced_revision
        if synced is None or not contains(commit, synced):
            return False
        split = overlay_split(repository.project, synced, now.path, service.name)
        return brings(region, service, repository.project, contains, commit=synced, weights=split.weights)(now)

    def is_taken(envoy: Envoy) -> bool:
        return takes(split.weights, split.testers)(envoy)

    def see_what_came_next() -> None:
        is_there(read_application(region, application))

    return deliver(region, service, application, is_there, is_taken, meanwhile=see_what_came_next, meant=lambda: split)


def _await(
    look: Callable[[], _Seen | Problem], began: float, meanwhile: Callable[[], Problem | None]
) -> _Seen | Problem:
    """What is looked for, once it is there; what is missing when it is late, or what is found meanwhile."""
    while isinstance(seen := look(), Problem):
        if time.monotonic() - began > WITHIN_SECONDS:
            return seen
        if found := meanwhile():
            return found
        time.sleep(_LOOK_EVERY_SECONDS)
    return seen


def brings(
    region: RegionAccess,
    service: ServiceAddress,
    project: Path,
    contains: Callable[[str, str], bool],
    *,
    commit: str,
    weights: Mapping[str, int],
) -> Callable[[Application], bool]:
    """Whether an Application has been brought to a commit, or to a later one that says the same weights, and the cluster has them.

    Argo CD alone is not believed: after a comparison that failed (istiod's webhook did not answer) it may call a commit Synced that it
    never applied, by the differences that it remembers from before.

    Args:
        region: The region.
        service: The service.
        project: A directory in the clone that has the commits.
        contains: Whether a commit is another one or in its history.
        commit: The commit's full hash.
        weights: What its overlay says, whole percents by version.
    """

    def is_there(application: Application) -> bool:
        synced = application.synced_revision
        if synced is None or application.is_moving or not contains(commit, synced):
            return False
        if synced != commit and overlay_split(project, synced, application.path, service.name).weights != weights:
            return False
        route = read_route(region, service)
        return route is not None and route.weights is not None and routed(route.weights) == routed(weights)

    return is_there


def takes(weights: Mapping[str, int], testers: Collection[str]) -> Callable[[Envoy], bool]:
    """Whether an Envoy routes by these weights and headers, and knows the subset of each version, of those without weight too."""
    return lambda envoy: acknowledges(envoy, weights, testers) and envoy.subsets >= {*weights}


def lacks(version: str) -> Callable[[Envoy], bool]:
    """Whether an Envoy knows nothing of a version any more."""
    return lambda envoy: not envoy.error and version not in {*envoy.subsets, *envoy.testers, *(envoy.weights or ())}


def _not_synced(region: RegionAccess, application: Application, refused: str) -> Problem:
    told = [*application.complaints, *([f"when asked, it said {refused}"] if refused else [])]
    said = "; ".join(told) or "no complaint"
    return Problem(
        f"{region.name}: not synced within {WITHIN_SECONDS / 60:.0f} min: Argo CD says {application.sync}, {application.health}, "
        f"at {application.synced_revision}: {said}",
        "what is not delivered cannot be measured",
        f"see what keeps it: kubectl --context {region.context} -n argocd describe application {application.name.rpartition('/')[2]}",
    )


def _not_taken(region: RegionAccess, service: ServiceAddress, behind: Mapping[str, str]) -> Problem:
    pods = [f"{pod} ({error})" if error else pod for pod, error in sorted(behind.items())]
    return Problem(
        f"{region.name}: not acknowledged within {WITHIN_SECONDS / 60:.0f} min by "
        + (
            f"{len(pods)} Envoys: {', '.join(pods[:_SHOWN])}"
            if pods
            else f"any Envoy: there is none that can send to {service.name}"
        ),
        "these go on with the routes that they had",
        f"see that istiod runs and that they are connected to it: kubectl --context {region.context} -n istio-system get pods",
    )
