"""Does a region hold? The measurement held against the weights, pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rollout.checks import (
    UNANSWERED,
    UNREADABLE,
    Finding,
    all_of,
    all_readable,
    enough_requests,
    label,
    no_failures,
    only_weighted_versions,
    shares_match,
    stays_in_region,
)
from rollout.measurement import Measurement, Origin, Tally
from rollout.split import Interval, requests_needed, share_interval


@dataclass(frozen=True)
class Row:
    """Who got which part of a region's requests. The rows of a region add up to all its requests.

    Attributes:
        label: The version; `v1 of region-b` for one that answered from another region; or what there was instead.
        weight: The configured percent, None for what has none.
        requests: Requests that went there.
        share: Their part of all the region's requests, 0..1.
        interval: 99 % interval of the share.
        failures: How many of the requests failed.
        findings: What is wrong here; empty when this row holds.
    """

    label: str
    weight: int | None
    requests: int
    share: float
    interval: Interval
    failures: int
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Verdict:
    """A region's measurement, judged."""

    measurement: Measurement
    rows: tuple[Row, ...]
    findings: tuple[Finding, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing at all was found wrong."""
        return not self.findings


def judge(measurement: Measurement, weights: Mapping[str, int]) -> Verdict:
    """Holds a measurement against the weights, whole percents by version.

    A region holds if enough requests were sent, none failed, each was answered by echo in that region, by a version
    that has a weight, and each version's share is within two points of its weight.

    Raises:
        ValueError: the weights do not sum to 100.
    """
    check = all_of(
        enough_requests(requests_needed(weights)),
        no_failures,
        all_readable,
        stays_in_region,
        only_weighted_versions(weights),
        shares_match(weights),
    )
    findings = check(measurement)
    return Verdict(measurement, _rows(measurement, weights, findings), findings)


def _rows(measurement: Measurement, weights: Mapping[str, int], findings: tuple[Finding, ...]) -> tuple[Row, ...]:
    total = measurement.requests
    here = {version: Origin(measurement.region, version) for version in weights}
    tallies = {label(origin, measurement.region): Tally(0, 0) for origin in here.values()}
    tallies |= {label(origin, measurement.region): tally for origin, tally in sorted(measurement.answered.items())}
    if measurement.unreadable:
        tallies[UNREADABLE] = Tally(measurement.unreadable, 0)
    if measurement.unanswered:
        tallies[UNANSWERED] = Tally(measurement.unanswered, measurement.unanswered)
    return tuple(
        Row(
            label=name,
            weight=weights.get(name),
            requests=tally.requests,
            share=tally.requests / total if total else 0.0,
            interval=share_interval(tally.requests, total) if total else Interval(0.0, 1.0),
            failures=tally.failures,
            findings=tuple(finding for finding in findings if finding.row == name),
        )
        for name, tally in tallies.items()
    )
