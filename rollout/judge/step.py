"""Is a step of a promotion well? What was measured while it came and after, held against what was to be. Pure.

The new version and the others are compared over the same requests: see `rollout.judge.comparison`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from operator import add
from typing import TYPE_CHECKING, NamedTuple

from rollout.judge.checks import (
    UNANSWERED_ROW,
    Deviation,
    Kind,
    independent,
    nothing_lost,
    reasons,
    shares_match,
    split_standing,
)
from rollout.judge.comparison import (
    Evidence,
    Margin,
    Sample,
    bounds,
    expected_requests,
    is_within,
    log_evidence,
    smallest_found,
)
from rollout.judge.shares import DEFAULT_MOST, RISK, Interval, Standing, share_interval, version_risk
from rollout.measurement import (
    NOBODY,
    Answers,
    Drawn,
    Host,
    Latencies,
    Measurement,
    Moment,
    Span,
    Tally,
    edge_ms,
    part_beyond,
    quantile_ms,
    told_ms,
)
from rollout.terms import LATENCIES, SLOW, UNANSWERED, Terms
from rollout.weights import ALL, routed

if TYPE_CHECKING:
    from rollout.judge.comparison import Array

MOST_REQUESTS = DEFAULT_MOST
"""A share that is not known after so many requests is too near the edge of what is allowed: as `rollout verify` has it."""

_MOMENTS_OF_A_STALL = 4
"""Two seconds: several times as long as a version stands still that lost its processor to others. See `bench/judge.py`."""

_ATTEMPTS = 3
"""Of a request, at most, where nothing is set: the first one and Istio's two retries, each of which a client's Envoy counts."""

_RESTARTS = 2
"""Ends of the new version's containers that accuse it. A single one may be the machine's doing: of two versions of one image, the first
to end is the new one half of the time."""

_LONG_SECONDS = 120.0
"""A pod of the new version that is out so long accuses it. The kubelet has ended a container that hangs sooner (three probes in 30 s, and
30 s of grace). What is ejected once is tried again after 30 s, and is out longer only if it fails again."""

_CLIENTS = 2
"""So many must have ejected it: what one client alone finds may be its own network, or a tester's requests."""

MANY = 1_000
"""Requests of which the part that is bad is known well enough to say what is usual."""

_OF_STEP = 4 + 2 * (1 + len(LATENCIES)) + (2 + len(LATENCIES))
"""The tests of a step: shares, independence, unanswered requests in two windows; of the probe's failures and of each latency whether the
new version is worse, and whether it is within its margin; of clients' failures, 4xx and each latency whether it is worse."""

_OF_REGION = 4
"""The tests of a region before another one begins: shares, independence, unanswered requests, failures."""


def risk_of_each(steps: int, regions: int) -> float:
    """What each test of a promotion may risk, so that all of them together risk `RISK` (union bound).

    Args:
        steps: How many each region takes.
        regions: How many there are.
    """
    return RISK / (regions * (steps * _OF_STEP + (regions + 1) * _OF_REGION))


@dataclass(frozen=True)
class Bound:
    """A latency in ms beyond which a request is slow, and which part of the others' requests usually is, 0..1; if it is declared."""

    ms: float
    usual: float
    is_declared: bool = False

    @classmethod
    def of(cls, latencies: Latencies, declared: Sequence[float] = ()) -> tuple[Bound, ...]:
        """Those that are declared, if any; else one for each of `LATENCIES`, by those of the old versions."""
        edges = [edge_ms(SLOW * quantile_ms(latencies, part)) for part in LATENCIES] if latencies else []
        return tuple(cls(edge, part_beyond(latencies, edge), bool(declared)) for edge in declared or edges)

    def told(self, place: int) -> str:
        """For people, with what it is taken from: a bound that is not declared is that of the part in this place of `LATENCIES`."""
        if self.is_declared:
            return f"{self.ms:,g} ms (declared)"
        return f"{told_ms(self.ms)} ({SLOW:g} x p{100 * LATENCIES[place]:.0f})"

    def margin(self, terms: Terms) -> Margin:
        """How often the new version may be slow. A declared one may be so high that nobody is: then only points can be proven."""
        return Margin(ratio=terms.ratio, points=terms.points / 100 if self.is_declared else 0)


@dataclass(frozen=True)
class Step:
    """What a region is to do.

    Attributes:
        region: Its name.
        version: The new one.
        weights: What the shares are held against, whole percents by version.
        before: The weights from before the step.
        bounds: What is slow, as many as `LATENCIES` at most; none where the others' latencies are not known and none is declared.
        terms: What the versions are held against.
        risk: How often each test may be wrong, at most.
        usual: The part of the requests that failed before, 0..1: for where the others have none that could be compared.
        has_testers: Whether a header asks for the new version: then other clients' requests to it were not all drawn.
    """

    region: str
    version: str
    weights: Mapping[str, int]
    before: Mapping[str, int]
    bounds: tuple[Bound, ...] = ()
    terms: Terms = field(default_factory=Terms)
    risk: float = RISK
    usual: float = 0.0
    has_testers: bool = False

    @property
    def is_alone(self) -> bool:
        """Whether the new version gets all requests, so that no other one can be compared with it."""
        return self.weights[self.version] == ALL

    @property
    def old_versions(self) -> str:
        """The names of the others that have requests, for people; of all others where none has."""
        others = [version for version in self.weights if version != self.version]
        return "+".join([version for version in others if self.weights[version] or self.before.get(version)] or others)

    @property
    def share(self) -> float:
        """The new version's, 0..1."""
        return self.weights[self.version] / 100

    @property
    def highest_share(self) -> float:
        """The new version's while the step comes, at most, 0..1."""
        return max(self.before.get(self.version, 0), self.weights[self.version]) / 100

    @property
    def measures(self) -> tuple[Measure, ...]:
        """In what the versions are compared: failures first."""
        points = self.terms.points / 100
        if self.is_alone:
            return (Measure("failed, nothing to compare with", Margin(points=min(1.0, points + self.usual)), 0),)
        return (
            Measure("failed", Margin(points=points), 0),
            *(_slower(bound, place, self.terms) for place, bound in enumerate(self.bounds)),
        )


@dataclass(frozen=True)
class Measure:
    """A way for a request to be bad.

    Attributes:
        name: For people, of requests.
        margin: How much worse the new version may be.
        place: Which of the counts of `Drawn` after that of all requests: 0 the failed ones, then the further ones.
        usual: Which part of the old version's requests is, 0..1; None where that is not known beforehand.
    """

    name: str
    margin: Margin
    place: int
    usual: float | None = None

    @property
    def together(self) -> bool:
        """Whether the requests of a moment are one observation: a busy machine makes many of them slow at once, of any version."""
        return self.usual is not None


@dataclass(frozen=True)
class Comparison:
    """The new version beside the others, in one measure, over the same requests.

    Attributes:
        name: The measure's.
        new: The new version's requests, and the bad ones among them.
        old: The others'.
        most: The most by which the new version's part of bad requests is above what the margin's ratio allows, 0..1; None where only
            an alarm watches.
        allowed: What the margin allows of that, 0..1.
        is_needed: Whether the step waits for the proof; otherwise it is only watched for what is worse.
        worse: Whether it is shown to be worse than the others at all.
        is_watched: Whether an alarm watches; not where somebody chose who gets the new version.
        found_from: From which part of bad ones on (0..1) the alarm finds the new version, about every other time, in as many
            requests; None where a proof is needed, or where these are too few.
        requests_to_go: About how many more requests prove it if either version stays as bad as it is; 0 where it is proven or not
            needed, None where no number does.
        alone_seconds: About how long these clients alone would take to prove it, if both versions are as bad as they are together;
            None where no time is enough, and for the probe's requests.
    """

    name: str
    new: Tally
    old: Tally
    most: float | None
    allowed: float
    is_needed: bool
    worse: bool
    is_watched: bool = True
    found_from: float | None = None
    requests_to_go: int | None = 0
    alone_seconds: float | None = None

    @property
    def standing(self) -> Standing:
        """Whether it is proven to be within its margin."""
        return Standing.HOLDS if self.most is not None and self.most <= self.allowed else Standing.NOT_YET_KNOWN


@dataclass(frozen=True)
class Observation:
    """What was measured of a step; each request is in one of the two.

    Attributes:
        coming: Until all Envoys had acknowledged it, and a second more: the old split and the new one.
        proof: Since then; None while it is not acknowledged.
        clients: What all other clients got since the step began, as their Envoys count it: what ended between two readings.
        clients_before: How versions had answered these before, at any time, as far as that is known.
        restarts: Why containers ended and were started again within the last ten minutes, by version.
        not_ready: For how many seconds containers that were ready are not, by version, while no other version had such ones.
    """

    coming: Measurement
    proof: Measurement | None = None
    clients: tuple[Span, ...] = ()
    clients_before: Mapping[str, Answers] = field(default_factory=dict)
    restarts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    not_ready: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def tally(self, versions: Collection[str]) -> Tally:
        """What these versions of the region did with all the requests that they got."""
        return self.coming.tally(versions) + (self.proof.tally(versions) if self.proof else Tally())


@dataclass(frozen=True)
class Look:
    """A step, and what was measured of it until a moment. What several of its tests need is counted once.

    Attributes:
        step: The step.
        seen: What was measured of it.
    """

    step: Step
    seen: Observation

    @property
    def new(self) -> Tally:
        """The new version's requests since the step began."""
        return self.seen.tally({self.step.version})

    @property
    def old(self) -> Tally:
        """The others' requests since the step began."""
        return self.seen.tally({*self.step.weights} - {self.step.version})

    @cached_property
    def windows(self) -> _Windows:
        """The probe's requests."""
        step, seen, measures = self.step, self.seen, len(self.step.measures)
        return _Windows(
            # an upper bound of the share at each moment is enough to say that a version is worse
            _Window.of(step, seen.coming.moments, step.highest_share, measures),
            _Window.of(step, seen.proof.moments if seen.proof else (), step.share, measures),
        )

    @cached_property
    def clients(self) -> _Clients:
        """The requests of all other clients."""
        return _clients(self.step, self.seen)


def doubt(look: Look, *, proven: bool) -> str | None:
    """Why a step is not well, in a sentence; None while there is nothing to say against it.

    It may be asked at any time: each of the tests is valid however often it is.

    Args:
        look: The step, and what was measured of it.
        proven: Whether its shares were proven before: then they need not be proven again, but can be found off.
    """
    return (
        new_one_is_worse(look)
        or somebody_else_answered(look)
        or _share_is_off(look.step, look.seen, proven=proven)
        or _pods(look.step, look.seen)
    )


def new_one_is_worse(look: Look) -> str | None:
    """That the new version is shown to be worse than the others by more than a margin, in a sentence; None while it is not."""
    for measure in look.step.measures:
        if _is_beyond(look, measure, measure.margin):
            return _worse(look, measure)
    return _clients_are_worse_off(look)


def _pods(step: Step, seen: Observation) -> str | None:
    """That pods of the new version end or are out again and again, or for long, while those of the others do not and are not."""
    # what ends both, or ends one and takes the other out, may have one cause
    if any(why for version, why in seen.restarts.items() if version != step.version):
        return None
    reasons = Counter(seen.restarts.get(step.version, ()))
    if reasons.total() >= _RESTARTS:
        told = ", ".join(f"{count} x {reason or 'no reason given'}" for reason, count in reasons.most_common())
        return f"containers of {step.version} ended within ten minutes: {told}; of {step.old_versions} none"
    if long := [seconds for seconds in seen.not_ready.get(step.version, ()) if seconds >= _LONG_SECONDS]:
        told = f"{len(long)}, for {max(long):.0f} s"
        return f"pods of {step.version} that were ready are not ready: {told}; of {step.old_versions} none"
    return _ejected(step, seen.clients)


def _ejected(step: Step, looks: Sequence[Span]) -> str | None:
    """That clients leave out the same pod of the new version at all looks for long, and no pod of the others."""
    out: set[Host] | None = None
    seconds = 0.0
    for look in reversed(looks):
        found = {host for host, clients in look.ejected.items() if clients >= _CLIENTS}
        out = found if out is None else out & found
        if not out or any(host.version != step.version for host in look.ejected):
            break
        if seconds >= _LONG_SECONDS:
            pods = ", ".join(sorted(host.address for host in out))
            return (
                f"clients have ejected pods of {step.version} for {seconds:.0f} s: {pods}; of {step.old_versions} none"
            )
        if look.seconds >= _LONG_SECONDS:
            # nobody looked before it
            break
        seconds += look.seconds
    return None


def somebody_else_answered(look: Look) -> str | None:
    """That requests were lost, or went where they should not, in a sentence; None while none was."""
    step, seen = look.step, look.seen
    now = routed(step.weights)
    for window, weights in ((seen.coming, routed(step.before) | now), (seen.proof, now)):
        if window and (lost := nothing_lost(window, weights, partial(nearly_all_answered, risk=step.risk))):
            return lost[0].text
    return None


def nearly_all_answered(measurement: Measurement, risk: float = RISK) -> tuple[Deviation, ...]:
    """It is not shown that more than one request in 10,000 is answered by nobody. What versions make of theirs, others compare."""
    if not measurement.unanswered:
        return ()
    samples = [
        Sample(
            1.0, sum(drawn.requests for drawn in moment.values()), moment[NOBODY].failed if NOBODY in moment else 0, 0
        )
        for moment in measurement.moments
    ]
    if log_evidence(samples, Margin(points=UNANSWERED), together=False) < -math.log(risk):
        return ()
    text = (
        f"{measurement.unanswered:,} of {measurement.requests:,} requests were answered by nobody, where "
        f"{UNANSWERED:.2%} are allowed (all failures: {reasons(measurement)})"
    )
    return (Deviation(Kind.FAILED, UNANSWERED_ROW, text),)


def compared(look: Look, rate: float) -> tuple[Comparison, ...]:
    """The new version beside the others in each measure.

    Args:
        look: The step, and what was measured of it.
        rate: Requests a second.
    """
    step, windows, clients = look.step, look.windows, look.clients
    found = []
    for measure in step.measures:
        needed = _is_needed(look, measure, rate)
        most = bounds(windows.proof.pooled(measure), measure.margin.ratio, step.risk).high
        missing = needed and most > measure.margin.points
        found.append(
            Comparison(
                measure.name,
                *_bad(windows, measure),
                most,
                measure.margin.points,
                is_needed=needed,
                worse=not step.is_alone and _is_beyond(look, measure, Margin()),
                found_from=None if needed else windows.proof.found_from(measure, step.risk),
                requests_to_go=windows.proof.requests_to_go(measure, step.risk) if missing else 0,
            )
        )
    for measure in clients.measures:
        found.append(
            Comparison(
                f"{measure.name} of other clients",
                *clients.tallies(measure),
                None,
                measure.margin.points,
                is_needed=False,
                worse=clients.is_beyond(measure, Margin(), step.risk),
                is_watched=bool(clients.counted.share),
                found_from=clients.found_from(measure, step.risk),
                alone_seconds=clients.alone_seconds(measure, step.risk),
            )
        )
    return tuple(found)


def is_proven(look: Look, rate: float) -> bool:
    """Whether the shares are what they are to be, and the new version is within its margins of the others, at the declared risk.

    Args:
        look: The step, and what was measured of it.
        rate: Requests a second.
    """
    # how many requests a proof takes is worked out only where there is none yet
    return split_is_proven(look) and all(
        is_within(look.windows.proof.pooled(measure), measure.margin, look.step.risk)
        or not _is_needed(look, measure, rate)
        for measure in look.step.measures
    )


def split_is_proven(look: Look) -> bool:
    """Whether the shares are what they are to be, at the declared risk."""
    step, seen = look.step, look.seen
    return seen.proof is not None and split_standing(seen.proof, step.weights, step.risk) is Standing.HOLDS


def interval(look: Look) -> Interval:
    """Where the new version's share can be, at the risk of a verdict."""
    step, seen = look.step, look.seen
    if seen.proof is None or not seen.proof.requests:
        return Interval(0.0, 1.0)
    count = seen.proof.tally([step.version]).requests
    weight = step.weights[step.version]
    return share_interval(count, seen.proof.requests, weight, version_risk(step.weights, step.risk))


def _slower(bound: Bound, place: int, terms: Terms) -> Measure:
    return Measure(f"slower than {bound.told(place)}", bound.margin(terms), 1 + place, usual=bound.usual)


def _often(step: Step, measure: Measure) -> str:
    """How often the new version may be slow, in words."""
    more = f" plus {step.terms.points:g} points" if measure.margin.points else ""
    return f"more than {step.terms.ratio:g} times as often as {step.old_versions}{more}"


@dataclass(frozen=True)
class _Window:
    """What was drawn in a window, a row a moment.

    Attributes:
        share: The new version's, above 0 and at most 1, or an upper bound of it; 0 where it has none: then nothing is compared.
        counts: By moment, by the new version and the others, all their requests and the bad ones in each measure.
        of_a_stall: How many moments are longer than a stall.
    """

    share: float
    counts: Array
    of_a_stall: int

    @classmethod
    def of(
        cls,
        step: Step,
        moments: Sequence[Moment],
        share: float,
        measures: int,
        of_a_stall: int = _MOMENTS_OF_A_STALL,
    ) -> _Window:
        """Counts each moment once, for this many of the step's measures."""
        import numpy as np  # noqa: PLC0415 - most commands judge nothing, and NumPy takes a while

        nothing = (0,) * (1 + measures)
        rows = []
        for moment in moments:
            new = old = nothing
            for version, drawn in moment.items():
                counts = (drawn.requests, drawn.failed, *drawn.further)[: 1 + measures]
                if version == step.version:
                    new = counts
                elif version in step.weights:
                    old = tuple(map(add, old, counts))
            rows.append((new, old))
        return cls(share, np.array(rows, dtype=float).reshape(-1, 2, 1 + measures), of_a_stall)

    def samples(self, measure: Measure) -> tuple[Array, Array, Array]:
        """All requests of each sample, the bad ones of the new version, and those of the others. A moment is a sample, or a stall is."""
        counts = self.counts if self.share else self.counts[:0]
        if measure.together:
            whole = counts[: len(counts) // self.of_a_stall * self.of_a_stall]
            counts = whole.reshape(-1, self.of_a_stall, *counts.shape[1:]).sum(axis=1)
        bad = counts[:, :, 1 + measure.place]
        return counts[:, :, 0].sum(axis=1), bad[:, 0], bad[:, 1]

    def pooled(self, measure: Measure) -> list[Sample]:
        """Its samples in one; none where there are none."""
        requests, new, old = self.samples(measure)
        return [Sample(self.share, requests.sum(), new.sum(), old.sum())] if len(requests) else []

    def tallies(self, measure: Measure) -> tuple[Tally, Tally]:
        """Of the new version, and of the others: all requests, and the bad ones."""
        new, old = self.counts.sum(axis=0)[:, [0, 1 + measure.place]].astype(int).tolist()
        return Tally(*new), Tally(*old)

    def found_from(self, measure: Measure, risk: float, attempts: int = 1, tests: int = 1) -> float | None:
        """From which part of bad ones on an alarm finds the new version in these samples, about every other time.

        Args:
            measure: In what.
            risk: The alarm's.
            attempts: By what the samples' counts are divided.
            tests: How many take turns with the samples, each with its part of the risk.
        """
        requests, *_ = self.samples(measure)
        _, old = self.tallies(measure)
        if not (0 < self.share < 1 and old.requests and requests.any()):
            return None
        each = requests.mean() / attempts
        return smallest_found(
            self.share,
            old.part,
            each * len(requests) / tests,
            measure.margin,
            risk / tests,
            sample=each,
            together=measure.together,
        )

    def requests_to_go(self, measure: Measure, risk: float) -> int | None:
        """About how many more requests prove that the new version is within its margin, if either version stays as bad as it is."""
        new, old = self.tallies(measure)
        if not self.share:
            return None
        expected = expected_requests(self.share, new.part, old.part, measure.margin, risk)
        return None if expected is None else max(0, expected - new.requests - old.requests)


class _Windows(NamedTuple):
    """Those of `Observation`."""

    coming: _Window
    proof: _Window


@dataclass(frozen=True)
class _Clients:
    """What other clients got, and in what it is compared. A span between two looks is a moment, longer than a stall.

    Attributes:
        counted: Their requests since the step began.
        timed: Those of them whose latency is known.
        measures: Failures first; 4xx where these are counted, and being slower than each bound where latencies are.
        overlap: Whether a moment may be in two spans, one after the other.
        seconds: How long they were counted.
    """

    counted: _Window
    timed: _Window
    measures: tuple[Measure, ...]
    overlap: bool
    seconds: float

    def is_beyond(self, measure: Measure, margin: Margin, risk: float) -> bool:
        """Whether the new version is shown to be worse than a margin allows."""
        window = self._window(measure)
        if not window.share:
            return False
        # all attempts of a request go to one version: the product to the power of 1/n is that of the requests, or less (Jensen)
        samples = [counts / _ATTEMPTS for counts in window.samples(measure)]
        tests = self._tests(measure)
        return any(
            self._evidence(measure, margin, window.share, [counts[first::tests] for counts in samples])
            >= -math.log(risk / tests)
            for first in range(tests)
        )

    def found_from(self, measure: Measure, risk: float) -> float | None:
        """From which part of bad ones on the new version is found, about every other time."""
        return self._window(measure).found_from(measure, risk, _ATTEMPTS, self._tests(measure))

    def alone_seconds(self, measure: Measure, risk: float) -> float | None:
        """About how long the proof would take by these requests alone, if both versions are as bad as they are together."""
        window = self._window(measure)
        new, old = self.tallies(measure)
        both = new + old
        if not (window.share and both.requests):
            return None
        expected = expected_requests(window.share, both.part, both.part, measure.margin, risk)
        return None if expected is None else expected / both.requests * self.seconds

    def _tests(self, measure: Measure) -> int:
        """A stall that is in two spans is in one of every other: these are a test of their own."""
        return 2 if measure.together and self.overlap else 1

    @staticmethod
    def _evidence(measure: Measure, margin: Margin, share: float, samples: Sequence[Array]) -> float:
        evidence = Evidence(margin, together=measure.together)
        evidence.add_many(share, *samples)
        return evidence.log

    def tallies(self, measure: Measure) -> tuple[Tally, Tally]:
        """Of the new version, and of the others: all requests of which it is known, and the bad ones."""
        return self._window(measure).tallies(measure)

    def _window(self, measure: Measure) -> _Window:
        return self.timed if measure.together else self.counted


def _clients(step: Step, seen: Observation) -> _Clients:
    """Compares them in no measure in which nothing is known of a request."""
    points = Margin(points=step.terms.points / 100)
    usual = sum((seen.clients_before[old] for old in seen.clients_before.keys() - {step.version}), Answers())
    bounds_ms = usual.bounds_ms(LATENCIES)
    if declared := [bound.ms for bound in step.bounds if bound.is_declared]:
        edges_ms = (edge for span in seen.clients for each in span.answers.values() for edge in each.latencies)
        # all proxies have the same classes, whatever they counted
        bounds_ms = Answers(latencies=dict.fromkeys(edges_ms, 0)).edges_ms(declared)
    counted, timed = [], []
    for span in seen.clients:
        answers = {
            version: span.answers.get(version, Answers()) for version in span.versions.keys() | span.answers.keys()
        }
        counted.append({name: _drawn(span.versions.get(name, Tally()), each) for name, each in answers.items()})
        timed.append(
            {name: Drawn(each.slower(0), 0, (*map(each.slower, bounds_ms),)) for name, each in answers.items()}
        )
    # what the weights did not draw, or what went to one version alone, is not compared
    share = 0.0 if step.is_alone or step.has_testers else step.highest_share
    failed = _Window.of(step, counted, share, 2, of_a_stall=1)
    slow = _Window.of(step, timed, share, 1 + len(bounds_ms), of_a_stall=1)
    measures: list[Measure] = []
    if failed.counts[:, :, 0].any():
        measures.append(Measure("failed", points, 0))
        if any(span.answers for span in seen.clients):
            measures.append(Measure("answered with 4xx", points, 1))
    if slow.counts[:, :, 0].any():
        for place, bound_ms in enumerate(bounds_ms, start=1):
            bound = Bound(bound_ms, usual.slower(bound_ms) / max(1, usual.slower(0)), bool(declared))
            measures.append(Measure(f"slower than {bound_ms:g} ms", bound.margin(step.terms), place, usual=bound.usual))
    return _Clients(
        failed,
        slow,
        tuple(measures),
        overlap=any(span.overlaps for span in seen.clients),
        seconds=sum(span.seconds for span in seen.clients),
    )


def _drawn(tally: Tally, answers: Answers) -> Drawn:
    # what a pod got that an Envoy forgot is among the answers only
    requests = max(tally.requests, tally.failures, answers.client_errors, answers.slower(0))
    return Drawn(requests, tally.failures, (answers.client_errors,))


def _is_beyond(look: Look, measure: Measure, margin: Margin) -> bool:
    """Whether the new version is shown to be worse than a margin allows, by all requests of the probe since the step began."""
    evidence = Evidence(margin, together=measure.together)
    for window in look.windows:
        if window.share:
            evidence.add_many(window.share, *window.samples(measure))
    return evidence.log >= -math.log(look.step.risk)


def _bad(windows: _Windows, measure: Measure) -> tuple[Tally, Tally]:
    (new, old), (more, more_old) = (window.tallies(measure) for window in windows)
    return new + more, old + more_old


def _clients_are_worse_off(look: Look) -> str | None:
    """In what the new version is worse to its other clients; None while it is not shown, and where no other version has requests."""
    step, clients = look.step, look.clients
    for measure in clients.measures:
        if clients.is_beyond(measure, measure.margin, step.risk):
            new, old = clients.tallies(measure)
            counted = (
                f"{new.failures:,} of {new.requests:,} requests, against {old.failures:,} of {old.requests:,} in the same time, "
                f"as their Envoys count them (false-alarm rate of a run ≤ {RISK:.1%})"
            )
            if measure.together:
                return f"{step.version} is {measure.name} for clients {_often(step, measure)}: {counted}"
            does, points = ("fails clients", "answers clients with 4xx")[measure.place], f"{step.terms.points:g} points"
            return f"{step.version} {does} more often than {step.old_versions}, by more than {points}: {counted}"
    return None


def _is_needed(look: Look, measure: Measure, rate: float) -> bool:
    """Failures always; a latency where its proof can be expected in half of the longest time, by how many are slow now."""
    if measure.usual is None:
        return True
    step = look.step
    new, old = look.windows.proof.tallies(measure)
    now = new + old
    usual = now.part if now.requests >= MANY else measure.usual
    needed = expected_requests(step.share, usual, usual, measure.margin, step.risk)
    return needed is not None and needed <= rate * step.terms.longest_seconds / 2


def _worse(look: Look, measure: Measure) -> str:
    step, seen = look.step, look.seen
    new, old = _bad(look.windows, measure)
    beside = f"{old.failures:,} of {old.requests:,} in the same time"
    risk = f"false-alarm rate of a run ≤ {RISK:.1%}"
    if measure.usual is not None:
        return (
            f"{step.version} is slow {_often(step, measure)}: "
            f"{new.failures:,} of {new.requests:,} requests {measure.name}, against {beside} ({risk})"
        )
    why = reasons(seen.coming if seen.proof is None else seen.proof) or reasons(seen.coming)
    if step.is_alone:
        beside = f"{step.usual:.2%} of those of {step.old_versions} before, which has none now"
    return (
        f"{step.version} fails more often than {step.old_versions}, by more than {step.terms.points:g} points: "
        f"{new.failures:,} of {new.requests:,} requests, against {beside} ({why}; {risk})"
    )


def _most_requests(risk: float) -> float:
    """So many prove a right share, whatever the risk, as seldom not as `DEFAULT_MOST` do at the risk of a single verdict."""
    return MOST_REQUESTS * math.log(2 / risk) / math.log(2 / RISK)


def _share_is_off(step: Step, seen: Observation, *, proven: bool) -> str | None:
    if seen.proof is None:
        return None
    if off := independent(seen.proof, step.weights, step.risk) or shares_match(seen.proof, step.weights, step.risk):
        return next((each for each in off if each.row == step.version), off[0]).text
    requests = seen.proof.requests
    if (
        proven
        or requests < _most_requests(step.risk)
        or split_standing(seen.proof, step.weights, step.risk) is Standing.HOLDS
    ):
        return None
    percent = 100 * seen.proof.tally([step.version]).requests / requests
    return (
        f"{step.version} got {percent:.1f} % of {requests:,} requests where its weight is {step.weights[step.version]}: "
        "too near the edge of what is allowed to be told from it"
    )
