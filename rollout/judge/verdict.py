"""Does a region hold? The measurement held against the weights, pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rollout.judge.checks import (
    UNANSWERED_ROW,
    UNREADABLE,
    Check,
    Deviation,
    Kind,
    counts_of,
    independent,
    label,
    no_failures,
    nothing_lost,
    shares_match,
    split_standing,
)
from rollout.judge.shares import RISK, Interval, Standing, is_inside, requests_to_go, share_interval, version_risk
from rollout.measurement import Measurement, Origin, Tally


@dataclass(frozen=True)
class Row:
    """Who got which part of a region's requests. The rows of a region add up to all its requests.

    Attributes:
        label: The version; `v1 of region-b` for one that answered from another region; or what there was instead.
        weight: The configured percent, None for what has none.
        requests: Requests that went there.
        share: Their part of all the region's requests, 0..1.
        interval: Confidence sequence of the share, at the risk that each version has.
        failures: How many of the requests failed.
        findings: What is wrong here.
        standing: What is known of this row by itself; None where nothing can be said of shares.
    """

    label: str
    weight: int | None
    requests: int
    share: float
    interval: Interval
    failures: int
    findings: tuple[Deviation, ...]
    standing: Standing | None

    @property
    def word(self) -> str:
        """What is wrong here, else the standing."""
        return ", ".join(dict.fromkeys(finding.kind for finding in self.findings)) or _word(self.standing)


@dataclass(frozen=True)
class Verdict:
    """A region's measurement, judged.

    Attributes:
        measurement: What was judged.
        rows: Who got which part of it.
        findings: Why it does not hold, or what keeps it from being known; empty when it holds.
        standing: What is known; None where nothing can be said of shares, because the requests are not independent.
        requests_to_go: How many more requests decide it if the shares stay as seen. 0 unless `standing` is "not yet
            known", None where that is more than 1,000,000.
    """

    measurement: Measurement
    rows: tuple[Row, ...]
    findings: tuple[Deviation, ...]
    standing: Standing | None
    requests_to_go: int | None

    @property
    def holds(self) -> bool:
        """Whether every share is proven to be right, and nothing else was found wrong."""
        return self.standing is Standing.HOLDS

    @property
    def word(self) -> str:
        """The standing as it is told."""
        return _word(self.standing)


def _word(standing: Standing | None) -> str:
    return Kind.NOT_INDEPENDENT if standing is None else standing


def verdict_of(
    measurement: Measurement, weights: Mapping[str, int], *, failures: Check = no_failures, risk: float = RISK
) -> Verdict:
    """Holds a measurement against the weights, whole percents by version. It may be asked at any time, and any number of times.

    A region holds if each version's share is proven to be within two points of its weight, no request failed, and each
    was answered by echo in that region, by a version that has a weight. A request that failed or went astray is a fact
    and needs no proof: it does not hold. Where requests depend on each other, shares are not judged. What is said of shares is
    wrong, and independence denied wrongly, with probability `risk` at most.

    Args:
        measurement: What was counted, in the order of sending.
        weights: The configured split.
        failures: Which failed requests are held against the region.
        risk: How often it may be wrong.

    Raises:
        ValueError: the weights do not sum to 100.
    """
    known, facts, dependent = _known(measurement, weights, failures, risk)
    off = () if dependent else shares_match(measurement, weights, risk)
    to_go: int | None = 0
    undecided: tuple[Deviation, ...] = ()
    if known is Standing.NOT_YET_KNOWN:
        to_go = requests_to_go(counts_of(measurement, weights), measurement.requests, weights, risk)
        undecided = (_undecided(measurement, to_go),)
    findings = facts + dependent + off + undecided
    return Verdict(
        measurement, _rows(measurement, weights, findings, risk, dependent=bool(dependent)), findings, known, to_go
    )


def is_decided(
    measurement: Measurement, weights: Mapping[str, int], *, failures: Check = no_failures, risk: float = RISK
) -> bool:
    """Whether `verdict_of` has its verdict, so that no more requests are needed. Far cheaper than a verdict.

    Raises:
        ValueError: the weights do not sum to 100.
    """
    return _known(measurement, weights, failures, risk)[0] is not Standing.NOT_YET_KNOWN


def _known(
    measurement: Measurement, weights: Mapping[str, int], failures: Check, risk: float
) -> tuple[Standing | None, tuple[Deviation, ...], tuple[Deviation, ...]]:
    """The standing; what was lost; and what speaks against independence."""
    split = split_standing(measurement, weights, risk)
    facts, dependent = nothing_lost(measurement, weights, failures), independent(measurement, weights, risk)
    return Standing.DOES_NOT_HOLD if facts else None if dependent else split, facts, dependent


def _undecided(measurement: Measurement, to_go: int | None) -> Deviation:
    sent = f"{measurement.requests:,} requests do not decide it"
    more = "not even 1,000,000 more would" if to_go is None else f"about {to_go:,} more would"
    return Deviation(Kind.UNDECIDED, "", f"{sent}; {more}, if the shares stay as they are")


def _rows(
    measurement: Measurement,
    weights: Mapping[str, int],
    findings: tuple[Deviation, ...],
    risk: float,
    *,
    dependent: bool,
) -> tuple[Row, ...]:
    here = {version: Origin(measurement.region, version) for version in weights}
    tallies = {label(origin, measurement.region): Tally() for origin in here.values()}
    tallies |= {label(origin, measurement.region): tally for origin, tally in sorted(measurement.answered.items())}
    if measurement.unreadable:
        tallies[UNREADABLE] = Tally(measurement.unreadable, 0)
    if measurement.unanswered:
        tallies[UNANSWERED_ROW] = Tally(measurement.unanswered, measurement.unanswered)
    total, each = measurement.requests, version_risk(weights, risk)
    rows = []
    for name, tally in tallies.items():
        weight = weights.get(name)
        own = tuple(finding for finding in findings if finding.row == name)
        share = tally.requests / total if total else 0.0
        interval = share_interval(tally.requests, total, weight or 0, each)
        inside = not weight or is_inside(tally.requests, total, weight, each)
        known = _row_standing(wrong=bool(own), dependent=dependent, inside=inside)
        rows.append(Row(name, weight, tally.requests, share, interval, tally.failures, own, known))
    return tuple(rows)


def _row_standing(*, wrong: bool, dependent: bool, inside: bool) -> Standing | None:
    if wrong:
        return Standing.DOES_NOT_HOLD
    if dependent:
        return None
    return Standing.HOLDS if inside else Standing.NOT_YET_KNOWN
