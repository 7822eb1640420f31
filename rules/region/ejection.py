"""Whether a client's proxy stops sending to a pod that fails, and how many pods it leaves.

How Envoy does it, per proxy and subset: it takes a pod out if then at most `maxEjectionPercent` of the pods are out, and does
not round up. It heeds no ejection (panic) while less than `minHealthPercent` of the pods are in and 1.4 times what is in is less
than all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rules.facts.region import Region
from rules.facts.versions import versions
from rules.facts.workloads import ALL, DestinationRule, OutlierDetection, Version
from rules.finding import Rule, Severity, Violation

_ENVOYS_MAX_EJECTION_PERCENT = 10
_ENVOYS_CONSECUTIVE_5XX = 5
_ENVOYS_INTERVAL_SECONDS = 10.0
_ENVOYS_BASE_SECONDS = 30.0
_ENVOYS_LONGEST_SECONDS = 300.0
"""The longest ejection, however often a pod was ejected, unless the base is longer."""
_OVERPROVISIONING_PERCENT = 140
"""How much more than its share Envoy takes a pod to be able to answer, as long as nobody sets it otherwise."""


def pods_out_at_once(replicas: int, detection: OutlierDetection) -> int:
    """How many of so many pods one client proxy may have out at a time."""
    return replicas * _max_percent(detection) // ALL


def is_heeded(out: int, replicas: int, detection: OutlierDetection) -> bool:
    """Whether the proxy leaves the ejected pods alone when so many are out."""
    left = replicas - out
    return (
        not detection.min_health_percent
        or left * _OVERPROVISIONING_PERCENT // replicas >= ALL
        or left * ALL >= detection.min_health_percent * replicas
    )


def _max_percent(detection: OutlierDetection) -> int:
    """Istio passes 0 on as not set."""
    return detection.max_ejection_percent or _ENVOYS_MAX_EJECTION_PERCENT


def _consecutive_5xx(detection: OutlierDetection) -> int:
    found = detection.consecutive_5xx_errors
    return _ENVOYS_CONSECUTIVE_5XX if found is None else found


def _is_on(detection: OutlierDetection) -> bool:
    return _consecutive_5xx(detection) > 0 or bool(detection.consecutive_gateway_errors)


@dataclass(frozen=True)
class _Watched:
    """A version that gets requests, and the detection that watches over its pods."""

    rule: DestinationRule
    detection: OutlierDetection
    version: Version

    @property
    def out(self) -> int:
        return pods_out_at_once(self.version.replicas, self.detection)

    @property
    def numbers(self) -> str:
        """The effective numbers."""
        source = "" if self.detection.max_ejection_percent else " (Envoy's own limit)"
        pods = f"{self.version.replicas} pod{'s' if self.version.replicas > 1 else ''}"
        return f"at {_max_percent(self.detection)} %{source} {self.out} of the {pods} of {self.version.name} may be out at a time"

    @property
    def others(self) -> str:
        """What the pods that are left get with as many out as may be."""
        left = self.version.replicas - self.out
        load = f"{self.version.replicas / left:.3g} times their requests" if left else "nothing, as there are none"
        return f"with {self.out} of the {self.version.replicas} pods of {self.version.name} out the others get {load}"


def _where(rule: DestinationRule) -> str:
    return f"{rule.id}: spec.trafficPolicy.outlierDetection"


def _watched(region: Region) -> Iterator[_Watched]:
    known = versions(region.workloads)
    for rule in region.workloads.destination_rules:
        if rule.outlier_detection is None or not _is_on(rule.outlier_detection):
            continue
        for subset in rule.subsets:
            version = known[subset.name]
            if version.weight > 0 and version.replicas > 0:
                yield _Watched(rule, rule.outlier_detection, version)


def _is_off(region: Region) -> Iterator[Violation]:
    for rule in region.workloads.destination_rules:
        if rule.outlier_detection is None:
            yield Violation(_where(rule), "is missing")
        elif not _is_on(rule.outlier_detection):
            off = "consecutive5xxErrors is 0 and consecutiveGatewayErrors is off"
            yield Violation(_where(rule), off)


def _never_fires(region: Region) -> Iterator[Violation]:
    watched = list(_watched(region))
    most = max((each.version.weight for each in watched), default=0)
    sizes = sorted({each.version.replicas for each in watched} - {1}, reverse=True)
    for each in watched:
        if each.out > 0:
            continue
        where = f"{_where(each.rule)}.maxEjectionPercent"
        if each.version.replicas == 1:
            mend = "give it 2 replicas or more: out of one pod none can be spared"
            yield Violation(where, each.numbers, mend, severity=Severity.WARNING)
        else:
            listed = ", ".join(f"for one of {size} it takes {-(-ALL // size)}" for size in sizes)
            mend = f"set services.{region.service}.maxEjectionPercent to {-(-ALL // sizes[-1])}: {listed}"
            # the limit is one for all versions: enough for two pods of a canary, it lets five of ten go
            enough = -(-ALL // each.version.replicas)
            is_dear = any(other.version.replicas * enough // ALL > max(1, other.out) for other in watched)
            severity = Severity.WARNING if is_dear and each.version.weight < most else None
            yield Violation(where, each.numbers, mend, severity=severity)


def _costs_much(region: Region) -> Iterator[Violation]:
    # of several versions the one that loses most of its pods
    ejecting = [each for each in _watched(region) if each.out]
    for each in sorted(ejecting, key=lambda it: it.out / it.version.replicas)[-1:]:
        detection, where = each.detection, _where(each.rule)
        if 1 in (_consecutive_5xx(detection), detection.consecutive_gateway_errors):
            yield Violation(where, f"a single failed answer ejects a pod, and {each.others}")
        base = detection.base_ejection_seconds or _ENVOYS_BASE_SECONDS
        interval = detection.interval_seconds or _ENVOYS_INTERVAL_SECONDS
        if base + interval > _ENVOYS_LONGEST_SECONDS:
            what = f"an ejected pod gets nothing for {base:g} s and until the next look, up to {interval:g} s more, and {each.others}"
            yield Violation(where, what)


def _is_not_heeded(region: Region) -> Iterator[Violation]:
    for each in _watched(region):
        replicas = each.version.replicas
        if each.out > 0 and replicas > 1 and not is_heeded(1, replicas, each.detection):
            left = ALL * (replicas - 1) // replicas
            yield Violation(
                f"{_where(each.rule)}.minHealthPercent",
                f"with one of the {replicas} pods of {each.version.name} out {left} % are left, which is less than "
                f"{each.detection.min_health_percent}",
            )


def _takes_all(region: Region) -> Iterator[Violation]:
    for each in _watched(region):
        if each.out == each.version.replicas and is_heeded(each.out, each.out, each.detection):
            yield Violation(f"{_where(each.rule)}.maxEjectionPercent", each.numbers)


def _hides(region: Region) -> Iterator[Violation]:
    for rule in region.workloads.destination_rules:
        detection = rule.outlier_detection
        if detection is None or not detection.consecutive_gateway_errors:
            continue
        if 0 < _consecutive_5xx(detection) <= detection.consecutive_gateway_errors:
            default = "" if detection.consecutive_5xx_errors is not None else " (Istio's own)"
            yield Violation(
                f"{_where(rule)}.consecutiveGatewayErrors",
                f"{detection.consecutive_gateway_errors} is never reached before consecutive5xxErrors, "
                f"{_consecutive_5xx(detection)}{default}, is",
            )


_API = "https://istio.io/latest/docs/reference/config/networking/destination-rule/#OutlierDetection"
_KEEPS_ITS_SHARE = "a pod that fails every request keeps getting its part of them"

EJECTION: tuple[Rule[Region], ...] = (
    Rule(
        id="ejection-is-on",
        holds="The clients' proxies look out for pods that fail.",
        reason=_KEEPS_ITS_SHARE,
        mend="set outlierDetection.consecutive5xxErrors above 0",
        fact=_API,
        severity=Severity.WARNING,
        check=_is_off,
    ),
    Rule(
        id="ejection-can-fire",
        holds="Of each version that gets requests at least one pod may be ejected.",
        reason=f"the limit is not rounded up, so nothing is ever ejected, and {_KEEPS_ITS_SHARE}",
        mend="raise maxEjectionPercent",
        check=_never_fires,
    ),
    Rule(
        id="ejection-is-heeded",
        holds="The ejection of one pod does not leave so few that the proxy sends to the ejected one all the same.",
        reason=f"below minHealthPercent Envoy panics and heeds no ejection, so {_KEEPS_ITS_SHARE}",
        mend="lower minHealthPercent, or leave it out",
        check=_is_not_heeded,
    ),
    Rule(
        id="ejection-leaves-pods",
        holds="A proxy never ejects all pods of a version.",
        reason="when all of them fail for a moment, the proxy answers 503 by itself until the first may come back",
        mend="lower maxEjectionPercent, so that one pod is left, or give the version more replicas",
        severity=Severity.WARNING,
        check=_takes_all,
    ),
    Rule(
        id="ejection-costs-little",
        holds="A pod is ejected after several failed answers in a row, and tried again within five minutes.",
        reason="one failure, which may be the request's own, or one that is long over costs a pod, and the others answer for it",
        mend="set outlierDetection to consecutive5xxErrors: 10, interval: 5s and baseEjectionTime: 30s",
        severity=Severity.WARNING,
        check=_costs_much,
    ),
    Rule(
        id="ejection-thresholds-apart",
        holds="No threshold hides another: consecutiveGatewayErrors is lower than consecutive5xxErrors.",
        reason="each gateway error counts as a 5xx too, so the threshold that somebody set has no effect",
        mend="set consecutiveGatewayErrors lower, or leave it out",
        fact=_API,
        severity=Severity.WARNING,
        check=_hides,
    ),
)
