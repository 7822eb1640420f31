"""What can be asked of a measurement: small checks that compose, each giving its findings, none if it is satisfied.

For example:

    check = all_of(no_failures, stays_in_region, shares_match({"v1": 90, "v2": 10}))
    assert check(measurement) == ()
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

from rollout.measurement import Measurement, Origin
from rollout.split import TOLERANCE_POINTS, within_tolerance

_REASONS_SHOWN = 3

# Rows of the table that belong to no version.
UNREADABLE = "(not echo)"
UNANSWERED = "(no answer)"


class Kind(StrEnum):
    """Each thing that can be wrong with a split, in the words of the table."""

    TOO_FEW = "too few"
    FAILED = "failed"
    UNREADABLE = "unreadable"
    CROSSED = "crossed regions"
    UNWEIGHTED = "no weight"
    SILENT = "got nothing"
    OFF_WEIGHT = "off weight"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        kind: What sort of thing.
        row: Label of the row that it is about; "" when it is about the whole measurement.
        text: A sentence with the numbers.
    """

    kind: Kind
    row: str
    text: str


Check = Callable[[Measurement], tuple[Finding, ...]]


def label(origin: Origin, region: str) -> str:
    """How a row calls who answered: the version, and the region where that is not the one measured."""
    return origin.version if origin.region == region else f"{origin.version} of {origin.region}"


def all_of(*checks: Check) -> Check:
    """The findings of all of them, in order."""

    def check(measurement: Measurement) -> tuple[Finding, ...]:
        return tuple(finding for one in checks for finding in one(measurement))

    return check


def enough_requests(needed: int) -> Check:
    """At least `needed` requests, and all that were planned, were sent."""

    def check(measurement: Measurement) -> tuple[Finding, ...]:
        sent, planned = measurement.requests, measurement.planned
        findings = []
        if measurement.interruption or sent < planned:
            text = f"{sent:,} of {planned:,} planned requests were sent"
            reason = f": {measurement.interruption}" if measurement.interruption else ""
            findings.append(Finding(Kind.TOO_FEW, "", text + reason))
        if sent < needed:
            text = f"{sent:,} requests prove nothing within {TOLERANCE_POINTS} points: {needed:,} are needed"
            findings.append(Finding(Kind.TOO_FEW, "", text))
        return tuple(findings)

    return check


def no_failures(measurement: Measurement) -> tuple[Finding, ...]:
    """Every request got a 200."""
    if measurement.failures == 0:
        return ()
    reasons = ", ".join(
        f"{count:,} x {reason}" for reason, count in islice(measurement.reasons.items(), _REASONS_SHOWN)
    )
    of_rows = [
        (label(origin, measurement.region), tally.failures) for origin, tally in sorted(measurement.answered.items())
    ]
    of_rows.append((UNANSWERED, measurement.unanswered))
    return tuple(
        Finding(Kind.FAILED, row, f"{failures:,} requests failed at {row} (all failures: {reasons})")
        for row, failures in of_rows
        if failures
    )


def all_readable(measurement: Measurement) -> tuple[Finding, ...]:
    """Every 200 was said by echo."""
    if measurement.unreadable == 0:
        return ()
    samples = ", ".join(f"'{sample}'" for sample in measurement.samples)
    text = f"{measurement.unreadable:,} answers were 200 but not echo's, for example {samples}"
    return (Finding(Kind.UNREADABLE, UNREADABLE, text),)


def stays_in_region(measurement: Measurement) -> tuple[Finding, ...]:
    """No request was answered by another region."""
    return tuple(
        Finding(
            Kind.CROSSED,
            label(origin, measurement.region),
            f"{tally.requests:,} requests sent in {measurement.region} were answered by {origin.region}",
        )
        for origin, tally in sorted(measurement.answered.items())
        if origin.region != measurement.region
    )


def only_weighted_versions(weights: Mapping[str, int]) -> Check:
    """No version answered that has weight 0 or none at all."""

    def check(measurement: Measurement) -> tuple[Finding, ...]:
        findings = []
        for origin, tally in sorted(measurement.answered.items()):
            if weights.get(origin.version, 0) == 0:
                weight = "has weight 0" if origin.version in weights else "has no weight"
                text = f"{origin.version} {weight} and answered {tally.requests:,} requests"
                findings.append(Finding(Kind.UNWEIGHTED, label(origin, measurement.region), text))
        return tuple(findings)

    return check


def shares_match(weights: Mapping[str, int]) -> Check:
    """Each version's share of all requests, in its own region, is within two points of its weight, and none is zero.

    A version that got nothing is wrong at any weight above 0, also at 1 and 2, where 0 is within two points: with 3,000
    requests at weight 1 it happens to a version that is well less than once in 10^13.
    """

    def check(measurement: Measurement) -> tuple[Finding, ...]:
        findings = []
        requests = measurement.requests
        for version, weight in weights.items():
            tally = measurement.answered.get(Origin(measurement.region, version))
            count = tally.requests if tally else 0
            if weight > 0 and count == 0:
                text = f"{version} has weight {weight} and answered none of {requests:,} requests"
                findings.append(Finding(Kind.SILENT, version, text))
            elif weight > 0 and not within_tolerance(count, requests, weight):
                share = 100 * count / requests
                text = (
                    f"{version} got {share:.1f} % ({count:,} of {requests:,}) where its weight is {weight}: "
                    f"{abs(share - weight):.1f} points off, {TOLERANCE_POINTS} are allowed"
                )
                findings.append(Finding(Kind.OFF_WEIGHT, version, text))
        return tuple(findings)

    return check
