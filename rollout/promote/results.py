"""What became of a promotion, of a way back, of a retirement, and of an introduction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from rollout.git.record import Promotion, PromotionState, Proof
from rollout.judge.step import Comparison
from rollout.measurement import Measurement, Tally, quantile_ms, told_ms
from rollout.problem import Problem
from rollout.promote.delivery import DeliveryTime
from rollout.status.verification import Outcome


@dataclass(frozen=True)
class FirstAnswers:
    """What a version answered at weight 0, all of it well.

    Attributes:
        region: Where.
        requests: How many it was asked.
        p50_ms: How long the faster half of them took at most.
        p99_ms: The same of 99 of a hundred.
    """

    region: str
    requests: int
    p50_ms: float
    p99_ms: float

    @classmethod
    def of(cls, asked: Measurement, version: str) -> Self:
        """What was measured."""
        p50, p99 = (quantile_ms(asked.latencies[version], part) for part in (0.5, 0.99))
        return cls(asked.region, asked.requests, p50, p99)

    def __str__(self) -> str:
        return (
            f"answered {self.requests} of {self.requests} requests at weight 0 in {self.region}, "
            f"p50 {told_ms(self.p50_ms)}, p99 {told_ms(self.p99_ms)}"
        )


@dataclass(frozen=True)
class StepResult:
    """A step that was taken.

    Attributes:
        region: Where.
        weight: The new version's, a percent.
        commit: What brought it.
        delivery: How long that took; None if it never got there.
        proof: What was measured; None if it was not proven.
        coming: Requests and failures of all versions while it came: until a second after all Envoys had acknowledged it; None
            if that was never.
        compared: The new version beside the others when it was proven, measure by measure.
    """

    region: str
    weight: int
    commit: str
    delivery: DeliveryTime | None = None
    proof: Proof | None = None
    coming: Tally | None = None
    compared: tuple[Comparison, ...] = ()


@dataclass(frozen=True)
class RollbackResult:
    """A way back.

    Attributes:
        commit: What brought it.
        weights: What the regions have with it, whole percents by version, by region.
        deliveries: How long it took to get there, by region.
        outcomes: What was measured after it.
        seconds: From the doubt, or the command, until the last Envoy had acknowledged it.
        cost: What the region that failed did with its requests from its last step's commit until all of that was done, by version; ""
            for those that no version answered. Where Envoys had not acknowledged that step, from the one's before. Empty where nothing
            was watched.
        problems: What could not be delivered or measured.
    """

    commit: str
    weights: Mapping[str, Mapping[str, int]]
    deliveries: Mapping[str, DeliveryTime]
    outcomes: Sequence[Outcome]
    seconds: float
    cost: Mapping[str, Tally] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether all of it is known to be well."""
        return not self.problems and all(outcome.holds for outcome in self.outcomes)


@dataclass(frozen=True)
class PromotionResult:
    """How a promotion ended.

    Attributes:
        promotion: Which.
        state: As Git has it.
        reason: Why, where it is not done; "" where it is.
        taken: The steps of this run.
        undone: The way back, if there was one.
        first_answers: What the version answered at weight 0, in the regions where it could be asked.
    """

    promotion: Promotion
    state: PromotionState
    reason: str
    taken: Sequence[StepResult]
    undone: RollbackResult | None = None
    first_answers: Sequence[FirstAnswers] = ()


@dataclass(frozen=True)
class RetirementResult:
    """A region without the version.

    Attributes:
        region: Which.
        commit: What took it out.
        delivery: How long that took.
        coming: What the region did with the requests that were sent meanwhile.
    """

    region: str
    commit: str
    delivery: DeliveryTime
    coming: Tally


@dataclass(frozen=True)
class IntroductionResult:
    """A region with the version.

    Attributes:
        region: Which.
        commit: What brought it; None if it was there before.
        delivery: How long that took.
    """

    region: str
    commit: str | None
    delivery: DeliveryTime
