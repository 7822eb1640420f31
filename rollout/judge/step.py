"""Is a step of a promotion well? What was measured while it came and after, held against what was to be. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from rollout.judge import failures
from rollout.judge.checks import (
    independent,
    no_failures_but_its_own,
    nothing_lost,
    reasons,
    shares_match,
    split_standing,
)
from rollout.judge.shares import DEFAULT_MOST, RISK, Interval, Standing, share_interval, version_risk
from rollout.measurement import Measurement, Tally
from rollout.weights import routed

MOST_REQUESTS = DEFAULT_MOST
"""A share that is not known after so many requests is too near the edge of what is allowed: as `rollout verify` has it."""


@dataclass(frozen=True)
class Step:
    """What a region is to do.

    Attributes:
        region: Its name.
        version: The new one.
        weights: What the shares are held against, whole percents by version.
        before: The weights from before the step.
        old: What the versions that it takes over from did with their requests before the step, in this region.
    """

    region: str
    version: str
    weights: Mapping[str, int]
    before: Mapping[str, int]
    old: Tally = field(default_factory=Tally)

    @property
    def old_versions(self) -> str:
        """The names of the others, for people."""
        return "+".join(version for version in self.weights if version != self.version)


@dataclass(frozen=True)
class Observation:
    """What was measured of a step; each request is in one of the two.

    Attributes:
        coming: Until all Envoys had acknowledged it, and a second more: the old split and the new one.
        proof: Since then; None while it is not acknowledged.
    """

    coming: Measurement
    proof: Measurement | None = None

    def tally(self, versions: Collection[str]) -> Tally:
        """What these versions of the region did with all the requests that they got."""
        return self.coming.tally(versions) + (self.proof.tally(versions) if self.proof else Tally())


def new_tally(step: Step, seen: Observation) -> Tally:
    """The new version's requests since the step began."""
    return seen.tally({step.version})


def old_tally(step: Step, seen: Observation) -> Tally:
    """The others' requests since the region was first watched."""
    return step.old + seen.tally({*step.weights} - {step.version})


def doubt(step: Step, seen: Observation, *, proven: bool) -> str | None:
    """Why a step is not well, in a sentence; None while there is nothing to say against it.

    It may be asked at any time: each of the tests is valid however often it is.

    Args:
        step: The step.
        seen: What was measured of it.
        proven: Whether its shares were proven before: then they need not be proven again, but can be found off.
    """
    return (
        new_one_fails_more(step, seen) or somebody_else_answered(step, seen) or _share_is_off(step, seen, proven=proven)
    )


def new_one_fails_more(step: Step, seen: Observation) -> str | None:
    """That the new version is proven to fail more often than the others, in a sentence; None while it is not."""
    new, old = new_tally(step, seen), old_tally(step, seen)
    if new.failures and not old.requests:
        return f"{new.failures:,} of {new.requests:,} requests to {step.version} failed, and {step.old_versions} had none to compare"
    if not failures.fails_more(new, old):
        return None
    why = reasons(seen.coming if seen.proof is None else seen.proof) or reasons(seen.coming)
    return (
        f"{step.version} fails more often than {step.old_versions}: {new.failures:,} of {new.requests:,} requests, "
        f"against {old.failures:,} of {old.requests:,} ({why}; false-alarm rate at most {RISK:.1%})"
    )


def somebody_else_answered(step: Step, seen: Observation) -> str | None:
    """That requests were lost, or went where they should not, in a sentence; None while none was."""
    now = routed(step.weights)
    for window, weights in ((seen.coming, routed(step.before) | now), (seen.proof, now)):
        if window and (lost := nothing_lost(window, weights, no_failures_but_its_own)):
            return lost[0].text
    return None


def is_proven(step: Step, seen: Observation) -> bool:
    """Whether the shares are what they are to be, at the declared risk."""
    return seen.proof is not None and split_standing(seen.proof, step.weights) is Standing.HOLDS


def interval(step: Step, seen: Observation) -> Interval:
    """Where the new version's share can be, at the risk of a verdict."""
    if seen.proof is None or not seen.proof.requests:
        return Interval(0.0, 1.0)
    count = seen.proof.tally([step.version]).requests
    weight = step.weights[step.version]
    return share_interval(count, seen.proof.requests, weight, version_risk(step.weights))


def _share_is_off(step: Step, seen: Observation, *, proven: bool) -> str | None:
    if seen.proof is None:
        return None
    if off := independent(seen.proof, step.weights) or shares_match(seen.proof, step.weights):
        return next((each for each in off if each.row == step.version), off[0]).text
    requests = seen.proof.requests
    if proven or requests < MOST_REQUESTS or split_standing(seen.proof, step.weights) is Standing.HOLDS:
        return None
    percent = 100 * seen.proof.tally([step.version]).requests / requests
    return (
        f"{step.version} got {percent:.1f} % of {requests:,} requests where its weight is {step.weights[step.version]}: "
        "too near the edge of what is allowed to be told from it"
    )
