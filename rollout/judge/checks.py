"""What can be asked of a measurement: small checks, each giving its findings, none if it is satisfied."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import product

from rollout.judge.independence import denied, runs
from rollout.judge.shares import RISK, Standing, allowed, is_outside, share_interval, standing, version_risk
from rollout.measurement import Measurement, Origin

_REASONS_SHOWN = 3

# Rows of the table that belong to no version.
UNREADABLE = "(no version)"
UNANSWERED_ROW = "(no answer)"


class Kind(StrEnum):
    """Each thing that can be wrong with a split, in the words of the table."""

    FAILED = "failed"
    UNREADABLE = "unreadable"
    CROSSED = "crossed regions"
    MISLABELLED = "wrong labels"
    UNWEIGHTED = "no weight"
    SILENT = "got nothing"
    OFF_WEIGHT = "off weight"
    NOT_INDEPENDENT = "not independent"
    UNDECIDED = "not yet known"


WHATEVER_THE_WEIGHTS = frozenset({Kind.FAILED, Kind.UNREADABLE, Kind.CROSSED, Kind.MISLABELLED})
"""What is wrong by whatever weights requests were split."""


@dataclass(frozen=True)
class Deviation:
    """One thing that is wrong.

    Attributes:
        kind: What sort of thing.
        row: Label of the row that it is about; "" when it is about the whole measurement.
        text: A sentence with the numbers.
    """

    kind: Kind
    row: str
    text: str


Check = Callable[[Measurement], tuple[Deviation, ...]]


def label(origin: Origin, region: str) -> str:
    """How a row calls who answered: the version, and the region where that is not the one measured."""
    return origin.version if origin.region == region else f"{origin.version} of {origin.region}"


def reasons(measurement: Measurement) -> str:
    """Why requests failed, the most frequent reasons first."""
    return ", ".join(f"{count:,} x {reason}" for reason, count in [*measurement.reasons.items()][:_REASONS_SHOWN])


def no_failures(measurement: Measurement) -> tuple[Deviation, ...]:
    """Every request got a status that is expected."""
    of_rows = [
        (label(origin, measurement.region), tally.failures) for origin, tally in sorted(measurement.answered.items())
    ]
    of_rows.append((UNANSWERED_ROW, measurement.unanswered))
    return tuple(
        Deviation(Kind.FAILED, row, f"{failures:,} requests failed at {row} (all failures: {reasons(measurement)})")
        for row, failures in of_rows
        if failures
    )


def none_lost_on_the_way(measurement: Measurement) -> tuple[Deviation, ...]:
    """Every request reached a version of the region; what these make of theirs does not count."""
    lost = measurement.unanswered + measurement.by_proxies
    if not lost:
        return ()
    text = f"{lost:,} requests reached no version (all failures: {reasons(measurement)})"
    return (Deviation(Kind.FAILED, UNANSWERED_ROW, text),)


def all_readable(measurement: Measurement) -> tuple[Deviation, ...]:
    """Every answer names who gave it."""
    if measurement.unreadable == 0:
        return ()
    samples = ", ".join(f"'{sample}'" for sample in measurement.samples)
    text = f"{measurement.unreadable:,} answers have an expected status and name no version, for example {samples}"
    return (Deviation(Kind.UNREADABLE, UNREADABLE, text),)


def stays_in_region(measurement: Measurement) -> tuple[Deviation, ...]:
    """No request was answered by another region."""
    return tuple(
        Deviation(
            Kind.CROSSED,
            label(origin, measurement.region),
            f"{tally.requests:,} requests sent in {measurement.region} were answered by {origin.region}",
        )
        for origin, tally in sorted(measurement.answered.items())
        if origin.region != measurement.region
    )


def subsets_match(measurement: Measurement) -> tuple[Deviation, ...]:
    """Every request was answered by the version that was chosen for it."""
    return tuple(
        Deviation(
            Kind.MISLABELLED,
            chosen,
            f"{count:,} requests that were routed to {chosen} were answered by {version}: "
            f"the labels of subset {chosen} match pods of {version}",
        )
        for (chosen, version), count in measurement.mislabelled.items()
    )


def only_weighted_versions(measurement: Measurement, weights: Mapping[str, int]) -> tuple[Deviation, ...]:
    """No version answered that has weight 0 or none at all."""
    return tuple(
        Deviation(
            Kind.UNWEIGHTED,
            label(origin, measurement.region),
            f"{origin.version} has {'weight 0' if origin.version in weights else 'no weight'} "
            f"and answered {tally.requests:,} requests",
        )
        for origin, tally in sorted(measurement.answered.items())
        if not weights.get(origin.version)
    )


def nothing_lost(
    measurement: Measurement, weights: Mapping[str, int], failures: Check = no_failures
) -> tuple[Deviation, ...]:
    """Every request was answered well in the region, by the version that was chosen for it, and that has a weight.

    Args:
        measurement: What was counted.
        weights: Whole percents by version.
        failures: Which failed requests count.
    """
    return (
        *failures(measurement),
        *all_readable(measurement),
        *stays_in_region(measurement),
        *subsets_match(measurement),
        *only_weighted_versions(measurement, weights),
    )


def answered_by(measurement: Measurement, version: str) -> tuple[Deviation, ...]:
    """Every request was answered well by this version, which all of them asked for by a header."""
    rows = {label(origin, measurement.region): tally for origin, tally in sorted(measurement.answered.items())}
    others = [
        Deviation(Kind.MISLABELLED, row, f"{row} answered {tally.requests:,} requests")
        for row, tally in rows.items()
        if row != version
    ]
    return (*no_failures(measurement), *all_readable(measurement), *subsets_match(measurement), *others)


def shares_match(measurement: Measurement, weights: Mapping[str, int], risk: float = RISK) -> tuple[Deviation, ...]:
    """No version's share of all requests, in its own region, is proven to be other than its weight allows."""
    findings = []
    requests, each = measurement.requests, version_risk(weights, risk)
    for version, weight in weights.items():
        count = measurement.tally([version]).requests
        if weight == 0 or not is_outside(count, requests, weight, each):
            continue
        if count == 0:
            text = f"{version} has weight {weight} and answered none of {requests:,} requests"
            findings.append(Deviation(Kind.SILENT, version, text))
        else:
            seen, right = share_interval(count, requests, weight, each), allowed(weight)
            text = (
                f"{version} got {100 * count / requests:.1f} % ({count:,} of {requests:,}) where its weight is "
                f"{weight}: its share is in {100 * seen.low:.1f} - {100 * seen.high:.1f} %, "
                f"and {100 * right.low:g} - {100 * right.high:g} % are right"
            )
            findings.append(Deviation(Kind.OFF_WEIGHT, version, text))
    return tuple(findings)


def independent(measurement: Measurement, weights: Mapping[str, int], risk: float = RISK) -> tuple[Deviation, ...]:
    """Each request is a draw of its own, as far as its version goes; what is said of shares rests on that."""
    # with those versions that have not been seen: they could have been
    routed = [version for version, weight in weights.items() if weight > 0]
    transitions = dict.fromkeys(product(routed, routed), 0) | dict(measurement.transitions)
    if not denied(transitions, risk):
        return ()
    text = (
        f"which version answers depends on who answered before: {sum(transitions.values()) + 1:,} answers came in "
        f"{runs(transitions):,} runs of one version, and nothing can be said of their shares"
    )
    return (Deviation(Kind.NOT_INDEPENDENT, "", text),)


def split_standing(measurement: Measurement, weights: Mapping[str, int], risk: float = RISK) -> Standing:
    """What a measurement proves of the shares in its region; see `rollout.judge.shares.standing`.

    Raises:
        ValueError: the weights do not sum to 100.
    """
    return standing(counts_of(measurement, weights), measurement.requests, weights, risk)


def counts_of(measurement: Measurement, weights: Mapping[str, int]) -> Mapping[str, int]:
    """How many requests each of these versions answered in the measured region."""
    return {version: measurement.tally([version]).requests for version in weights}
