"""What would keep a change, or a way back, from arriving in a region: found before anything is pushed. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from fnmatch import fnmatchcase
from itertools import groupby

from rollout.cluster.application import SYNCED, Application
from rollout.cluster.envoys import Envoy
from rollout.cluster.objects import Live
from rollout.cluster.pods import PROXY
from rollout.cluster.surroundings import Project
from rollout.cluster.sync_windows import in_the_way
from rollout.git.command import SHORT_HASH
from rollout.problem import Problem
from rollout.status.disagreements import RegionStatus, Status, count, listed
from stackfile.reader import stack_of

_NOT_APPLIED = "no commit is applied there, and no way back"


@dataclass(frozen=True)
class Trouble:
    """One thing that is in the way.

    Attributes:
        region: Where.
        service: Of which service; "" for the region as a whole.
        problem: What it is, why it matters, and its mend.
        stops: Whether nothing may begin before it is mended; else it is only worth saying.
        may_have_passed: Whether Argo CD may say otherwise once it looks again.
    """

    region: str
    service: str
    problem: Problem
    stops: bool = True
    may_have_passed: bool = False

    @property
    def title(self) -> str:
        """Where it is, for people."""
        return f"{self.region} {self.service}".rstrip()

    @property
    def titled(self) -> Problem:
        """It with where it is."""
        return replace(self.problem, what=f"{self.title}: {self.problem.what}")


def troubles(status: Status) -> tuple[Trouble, ...]:
    """Those of all regions; what each service of a region shows, once."""
    found = (each for region in status.regions for each in _of_region(region, status.at))
    return tuple(dict.fromkeys(found))


def _of_region(region: RegionStatus, now: datetime) -> Iterator[Trouble]:
    by_argo_cd = region.declared.delivery != "direct"
    if by_argo_cd and region.live:
        yield from _argo_cd(region, region.live)
    if by_argo_cd and region.application:
        yield from _application(region, region.application)
        yield from _source(region, region.application)
        yield from _project(region, region.application, now)
    if region.live:
        yield from _pods(region, region.live)
        yield from _rivals(region, region.live)
    if region.envoys is not None:
        yield from _envoys(region, region.envoys)
        everyone = (*region.envoys, *region.others)
        yield from _older_sidecars(region, everyone)
        if region.connections is not None:
            yield from _connections(region, everyone, region.connections)


def _stops(region: RegionStatus, what: str, why: str, fix: str) -> Trouble:
    return Trouble(region.name, region.service, Problem(what, why, fix))


def _worth_saying(region: RegionStatus, what: str, why: str, fix: str) -> Trouble:
    return Trouble(region.name, region.service, Problem(what, why, fix), stops=False)


def _argo_cd(region: RegionStatus, live: Live) -> Iterator[Trouble]:
    for program in live.around.argo_cd_away:
        see = f"see why: {_kubectl(region)} -n argocd get pods -l app.kubernetes.io/name={program}"
        yield replace(_stops(region, f"{program} has no ready pod", _NOT_APPLIED, see), service="")


def _application(region: RegionStatus, application: Application) -> Iterator[Trouble]:
    name, policy = application.name, application.policy
    namespace, own = name.split("/")
    annotate = f"{_kubectl(region)} -n {namespace} annotate application {own}"
    if application.leaving:
        yield _stops(
            region,
            f"Application {name} is being deleted",
            _NOT_APPLIED,
            f"see what holds it, then bring it up again: {_up(region)}",
        )
    if application.skipped:
        yield _stops(
            region,
            f"Application {name} has the annotation argocd.argoproj.io/skip-reconcile",
            f"Argo CD leaves it alone: {_NOT_APPLIED}",
            f"remove it: {annotate} argocd.argoproj.io/skip-reconcile-",
        )
    on_again = f"switch it on again: {_up(region)}"
    if not policy.automated:
        why = f"{_NOT_APPLIED}; a rollback in Argo CD's own page leaves it off"
        yield _stops(region, f"automatic sync of Application {name} is off", why, on_again)
    elif not policy.prune:
        why = "a version that is retired stays in the cluster"
        yield _stops(region, f"automatic sync of Application {name} does not prune", why, on_again)
    if policy.automated and not policy.self_heal:
        why = "what others change stays, and a commit whose sync failed is not tried again"
        yield _worth_saying(region, f"automatic sync of Application {name} does not self-heal", why, on_again)
    again = f"let Argo CD look again: {annotate} argocd.argoproj.io/refresh=normal --overwrite"
    look = f"mend what it says, then {again}"
    for condition in application.conditions:
        if condition in application.errors:
            found = _stops(region, f"Application {name}: {condition}", _NOT_APPLIED, look)
            yield replace(found, may_have_passed=True)
        else:
            yield _worth_saying(region, f"Application {name}: {condition}", "it may apply less than it should", look)
    if region.unapplied:
        found = _worth_saying(
            region,
            f"Application {name} says Synced at {application.compared_revision[:SHORT_HASH]}, it last applied "
            f"{application.applied_revision[:SHORT_HASH]}, and between the two these differ: {listed(region.unapplied)}",
            "the commit may have been refused: Argo CD forgets a comparison that failed, and then says Synced",
            f"{again}; if it still says Synced, the cluster has what the commit says, and the next sync ends this line",
        )
        yield replace(found, may_have_passed=True)
    if application.failures and application.sync != SYNCED:
        what = f"Application {name}: {'; '.join(application.failures)}"
        if application.has_given_up:
            why = "Argo CD has given up on this commit, and the cluster may have a part of it"
            fix = "mend what it says by a commit; where the cause has passed, an empty commit will do"
            yield replace(_stops(region, what, why, fix), may_have_passed=True)
        else:
            yield _worth_saying(region, what, "Argo CD tries it again", "mend what it says by a commit")


def _source(region: RegionStatus, application: Application) -> Iterator[Trouble]:
    name, declared = application.name, region.declared
    followed, folder = application.target_revision.removeprefix("refs/heads/"), application.path.strip("/")
    if declared.branch and followed != declared.branch:
        yield _stops(
            region,
            f"Application {name} follows {followed}, and {declared.stack_file} says {declared.branch}",
            "what is pushed is not what Argo CD applies",
            f"let it follow {declared.branch}: {_up(region)}",
        )
    if declared.path and folder != declared.path:
        yield _stops(
            region,
            f"Application {name} reads {folder or 'no folder'}, and the overlay is {declared.path}",
            "what is rendered is not what Argo CD applies",
            f"let it read {declared.path}: {_up(region)}",
        )


def _project(region: RegionStatus, application: Application, now: datetime) -> Iterator[Trouble]:
    projects = region.live.around.projects if region.live else None
    if projects is None:
        return
    name, called = application.name, application.project
    project = projects.get(called)
    if project is None:
        what = f"Application {name} is of the AppProject {called}, which is not there"
        yield _stops(region, what, _NOT_APPLIED, f"bring it up again: {_up(region)}")
        return
    if not _lets_in(project, application.repository):
        yield _stops(
            region,
            f"Application {name} reads {application.repository or 'no repository'}, and its AppProject {called} allows "
            f"{', '.join(project.repositories) or 'none'}",
            _NOT_APPLIED,
            f"let both name the repository of {region.declared.stack_file}: {_up(region)}",
        )
    own = name.rpartition("/")[2]
    for window in in_the_way(project.windows, own, application.destinations, application.namespace, now):
        yield _stops(
            region,
            f"AppProject {called}: the {window} is {'not open' if window.allows else 'open'}",
            f"Argo CD does not sync by itself now: {_NOT_APPLIED}",
            f"wait, or change the window: {_kubectl(region)} -n argocd edit appproject {called}",
        )


def _lets_in(project: Project, repository: str) -> bool:
    """Whether the AppProject's patterns match; one that begins with `!` keeps out."""
    out = any(fnmatchcase(repository, pattern[1:]) for pattern in project.repositories if pattern.startswith("!"))
    return not out and any(fnmatchcase(repository, pattern) for pattern in project.repositories)


def _pods(region: RegionStatus, live: Live) -> Iterator[Trouble]:
    around = live.around
    own = f"{_kubectl(region)} -n {around.namespace}"
    label = f"{_kubectl(region)} label namespace {around.namespace} istio-injection=enabled --overwrite"
    if around.without_sidecar:
        number = len(around.without_sidecar)
        yield _stops(
            region,
            f"{number} {'pod has' if number == 1 else 'pods have'} no sidecar: {listed(around.without_sidecar)}",
            "nobody enforces mutual TLS there, and the requests that these pods send go past the split",
            f"see that istiod runs and that the namespace has its label ({label}), then restart them: "
            f"{own} rollout restart deployment -l app={region.service}",
        )
    if not around.injects:
        what = f"the namespace {around.namespace} has no label by which Istio injects sidecars"
        yield _worth_saying(region, what, "a pod that starts now has none", f"give it back: {label}")
    for each in around.autoscalers:
        yield _worth_saying(
            region,
            f"HorizontalPodAutoscaler {each.name} scales Deployment {each.deployment} to {each.lowest}..{each.highest} pods, "
            "and so does Git",
            "Argo CD and the autoscaler revert each other: pods come and go, and a sync does not settle",
            f"write the number of pods into the stack file, and {own} delete horizontalpodautoscaler {each.name}",
        )


def _rivals(region: RegionStatus, live: Live) -> Iterator[Trouble]:
    for rival in live.around.rivals:
        kind, _, name = rival.partition(" ")
        namespace, _, own = name.partition("/")
        yield _stops(
            region,
            f"{rival} is of the host of {region.service} too",
            "of two for one host Istio takes one, or joins them: the split does not hold for every client",
            f"remove it, or give it another host: {_kubectl(region)} -n {namespace} edit {kind.lower()} {own}",
        )


def _envoys(region: RegionStatus, envoys: Sequence[Envoy]) -> Iterator[Trouble]:
    if not envoys:
        yield _stops(
            region,
            "no Envoy is ready that can send requests, so nothing has acknowledged the weights",
            "no step can be measured or acknowledged",
            f"see that the probe runs and has a sidecar: {_kubectl(region)} -n echo-probe get pods",
        )
    unknown = "nobody knows by which weights they route"
    refused = [f"{envoy.pod} ({envoy.error})" for envoy in envoys if envoy.refused]
    if refused:
        yield _stops(
            region,
            f"{count(len(refused), len(envoys))} may not be asked: {listed(refused)}",
            f"{unknown}, so no step is known to have arrived",
            f"let the user of context {region.context} get and create pods/exec there, also past admission policies",
        )
    failed = [f"{envoy.pod} ({envoy.error})" for envoy in envoys if envoy.error and not envoy.refused]
    if failed:
        yield _worth_saying(
            region,
            f"{count(len(failed), len(envoys))} could not be asked: {listed(failed)}",
            unknown,
            "look again; if it stays so, see that the pods and their nodes' kubelet answer",
        )


def _connections(region: RegionStatus, envoys: Sequence[Envoy], connections: Mapping[str, str]) -> Iterator[Trouble]:
    of = len(envoys)
    away = [envoy.pod for envoy in envoys if envoy.pod not in connections]
    if away:
        found = _stops(
            region,
            f"{count(len(away), of)} {'is' if len(away) == 1 else 'are'} connected to no istiod: {listed(away)}",
            "they go on with the routes that they have, and take no change",
            f"see what their proxies say: {_kubectl(region)} -n {away[0].partition('/')[0]} logs "
            f"{away[0].partition('/')[2]} -c {PROXY}",
        )
        # where none is, theirs may be an istiod elsewhere
        yield replace(found, may_have_passed=len(away) < of, stops=len(away) < of)
    refusing = [f"{envoy.pod} ({said})" for envoy in envoys if (said := connections.get(envoy.pod))]
    if refusing:
        found = _stops(
            region,
            f"{count(len(refusing), of)} refused what istiod sent last: {listed(refusing)}",
            "they go on with what they had before, and may refuse a change too",
            "mend what they say; often it is an EnvoyFilter",
        )
        yield replace(found, may_have_passed=True)


def _older_sidecars(region: RegionStatus, envoys: Sequence[Envoy]) -> Iterator[Trouble]:
    istiod = region.live.istiod if region.live else frozenset()
    for version in sorted({envoy.istio for envoy in envoys if istiod and envoy.istio} - istiod):
        those = [envoy for envoy in envoys if envoy.istio == version]
        found = _worth_saying(
            region,
            f"{count(len(those), len(envoys))} run Istio {version}, and istiod is {' and '.join(sorted(istiod))}: "
            f"{listed([envoy.pod for envoy in those])}",
            "a sidecar is only replaced with its pod",
            _restart(region.context, those),
        )
        yield replace(found, service="")


def _restart(context: str, envoys: Sequence[Envoy]) -> str:
    pairs = sorted({(envoy.pod.partition("/")[0], envoy.workload) for envoy in envoys if envoy.workload})
    commands = [
        ("kubectl", "--context", context, "--namespace", namespace, "rollout", "restart", *(each for _, each in found))
        for namespace, found in groupby(pairs, key=lambda pair: pair[0])
    ]
    told = f": {' && '.join(map(shlex.join, commands))}" if commands else ""
    return f"restart them, one region at a time{told}"


def _kubectl(region: RegionStatus) -> str:
    return shlex.join(("kubectl", "--context", region.context))


def _up(region: RegionStatus) -> str:
    return f"pulumi up --refresh -s {stack_of(region.declared.stack_file)}"
