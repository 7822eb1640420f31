"""A version promoted region by region: a commit, its delivery, its proof, and then the next one; or back.

The commits or their notes hold all that a promotion has come to (`rollout.git.record`): a promotion that is killed at any point loses
only the measurement that was under way.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

from rollout.answers import ask_all, await_all
from rollout.git.record import Promotion, PromotionState, Proof, Record, message
from rollout.judge.checks import answered_by
from rollout.judge.shares import RISK, Standing
from rollout.judge.step import (
    MANY,
    Bound,
    Look,
    Observation,
    Step,
    compared,
    doubt,
    interval,
    is_proven,
    new_one_is_worse,
    risk_of_each,
    split_is_proven,
)
from rollout.measurement import Measurement, Tally, together, told_seconds
from rollout.problem import Problem, RolloutError, TransientError, refuse
from rollout.promote.clusters import Clusters
from rollout.promote.command import run
from rollout.promote.delivery import DeliveryTime
from rollout.promote.lookout import LOOK_EVERY_SECONDS, STOPPED, Doubt, Lookout, Watched
from rollout.promote.persistence import held
from rollout.promote.results import FirstAnswers, PromotionResult, RollbackResult, StepResult
from rollout.promote.upstream import InterferenceError, Upstream
from rollout.status.verification import Outcome
from rollout.weights import ALL, percents, shifted
from rules.region.capacity import stable_of

_NO_WEIGHT = 0


@dataclass(frozen=True)
class RunOptions:
    """What one run of a promotion is asked for. Git does not keep it: who resumes says it again.

    Attributes:
        before_step: Commands for the shell that must succeed before a step.
        until: It stops well when a step with this weight, a percent, is proven in a region and more is left; None for never.
        until_region: It stops well when this region is done and others are left; None for never.
        tell: Told in a line, with the commit, what people elsewhere are to know.
    """

    before_step: Sequence[str] = ()
    until: int | None = None
    until_region: str | None = None
    tell: Callable[[str, str], None] = lambda _line, _commit: None


def promote(
    upstream: Upstream,
    clusters: Clusters,
    promotion: Promotion,
    resumed: tuple[str, Record] | None,
    options: RunOptions | None = None,
) -> PromotionResult:
    """Takes all steps of a promotion that are not taken yet; takes them back if one fails.

    A region begins when all regions of the promotion hold. The promotion stops where it is, and can be resumed, when something
    cannot be asked or told any more; it ends where it is when somebody else changed one of its regions.

    Args:
        upstream: The branch that Argo CD follows.
        clusters: The regions.
        promotion: What to do; its `before` is what is delivered now, if it begins.
        resumed: Its newest commit and what that says, if it goes on.
        options: What this run is asked for.

    Raises:
        RolloutError: it stops where it is, and why.
    """
    run = _Run(upstream, clusters, promotion, resumed, options or RunOptions())
    steps = ", ".join(f"{step} %" for step in promotion.steps)
    run.tell(f"{'goes on' if resumed else 'begins'} in {', '.join(promotion.regions)}: {steps}")
    try:
        ended = run.run()
    except BaseException as error:
        problems = error.problems if isinstance(error, RolloutError) else ()
        name = "interrupted" if isinstance(error, KeyboardInterrupt) else type(error).__name__
        why = "; ".join(problem.what for problem in problems) or name
        run.tell(f"{run.stopped}: {why}")
        raise
    run.tell(f"is {ended.state}{': ' * bool(ended.reason)}{ended.reason}")
    return ended


def steps_left(promotion: Promotion, weight: int) -> tuple[int, ...]:
    """The weights, percents, that a version with this one is still to be given before all regions are done.

    The one that it has is among them, if it is a step: whether it was proven is not known.
    """
    return tuple(step for step in promotion.weights if step >= weight)


def preview(upstream: Upstream, promotion: Promotion) -> list[tuple[str, Mapping[str, int]]]:
    """Each step's region and its weights, judged by the rules as commits that are pushed nowhere; and the way back from the last.

    Raises:
        RolloutError: the rules refuse one of them; or the version is not in all regions.
    """
    parent = promotion.before
    steps: list[tuple[str, Mapping[str, int]]] = []
    for region in promotion.regions:
        _refuse_impossible(upstream, promotion, region)
        for weight in steps_left(promotion, upstream.weights(parent, region)[promotion.version]):
            weights = shifted(upstream.weights(parent, region), promotion.version, weight)
            parent = upstream.shifted(parent, {region: weights}, f"{promotion.version} in {region}: {weight} %")
            steps.append((region, weights))
    last = {
        region: shifted(upstream.weights(parent, region), promotion.version, promotion.steps[-1])
        for region in promotion.regions
    }
    if promotion.weights[-1] != promotion.steps[-1]:
        parent = upstream.shifted(parent, last, f"{promotion.version}: {promotion.steps[-1]} %")
        steps += last.items()
    back = {region: _way_back(upstream, promotion, parent, region) for region in promotion.regions}
    upstream.shifted(parent, back, f"{promotion.version} taken back")
    return steps


def roll_back(
    upstream: Upstream,
    clusters: Clusters,
    where: Callable[[str], tuple[Record, Sequence[str]]],
    reason: str,
    note: Callable[[str], object] = lambda _commit: None,
) -> RollbackResult:
    """Takes all requests from a promoted version: one commit for all regions, delivered and measured. It removes nothing.

    The others share the requests as they did before the promotion. Not the weights from before it: then a version that is not well
    might keep some. It is tried until it is through, whatever does not answer meanwhile. Once it is pushed, what cannot be delivered
    or measured is told, and is no reason to stop. SIGHUP does not end it; SIGTERM ends it only after the push.

    Args:
        upstream: The branch that Argo CD follows.
        clusters: The regions.
        where: What the promotion's newest commit says, and the regions, by what is delivered now: a commit.
        reason: Why, a sentence.
        note: Called with the commit once the branch that Argo CD follows has it.

    Raises:
        RolloutError: waiting does not help: the rules or the remote refuse the commit, or Git cannot sign it; or
            what `where` raises.
        KeyboardInterrupt: a person or SIGTERM ended it.
    """
    upstream = upstream.on_the_way_back()
    with held(signal.SIGHUP, upstream.say):
        return _roll_back(upstream, clusters, where, reason, note)


def _roll_back(
    upstream: Upstream,
    clusters: Clusters,
    where: Callable[[str], tuple[Record, Sequence[str]]],
    reason: str,
    note: Callable[[str], object],
) -> RollbackResult:
    began = time.monotonic()
    weights: Mapping[str, Mapping[str, int]] = {}
    record: Record | None = None

    def make(tip: str) -> str:
        nonlocal weights, record
        record, regions = where(tip)
        version = record.promotion.version
        weights = {region: _way_back(upstream, record.promotion, tip, region) for region in regions}
        if not weights:
            # a commit that takes nothing back must not say that it did
            broken = upstream.problems(tip, record.promotion.regions)
            if broken:
                raise TransientError(*broken, Problem(f"waits until {upstream.branch} has that mended"))
        told = replace(record, state=PromotionState.ROLLED_BACK, weight=_NO_WEIGHT, proof=None, reason=reason)
        called = f"{upstream.service} {version}"
        subject = f"Roll back {called} in {', '.join(weights)}" if weights else f"Roll back {called}"
        return upstream.shifted(tip, weights, message(subject, told))

    with held(signal.SIGTERM, upstream.say) as came:
        # it is pushed when it waits for a merge, which may never come
        placed = upstream.placed_unless(make, lambda: STOPPED if came else None)
    if isinstance(placed, Problem):
        upstream.say(
            f"{upstream.proposal} stays as it is; once it is merged, `rollout rollback` sees that it is delivered"
        )
        raise KeyboardInterrupt(*came)
    note(placed)
    told = "; ".join(f"{region}: {percents(split)}" for region, split in weights.items())
    noted = upstream.proposal and not weights
    upstream.say(f"rolled back, noted at {placed[:10]}" if noted else f"rolled back by {placed[:10]}: {told}")
    with _told_where_stopped(upstream, placed):
        if came:
            raise KeyboardInterrupt(*came)
        undone = confirm(upstream, clusters, placed, weights, began)
    assert record is not None, "the commit is made of it"
    left = upstream.tried(partial(_left, upstream, placed, record))
    return replace(undone, problems=(*left, *undone.problems))


def _left(upstream: Upstream, placed: str, record: Record) -> list[Problem]:
    """Why the version has requests in a region after a way back: nobody can edit it, or somebody else has changed it."""
    version = record.promotion.version
    changed = [
        Problem(
            f"{region}: {version} keeps {upstream.weights(placed, region)[version]} %: somebody else changed this region meanwhile",
            "two hands on the same weights undo each other, and a person's goes first",
            "see what it does (rollout status); `rollout rollback` takes it back there as well",
        )
        for region in to_take_back(upstream, placed, record)
    ]
    return [*upstream.problems(placed, record.promotion.regions), *changed]


@contextmanager
def _told_where_stopped(upstream: Upstream, placed: str) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        upstream.say(f"{placed[:10]} is delivered all the same; `rollout rollback` sees that it is so in every region")
        raise


def confirm(
    upstream: Upstream, clusters: Clusters, commit: str, weights: Mapping[str, Mapping[str, int]], began: float
) -> RollbackResult:
    """Waits until regions have the weights of a commit, and measures them, side by side: none waits for another.

    A region that cannot be asked is asked until it answers. What is answered, and keeps the commit from being delivered or measured,
    is told.

    Args:
        upstream: The branch that Argo CD follows.
        clusters: The regions.
        commit: By its full hash.
        weights: Whole percents by version, by region.
        began: When it began, as `time.monotonic` has it.
    """
    confirmation = _Confirmation(upstream.on_the_way_back(), clusters, commit, weights, began)
    answers = ask_all(confirmation.of, [*weights])
    try:
        await_all(answers)
    finally:
        # who interrupts it waits for none of them
        confirmation.stop.set()
    found = {region: answer.result() for region, answer in zip(weights, answers, strict=True)}
    deliveries = {region: one.delivery for region, one in found.items() if one.delivery}
    return RollbackResult(
        commit,
        weights,
        deliveries,
        outcomes=[outcome for one in found.values() for outcome in one.outcomes],
        seconds=max((one.seconds for one in found.values()), default=time.monotonic() - began),
        problems=tuple(problem for one in found.values() for problem in one.problems),
    )


def to_take_back(upstream: Upstream, tip: str, record: Record) -> list[str]:
    """The regions of a promotion in which its version has requests, the one where it stands first.

    Args:
        upstream: The branch that Argo CD follows.
        tip: What is delivered now: a commit.
        record: What the promotion's newest commit says.
    """
    promotion = record.promotion
    ordered = sorted(promotion.regions, key=lambda region: region != record.region)
    # a region that somebody took away has nothing to be taken back, and in one whose stack file is broken nothing can be
    services = upstream.services(tip)
    return [region for region in ordered if region in services and services[region].weights.get(promotion.version)]


class _Run:
    """A promotion on its way.

    What may hang is done while the lookout looks. A method that returns a doubt has found why all is taken back; None where it goes on.

    Attributes:
        upstream: The branch that Argo CD follows; says nothing more once nobody waits for what is done.
        ending: The same for what ends it.
        last: The newest commit that is ours, or the one from before all of them.
        record: What the newest commit of the promotion says; None while there is none.
        under_way: The commit of a step that is not known to be where Argo CD follows yet, and what it says; None while there is none.
        proof: Of the step before.
        taken: The steps so far.
        first_answers: What the version answered at weight 0 so far.
        bounds: What is slow, by region, as known from the old versions before its first step.
        usual: The part of the requests that failed, by region, when they were last compared.
        lookout: The regions that have begun, until all are done.
        commanding: Held while a command of a person's own runs.
        stopped: What people elsewhere are told where something stops this run.
        risk: Of each test.
    """

    def __init__(
        self,
        upstream: Upstream,
        clusters: Clusters,
        promotion: Promotion,
        resumed: tuple[str, Record] | None,
        options: RunOptions,
    ) -> None:
        self.upstream, self.ending = replace(upstream, say=self.say), upstream
        self.clusters, self.promotion, self.options = clusters, promotion, options
        self.last = resumed[0] if resumed else promotion.before
        self.record = resumed[1] if resumed else None
        self.under_way: tuple[str, Record] | None = None
        self.proof = self.record.proof if self.record else None
        self.taken: list[StepResult] = []
        self.first_answers: list[FirstAnswers] = []
        self.bounds: dict[str, tuple[Bound, ...]] = {}
        self.usual: dict[str, float] = {}
        if self.proof and self.proof.weight < ALL:
            self.usual[self.proof.region] = (self.proof.new + self.proof.old).part
        self.lookout, self.commanding = Lookout(), threading.Lock()
        self.stopped = "stops where it is"
        self.risk = risk_of_each(len(promotion.weights) + 1, len(promotion.regions))

    def run(self) -> PromotionResult:
        """All regions from the one where it is to the last, or to the one that is asked for."""
        regions, until = self.promotion.regions, self.options.until_region
        at = regions.index(self.record.region) if self.record else 0
        end = regions.index(until) + 1 if until else len(regions)
        try:
            with self.lookout:
                ended = self._or_back(self.lookout.during(self._arrive))
                for region in regions[at:end]:
                    ended = ended or self._region(region)
                if end < len(regions):
                    return ended or self._ended(PromotionState.IN_PROGRESS, f"{until} is done")
                ended = ended or self._give_the_rest()
            if ended is None:
                self._conclude(PromotionState.DONE, "", self.promotion.regions)
        except InterferenceError as error:
            reason = error.problems[0].what
            self._conclude(PromotionState.ENDED, reason)
            return self._ended(PromotionState.ENDED, reason)
        finally:
            # what it has started ends before we do
            with self.commanding:
                pass
        return ended or self._ended(PromotionState.DONE)

    def say(self, line: str) -> None:
        """Tells in a line what goes on."""
        if not self.lookout.stop.is_set():
            self.ending.say(line)

    def tell(self, line: str) -> None:
        """Tells people elsewhere, beside the newest commit."""
        self.options.tell(f"{self.promotion.service} {self.promotion.version} {line}", self.last)

    def _ended(self, state: PromotionState, reason: str = "", undone: RollbackResult | None = None) -> PromotionResult:
        return PromotionResult(self.promotion, state, reason, self.taken, undone, self.first_answers)

    def _or_back(self, doubt: Doubt | None) -> PromotionResult | None:
        return self._back(doubt) if doubt else None

    def _unwanted(self) -> Problem | None:
        """Says that nobody waits any more for what is done."""
        return STOPPED if self.lookout.stop.is_set() else None

    def _arrive(self) -> Doubt | None:
        """What is committed is delivered and acknowledged, before anything goes on top of it: together they could lose requests."""
        tip = self.upstream.tip()
        self.upstream.refuse_changed_by_others(self.last, tip, self.promotion.regions)
        for region in self.promotion.regions:
            self.say(f"{region}: {self.last[:10]} is to be delivered first")
            weights = self.upstream.weights(tip, region)
            delivery = self.clusters.deliver(region, self.last, weights, self._unwanted, say=self.say)
            if isinstance(delivery, Problem):
                if self.record is None:
                    raise RolloutError(delivery)
                return Doubt(str(delivery))
        return None

    def _region(self, region: str) -> PromotionResult | None:
        weight = self.lookout.during(partial(self._reach, region))
        if isinstance(weight, Doubt):
            return self._back(weight)
        for step in steps_left(self.promotion, weight):
            doubt = self.lookout.during(partial(self._take, region, step))
            if ended := self._or_back(doubt or self._prove(region, self.promotion.bake_seconds)):
                return ended
            # after the very last one it is done
            if step == self.options.until and (region, step) != (self.promotion.regions[-1], self.promotion.steps[-1]):
                return self._ended(PromotionState.IN_PROGRESS, f"{step} % in {region} is proven")
        return None

    def _reach(self, region: str) -> Doubt | int:
        """The version's weight in a region, once all is well enough to give it more."""
        if doubt := self._certify(region):
            return doubt
        # those that were done before this run are watched with the others
        for done in self.promotion.regions[: self.promotion.regions.index(region)]:
            if done not in self.lookout:
                weights = self.upstream.weights(self.last, done)
                self._begin([self._judged(done, weights, weights)])
        tip = self.upstream.tip()
        self.upstream.refuse_changed_by_others(self.last, tip, self.promotion.regions)
        weight = self.upstream.weights(tip, region)[self.promotion.version]
        if weight == _NO_WEIGHT:
            self._ask_first(region, tip)
        return weight

    def _ask_first(self, region: str, tip: str) -> None:
        """The version answers before it gets anybody's request: the probe asks it by the testers' header.

        Raises:
            RolloutError: a request was not answered well by it.
        """
        version, service = self.promotion.version, self.upstream.declared(tip, region)
        if service.testers is None or version not in service.for_testers:
            self.say(f"{region}: {version} is not asked at weight 0: no header leads to it (testers in the stack file)")
            return
        header = service.testers.header
        asked = self.clusters.asked_for(region, header, version)
        if wrong := asked.interruption or "; ".join(each.text for each in answered_by(asked, version)):
            raise RolloutError.of(
                f"{region}: {version} was asked {asked.requests} times at weight 0 ({header}: {version}): {wrong}",
                "with its first step others would get such answers, so the region is not begun",
                "mend the version; then begin again, or go on where something is committed (rollout promote --resume)",
            )
        answers = FirstAnswers.of(asked, version)
        self.say(f"{version} {answers}")
        self.first_answers.append(answers)

    def _certify(self, region: str) -> Doubt | None:
        """All regions hold before one begins."""
        self.say(f"{region}: all regions are measured before it begins")
        outcomes = self.clusters.certify(self.promotion.regions, self.risk, self.lookout.stop, self.say, shown=True)
        refuse(problem for outcome in outcomes for problem in outcome.problems)
        for outcome in outcomes:
            name = outcome.region.name
            if reason := self._wrong_with(outcome):
                return Doubt(f"{name}: {reason}")
            if outcome.verdict:
                self._note_usual(name, outcome.verdict.measurement)
        return None

    def _note_usual(self, region: str, measured: Measurement) -> None:
        """What is usual before a region's first step, or before the first one of this run."""
        old = measured.versions.keys() - {self.promotion.version}
        tally = measured.tally(old)
        # few requests say little of a seldom failure
        many = tally if tally.requests >= MANY else measured.tally(measured.versions.keys())
        self.usual.setdefault(region, many.part)
        declared = self.upstream.declared(self.last, region).latency_bounds_ms
        if region not in self.bounds and (tally.requests or declared):
            latencies = together(measured.latencies[version] for version in old & measured.latencies.keys())
            self.bounds[region] = bounds = Bound.of(latencies, declared)
            if bounds:
                told = ", ".join(bound.told(place) for place, bound in enumerate(bounds))
                self.say(f"{region}: slow is what takes longer than {told}")

    def _wrong_with(self, outcome: Outcome) -> str | None:
        if outcome.verdict is None:
            return "not measured"
        measured = outcome.verdict.measurement
        if measured.interruption and outcome.verdict.standing is Standing.NOT_YET_KNOWN:
            raise RolloutError.of(
                f"{outcome.region.name}: {measured.interruption}",
                "what is not measured is not known to be well",
                "see that the probe runs, then go on (rollout promote --resume) or take it back (rollout rollback)",
            )
        if not outcome.holds:
            return f"{outcome.verdict.word}: {'; '.join(finding.text for finding in outcome.verdict.findings)}"
        if self.promotion.version not in outcome.weights:
            # somebody has taken it away, which ends the promotion
            return None
        step = self._judged(outcome.region.name, outcome.weights, outcome.weights)
        if step.is_alone and step.region not in self.usual:
            # what failed before it had all is not known to this run
            return None
        return new_one_is_worse(Look(replace(step, bounds=()), Observation(measured)))

    def _judged(self, region: str, weights: Mapping[str, int], before: Mapping[str, int]) -> Step:
        bounds, terms = self.bounds.get(region, ()), self.promotion.terms
        asked_for = self.promotion.version in self.upstream.declared(self.last, region).for_testers
        return Step(
            region,
            self.promotion.version,
            weights,
            before,
            bounds,
            terms,
            self.risk,
            usual=self.usual.get(region, 0.0),
            has_testers=asked_for,
        )

    def _take(self, region: str, weight: int) -> Doubt | None:
        """Brings a step to all Envoys of a region; one that was committed before this run is not committed again."""
        record = Record(self.promotion, PromotionState.IN_PROGRESS, region, weight, self.proof)
        is_committed = self.record is not None and (self.record.region, self.record.weight) == (region, weight)
        subject = f"Promote {self.upstream.service} {self.promotion.version} in {region}: {weight} %"
        return self._bring([region], record, "" if is_committed else subject)

    def _give_the_rest(self) -> PromotionResult | None:
        """All regions are done: the new version gets what was kept for the others, and is proven with it."""
        regions, last = self.promotion.regions, self.promotion.steps[-1]
        if last in self.promotion.weights:
            return None
        record = Record(self.promotion, PromotionState.IN_PROGRESS, regions[-1], last, self.proof)
        is_committed = self.record is not None and self.record.weight == last
        subject = f"Promote {self.upstream.service} {self.promotion.version} everywhere: {last} %"
        doubt = self.lookout.during(lambda: self._bring(regions, record, "" if is_committed else subject))
        for region in regions:
            doubt = doubt or self._prove(region, bake_seconds=0)
        return self._or_back(doubt)

    def _bring(self, regions: Sequence[str], record: Record, subject: str) -> Doubt | None:
        """Commits a weight for some regions and waits until each of their Envoys has it; without a subject it is committed."""
        if subject:
            self._before(regions, record.weight)
        tip = self.upstream.tip()
        self.upstream.refuse_changed_by_others(self.last, tip, self.promotion.regions)
        steps = []
        for region in regions:
            before = self.upstream.weights(tip, region)
            steps.append(self._judged(region, shifted(before, record.promotion.version, record.weight), before))
        if not self.upstream.proposal:
            self._begin(steps)
        if subject:
            self._commit(subject, {step.region: step.weights for step in steps}, record)
        if self.upstream.proposal:
            # what was sent while it waited to be merged is of the step before
            self._begin(steps)
        self.taken += [StepResult(region, record.weight, self.last) for region in regions]
        for step in steps:
            if doubt := self._deliver(step):
                return doubt
        return None

    def _before(self, regions: Sequence[str], weight: int) -> None:
        """Runs what must succeed before a step.

        Raises:
            RolloutError: it does not; or the rules refuse the step, and then it is not run.
        """
        if not self.options.before_step:
            return
        version, where, tip = self.promotion.version, ",".join(regions), self.upstream.tip()
        self.upstream.refuse_changed_by_others(self.last, tip, self.promotion.regions)
        weights = {region: shifted(self.upstream.weights(tip, region), version, weight) for region in regions}
        self.upstream.shifted(tip, weights, f"{version} in {where}: {weight} %")
        about = {
            "ROLLOUT_SERVICE": self.promotion.service,
            "ROLLOUT_VERSION": version,
            "ROLLOUT_REGION": where,
            "ROLLOUT_WEIGHT": str(weight),
            "ROLLOUT_COMMIT": tip,
        }
        for command in self.options.before_step:
            self.say(f"{where}: before {version} {weight} %: {command}")
            with self.commanding:
                run(command, about, self.lookout.stop)

    def _begin(self, steps: Sequence[Step]) -> None:
        """What is seen of their regions from now on is of these steps."""

        def watched(step: Step) -> Watched:
            region, clusters = step.region, self.clusters
            watch = clusters.watched(region, [bound.ms for bound in step.bounds])
            return Watched(step, watch, clusters.clients(region), clusters.restarts(region))

        for step in steps:
            self.lookout.begin(step, watched)

    def _note(self, region: str, noted: Callable[[StepResult], StepResult]) -> None:
        """Adds to what is known of the region's last step."""
        took = next(each for each in reversed(self.taken) if each.region == region)
        self.taken[self.taken.index(took)] = noted(took)

    def _deliver(self, step: Step) -> Doubt | None:
        """Waits until the last commit is in a step's region."""
        region = step.region
        delivery = self.clusters.deliver(region, self.last, step.weights, self._unwanted, say=self.say)
        if isinstance(delivery, Problem):
            return Doubt(str(delivery), region)
        coming = self.lookout.acknowledged(region)
        tally = Tally(coming.requests, coming.failures)
        self._note(region, lambda took: replace(took, delivery=delivery, coming=tally))
        self.say(
            f"{region}: {step.version} {step.weights[step.version]} %: synced after {delivery.synced:.1f} s, "
            f"acknowledged by {delivery.envoys} Envoys after {delivery.acknowledged:.1f} s"
        )
        return None

    def _note_proof(self, look: Look, proof: Proof) -> None:
        self.proof = proof
        beside = compared(look, self.clusters.rate)
        self._note(proof.region, lambda took: replace(took, proof=proof, compared=beside))
        if not look.step.is_alone:
            # of both: the old one alone may have had few, and the new one is shown to be within the margin
            self.usual[proof.region] = (proof.new + proof.old).part
        self._tell_clients(proof.region)
        self._tell_restarts(proof.region)

    def _tell_clients(self, region: str) -> None:
        """Whose requests were counted beside the probe's, and what is not known of them."""
        window = self.lookout[region].clients.seen()
        if not window.spans:
            why = window.trouble or "; ".join(f"{who}: {why}" for who, why in window.coverage.silent.items())
            told = f"nothing is known of other clients yet{f' ({why})' if why else ''}; the probe's requests alone are judged"
        else:
            newer = f"; nothing newer is known ({window.trouble})" if window.trouble else ""
            told = f"beside the probe's requests, {window.coverage}{newer}"
        self.say(f"{region}: {told}")
        if window.untold:
            self.say(f"{region}: {window.untold}; their requests are not judged by that")

    def _tell_restarts(self, region: str) -> None:
        """What containers did that accused nobody, or could not be seen."""
        restarts = self.lookout[region].restarts
        if trouble := restarts.trouble():
            self.say(f"{trouble}; nobody sees whether containers end or are not ready")
        for version, reasons in restarts.seen().items():
            self.say(f"{region}: containers of {version} ended within ten minutes: {', '.join(reasons)}")
        for version, seconds in restarts.not_ready().items():
            self.say(f"{region}: pods of {version} that were ready are not ready: {len(seconds)}")

    def _commit(self, subject: str, weights: Mapping[str, Mapping[str, int]], record: Record) -> None:
        """Brings it where it is delivered."""
        made = ""

        def make(tip: str) -> str:
            nonlocal made
            self.upstream.refuse_changed_by_others(self.last, tip, self.promotion.regions)
            made = self.upstream.shifted(tip, weights, message(subject, record))
            self.under_way = made, record
            unmerged()
            return made

        def unmerged() -> Problem | None:
            if self.upstream.proposal:
                self.lookout.hold(weights)
            return self._unwanted()

        placed = self.upstream.placed_unless(make, unmerged)
        if isinstance(placed, Problem) or self.lookout.stop.is_set():
            raise RolloutError(STOPPED)
        self.record, self.last, self.under_way = record, placed, None
        where = ", ".join(weights)
        self.say(f"{where}: {record.promotion.version} {record.weight} %: committed as {self.last[:10]}")
        self.tell(f"gets {record.weight} % in {where}")
        # others may have changed the same files before it was merged
        self.upstream.refuse_different(made, placed, weights)

    def _prove(self, region: str, bake_seconds: float) -> Doubt | None:
        """Waits until a region's step is proven and the bake time is over, and notes what came of it.

        Raises:
            RolloutError: it cannot be proven in the longest time.
        """
        began, split = time.monotonic(), False
        while True:
            looked, look = time.monotonic(), self.lookout.look(region)
            if reason := doubt(look, proven=split):
                return Doubt(reason, region)
            if elsewhere := self.lookout.doubt(but=region):
                return elsewhere
            split = split or split_is_proven(look)
            now = time.monotonic()
            # what hit both since an earlier proof may have left less than one
            if now - began >= bake_seconds and is_proven(look, self.clusters.rate):
                proof = _proof(look, now - began)
                self.say(f"{proof}: proven")
                self._note_proof(look, proof)
                return None
            if now - began > max(bake_seconds, look.step.terms.longest_seconds):
                raise RolloutError(_undecided(look, self.clusters.rate))
            time.sleep(max(LOOK_EVERY_SECONDS, now - looked))

    def _back(self, doubt: Doubt) -> PromotionResult:
        upstream, (reason, region), has_begun = self.ending, doubt, False
        if region:
            upstream.on_the_way_back().say(f"{region}: {self.promotion.version} failed: {reason}")
            reason = f"{region}: {reason}"
        # read first, as it is written last
        under_way = self.under_way
        record = self.record or (under_way[1] if under_way else None)
        if record is None:
            raise RolloutError.of(
                f"{reason}: nothing was changed",
                "what is not well before a promotion cannot be told from what the promotion does",
                "see what it is (rollout status, rollout verify), mend it, and begin again",
            )

        def where(tip: str) -> tuple[Record, Sequence[str]]:
            nonlocal has_begun
            ours = self._ours(tip)
            if region and not has_begun:
                # what somebody else made of the region says nothing of the step; later, or where it is broken, it is left alone
                upstream.refuse_changed_by_others(ours, tip, [] if upstream.problems(tip, [region]) else [region])
            regions = to_take_back(upstream, tip, record)
            left = upstream.left_alone(ours, tip, regions) if regions else ()
            if not has_begun:
                has_begun = True
                self.tell(f"is taken back: {reason}")
            return record, left

        def note(commit: str) -> None:
            self.last, self.stopped = commit, "is taken back; nobody watched it arrive"

        undone = roll_back(upstream, self.clusters, where, reason, note)
        undone, self.last = replace(undone, cost=self.lookout[region].cost() if region else {}), undone.commit
        unknown = "".join(f"; {problem.what}" for problem in undone.problems)
        self.tell(
            f"has weight 0 in {', '.join(undone.deliveries) or 'no region'} after {undone.seconds:.1f} s{unknown}"
        )
        return self._ended(PromotionState.ROLLED_BACK, reason, undone)

    def _ours(self, tip: str) -> str:
        """The newest commit of ours at a tip: somebody may have merged a step that nobody waits for any more."""
        under_way = self.under_way
        return (under_way and self.ending.landed(under_way[0], tip)) or self.last

    def _conclude(self, state: PromotionState, reason: str, unchanged: Sequence[str] = ()) -> None:
        """Says in Git how it ended, by a commit that changes nothing, or where there is a branch of proposals by a note.

        Args:
            state: As what it ended.
            reason: Why, where it is not done.
            unchanged: The regions that must be as we left them for that.
        """
        if self.record is None:
            return
        if state is PromotionState.ENDED:
            tip = self.ending.tip()
            if self.ending.promoted_since(self._ours(tip), tip):
                # theirs is the newest record, and stays it
                return
        told = replace(self.record, state=state, proof=self.proof, reason=reason)
        called = f"{self.promotion.service} {self.promotion.version}"
        done = state is PromotionState.DONE
        subject = f"{called} is promoted" if done else f"End the promotion of {called}"

        def make(tip: str) -> str:
            if unchanged:
                self.ending.refuse_changed_by_others(self.last, tip, unchanged)
            return self.ending.shifted(tip, {}, message(subject, told))

        self.last = self.ending.placed(make)
        self.ending.say(f"{state}{', noted at' if self.ending.proposal else ' by'} {self.last[:10]}")


@dataclass(frozen=True)
class _Confirmed:
    """What is known of a region: how long the commit took to get there, what was measured, and what was in the way."""

    seconds: float
    delivery: DeliveryTime | None = None
    outcomes: Sequence[Outcome] = ()
    problems: Sequence[Problem] = ()


class _Confirmation:
    """A commit that is followed into regions.

    Attributes:
        stop: Set when nobody waits for it any more.
    """

    def __init__(
        self,
        upstream: Upstream,
        clusters: Clusters,
        commit: str,
        weights: Mapping[str, Mapping[str, int]],
        began: float,
    ) -> None:
        self.stop = threading.Event()
        self._upstream, self._clusters, self._commit = upstream, clusters, commit
        self._weights, self._began = weights, began
        self._missing, self._lock = [*weights], threading.Lock()

    def of(self, region: str) -> _Confirmed:
        """A region's; ends when the region has it and is measured, or it is known why not."""
        upstream, asked = self._upstream, time.monotonic()
        try:
            delivery = upstream.tried(lambda: self._deliver(region, asked))
        except RolloutError as error:
            return _Confirmed(self._seconds, problems=error.problems)
        if isinstance(delivery, Problem):
            return _Confirmed(self._seconds, problems=[delivery])
        seconds = self._seconds
        self._tell(region, seconds)
        try:
            outcomes = upstream.tried(lambda: self._clusters.certify([region], RISK, self.stop, upstream.say))
        except RolloutError as error:
            return _Confirmed(seconds, delivery, problems=error.problems)
        # what could not be measured is not known, which is not the same as wrong
        problems = [problem for outcome in outcomes for problem in outcome.problems]
        return _Confirmed(seconds, delivery, [outcome for outcome in outcomes if outcome.verdict], problems)

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self._began

    def _deliver(self, region: str, asked: float) -> DeliveryTime | Problem:
        if self.stop.is_set():
            return STOPPED
        before = time.monotonic() - asked
        # pods that are not well are no reason to wait: it is from them that the requests are taken
        delivery = self._clusters.deliver(
            region, self._commit, self._weights[region], self._stopped, healthy=False, say=self._upstream.say
        )
        if isinstance(delivery, Problem):
            return delivery
        return replace(delivery, synced=before + delivery.synced, acknowledged=before + delivery.acknowledged)

    def _stopped(self) -> Problem | None:
        return STOPPED if self.stop.is_set() else None

    def _tell(self, region: str, seconds: float) -> None:
        with self._lock:
            self._missing.remove(region)
            missing = f"; not yet in {', '.join(self._missing)}" if self._missing else ""
            self._upstream.say(f"{region}: {percents(self._weights[region])} after {seconds:.1f} s{missing}")


def _proof(look: Look, seconds: float) -> Proof:
    step, proof = look.step, look.seen.proof
    assert proof is not None, "nothing is proven before it is measured"
    where = interval(look)
    return Proof(
        region=step.region,
        version=step.version,
        weight=step.weights[step.version],
        requests=proof.requests,
        share=proof.tally({step.version}).requests / proof.requests,
        interval=(where.low, where.high),
        new=look.new,
        old=look.old,
        old_version=step.old_versions,
        seconds=seconds,
    )


def _undecided(look: Look, rate: float) -> Problem:
    step = look.step
    missing = [
        f"{each.name}: {step.version} {each.new.failures:,} of {each.new.requests:,}, "
        f"{step.old_versions} {each.old.failures:,} of {each.old.requests:,}; {_still_takes(each.requests_to_go, rate)}"
        for each in compared(look, rate)
        if each.is_needed and each.standing is not Standing.HOLDS
    ]
    return Problem(
        f"{step.region}: {step.version} {step.weights[step.version]} % is not proven within {step.terms.longest_seconds} s: "
        f"{'; '.join(missing) or 'its share'}",
        "neither is it shown to be within its margins of the others, nor to be worse",
        "send more requests (--rate) and go on (rollout promote --resume), or take it back (rollout rollback)",
    )


def _still_takes(requests: int | None, rate: float) -> str:
    if requests is None:
        return "while this is so, no number of requests proves it"
    return f"while this is so, it takes some {float(f'{requests:.2g}'):,.0f} requests more, {told_seconds(requests / rate)}"


def _way_back(upstream: Upstream, promotion: Promotion, tip: str, region: str) -> dict[str, int]:
    """The weights of a region once a promotion is taken back, whole percents by version."""
    now = upstream.weights(tip, region)
    before = upstream.weights(promotion.before, region)
    shares = {version: before.get(version, 0) for version in now}
    return shifted(shares, promotion.version, _NO_WEIGHT, rest_to=stable_of(now, upstream.declared(tip, region).stable))


def _refuse_impossible(upstream: Upstream, promotion: Promotion, region: str) -> None:
    weights, last = upstream.weights(promotion.before, region), promotion.steps[-1]
    if promotion.version not in weights:
        raise RolloutError.of(
            f"{region} has no version {promotion.version}; it has: {', '.join(weights)}",
            "a version is there with weight 0 before it gets requests",
            f"write it into the region's stack file with weight 0, render, commit and push; then promote {promotion.version}",
        )
    if (weight := weights[promotion.version]) > last:
        raise RolloutError.of(
            f"{region}: {promotion.version} has weight {weight}, and the last step is {last}",
            "a promotion gives a version more, never less",
            f"take steps beyond {weight}, leave the region out (--regions), or use rollout set",
        )
