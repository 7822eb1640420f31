"""What an update of a version's pods rests on: that a new pod says when it is ready, stays so, and that an old one ends in peace."""

from __future__ import annotations

from collections.abc import Iterator

from rules.facts.region import Region
from rules.facts.workloads import Container, Deployment
from rules.finding import Rule, Severity, Violation

_LEAST_PATIENCE_SECONDS = 10
_LEAST_GRACE_SECONDS = 10


def _answering(region: Region) -> Iterator[tuple[str, Deployment, Container]]:
    """The containers that have a port, with their place: others answer no request."""
    for each in region.workloads.deployments:
        for container in each.containers:
            if container.ports or len(each.containers) == 1:
                yield f"{each.id}: spec.template.spec.containers[{container.name}]", each, container


def _not_asked(region: Region) -> Iterator[Violation]:
    for where, _, container in _answering(region):
        if container.readiness is None:
            yield Violation(f"{where}.readinessProbe", "is not there")


def _killed_while_well(region: Region) -> Iterator[Violation]:
    for where, _, container in _answering(region):
        liveness, startup = container.liveness, container.startup
        if liveness is None:
            continue
        others = [each for each in (startup, container.readiness) if each is not None]
        if not any((each.path, each.port) == (liveness.path, liveness.port) for each in others):
            asked = " nor ".join(f"{each.path} on {each.port}" for each in others) or "nothing"
            yield Violation(
                f"{where}.livenessProbe.httpGet",
                f"{liveness.path} on {liveness.port} is asked of a pod that counts as ready without having been asked it ({asked})",
            )
        if liveness.patience_seconds < _LEAST_PATIENCE_SECONDS:
            yield Violation(
                f"{where}.livenessProbe",
                f"periodSeconds × failureThreshold are {liveness.patience_seconds} s, less than {_LEAST_PATIENCE_SECONDS}",
                "give it a longer period, or more failures",
                severity=Severity.WARNING,
            )


def _cut_off(region: Region) -> Iterator[Violation]:
    for each in region.workloads.deployments:
        left = each.grace_seconds - each.sleep_seconds
        if left < _LEAST_GRACE_SECONDS:
            asleep = f" after {each.sleep_seconds} s of sleep" if each.sleep_seconds else ""
            yield Violation(
                f"{each.id}: spec.template.spec.terminationGracePeriodSeconds",
                f"{left} s{asleep} are less than {_LEAST_GRACE_SECONDS}",
            )


PROBES: tuple[Rule[Region], ...] = (
    Rule(
        id="pods-tell-readiness",
        holds="A container that answers requests has a readiness probe.",
        reason="without one a pod gets requests before it can answer, and an update goes on over pods that never will",
        mend="give it the probe back",
        fact="https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#container-probes",
        check=_not_asked,
    ),
    Rule(
        id="liveness-proven-at-start",
        holds="What the liveness probe asks, the startup or the readiness probe asks before, and it is patient for 10 s or more.",
        reason="an update takes such pods for ready, goes through all of them, and the kubelet then kills every one again and again",
        mend="let the startup probe ask the same",
        fact="https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/",
        check=_killed_while_well,
    ),
    Rule(
        id="pods-end-in-peace",
        holds="A pod that is to end may go on for 10 s or more, without the sleep before.",
        reason="for 5 s Istio's proxy still takes the requests of clients that do not know yet, and whatever runs at the end is cut off",
        mend="set drain.graceSeconds to the sleep and 10 s more, or leave it out",
        fact="https://istio.io/latest/docs/reference/config/istio.mesh.v1alpha1/#ProxyConfig",
        check=_cut_off,
    ),
)
