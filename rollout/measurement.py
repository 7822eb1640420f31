"""What came back from a region: single results, and what they add up to. Nothing here knows a weight."""

from __future__ import annotations

import heapq
import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

from pydantic import Field, TypeAdapter, ValidationError

# What Kubernetes accepts as a label's value, and so as the name of a version.
_NAME = r"[A-Za-z0-9._-]+"

# Echo's whole answer: `ok` with a 200, `fault` with any other status. Anything else was not said by echo.
_ANSWER = re.compile(rf"(?P<word>ok|fault) region=(?P<region>{_NAME}) version=(?P<version>{_NAME})\s*")

# One line of the probe is a few hundred bytes. Without a bound, a stream that never ends a line would fill the memory.
_LONGEST_LINE_BYTES = 64 * 1024

_SAMPLES_KEPT = 3
_SAMPLE_CHARACTERS = 80

MOMENT_SECONDS = 0.5
"""How long a moment is, see `Moment`."""

# Classes for each doubling of a latency: neighbours are 9 % apart.
_CLASSES_PER_DOUBLING = 8


@dataclass(frozen=True)
class Result:
    """One request as the probe reports it.

    Attributes:
        code: HTTP status, 0 when no whole answer came.
        body: The beginning of the answer's body, "" when there was none.
        error: Why no whole answer came; for a status of 400 or more its words.
        sequence: Its place in the order of sending, from 0; no two of an attack have the same.
        at_ns: When it was sent, in nanoseconds of Unix time by the probe's clock.
        request: The number of its kind among those of the attack, from 0.
        subset: What the version header says: the subset that the client's proxy chose; "" where there is none.
        upstream: Whether that proxy says that it passed the answer on, so that the answer is not its own.
        latency_ns: How long it took until the whole answer was there, or the error, in nanoseconds.
    """

    code: int
    body: str
    error: str
    sequence: Annotated[int, Field(validation_alias="seq", ge=0)]
    at_ns: int
    request: Annotated[int, Field(ge=0)] = 0
    subset: str = ""
    upstream: bool = False
    latency_ns: Annotated[int, Field(ge=0)] = 0

    @property
    def said(self) -> Origin | None:
        """Who answered in the answer's own words, None where it does not say so as echo does."""
        # what came of an answer that broke off may be the beginning of a longer name
        answer = _ANSWER.fullmatch(self.body) if self.code else None
        if answer is None or (answer["word"] == "ok") != (self.code == 200):
            return None
        return Origin(answer["region"], answer["version"])

    @property
    def chosen(self) -> str | None:
        """The version that was chosen for the request, answered or not; None where the answer has no header that names one."""
        return self.subset if re.fullmatch(_NAME, self.subset) else None


_RESULT = TypeAdapter(Result)


class UnreadableLineError(ValueError):
    """The probe wrote a line that is not a result."""


class ResultLines:
    """Puts results together from a byte stream that is cut anywhere, also within a character."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> Iterator[Result]:
        """Gives the results that `chunk` completes; to be read to its end before the next chunk.

        Raises:
            UnreadableLineError: a complete line is not a result, or a line is longer than 64 KiB. The results before
                it have been given.
        """
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            if line.strip():
                yield _parse(line)
        if len(self._rest) > _LONGEST_LINE_BYTES:
            raise UnreadableLineError(f"a line longer than {_LONGEST_LINE_BYTES} bytes: {_printable(self._rest[:200])}")

    def finish(self) -> None:
        """To be called when the stream has ended.

        Raises:
            UnreadableLineError: the stream ended in the middle of a line.
        """
        if self._rest.strip():
            raise UnreadableLineError(f"an unfinished line: {_printable(self._rest)}")


def _parse(line: bytes) -> Result:
    try:
        return _RESULT.validate_json(line)
    except ValidationError as error:
        raise UnreadableLineError(f"a line that is not a result: {_printable(line)}") from error


def in_order(results: Iterator[Result]) -> Iterator[Result]:
    """Gives an attack's results in the order in which the requests were sent.

    They come in the order in which they were answered: among those that have come at some moment, a version that
    answers late would lack requests. So a request that is under way holds back all that were sent after it, for as
    long as it takes, at most the probe's timeout of 5 s. What is given never has a gap: whoever leaves early, or whose
    results end with an error, has seen nothing of the first request that was under way, nor of those after it.
    """
    held: list[tuple[int, int, Result]] = []
    following = 0
    for came, arrived in enumerate(results):
        heapq.heappush(held, (arrived.sequence, came, arrived))
        while held and held[0][0] <= following:
            sequence, _came, result = heapq.heappop(held)
            following = max(following, sequence + 1)
            yield result
    while held:
        yield heapq.heappop(held)[2]


def _printable(text: bytes | str) -> str:
    """A short form in plain ASCII: what comes over the wire must not reach a terminal with its control characters."""
    decoded = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return decoded[:_SAMPLE_CHARACTERS].encode("unicode_escape").decode("ascii")


class Origin(NamedTuple):
    """Who answered."""

    region: str
    version: str


@dataclass(frozen=True)
class Tally:
    """Requests counted on the client's side; `failures` are among `requests`."""

    requests: int = 0
    failures: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.requests + other.requests, self.failures + other.failures)

    @property
    def part(self) -> float:
        """The part of the requests that failed, 0..1; 0 where there are none."""
        return self.failures / self.requests if self.requests else 0.0


@dataclass(frozen=True)
class Answers:
    """How clients were answered, as far as their Envoys count it.

    Attributes:
        client_errors: Answers with a status of 400 to 499.
        latencies: Answers by the upper bound in ms of their latency's class, also of an empty one. That above all others is infinite;
            Envoy's page leaves out those in it.
        failures: Those of the former whose status is declared a failure.
        by_status: Those of `client_errors` that are counted by their status too, as far as an Envoy's own page tells.
    """

    client_errors: int = 0
    latencies: Mapping[float, int] = field(default_factory=dict)
    failures: int = 0
    by_status: int = 0

    def __add__(self, other: Answers) -> Answers:
        latencies = Counter(self.latencies)
        latencies.update(other.latencies)
        return Answers(
            self.client_errors + other.client_errors,
            latencies,
            self.failures + other.failures,
            self.by_status + other.by_status,
        )

    def since(self, before: Answers) -> Answers:
        """What came since then; all of it where something fell: who counts began anew."""
        errors, failures = self.client_errors - before.client_errors, self.failures - before.failures
        latencies = Counter(self.latencies)
        latencies.subtract(before.latencies)
        return Answers(errors, latencies, failures) if min(errors, failures, 0, *latencies.values()) >= 0 else self

    def slower(self, bound_ms: float) -> int:
        """How many took longer than a class's upper bound."""
        return sum(answers for upper_ms, answers in self.latencies.items() if upper_ms > bound_ms)

    def edges_ms(self, bounds_ms: Sequence[float]) -> tuple[float, ...]:
        """The highest upper bounds of classes that are not above these latencies; equal ones once, none where there is no class."""
        found = (max((each for each in self.latencies if each <= bound), default=None) for bound in bounds_ms)
        return tuple(dict.fromkeys(edge for edge in found if edge is not None))

    def bounds_ms(self, parts: Sequence[float]) -> tuple[float, ...]:
        """The lowest upper bounds that at least these parts of the answers, 0..1, did not exceed; equal ones once, none of no answers."""
        if not (all_of_them := self.slower(0)):
            return ()
        bounds = [each for each in self.latencies if math.isfinite(each)]
        found = (
            min((each for each in bounds if self.slower(each) <= (1 - part) * all_of_them), default=None)
            for part in parts
        )
        return tuple(dict.fromkeys(bound for bound in found if bound is not None))


@dataclass(frozen=True)
class Span:
    """Clients' requests that ended between two looks at counters.

    Attributes:
        seconds: How long it was.
        versions: What each of the service's versions did with the requests that it got.
        answers: How it answered them; nothing of a version, or of any, where that is not counted.
        ejected: The pods that clients leave out at the last of the two looks because they failed, each with how many do.
        overlaps: Whether clients were looked at at different moments, so that one moment may be in this one and in the next.
    """

    seconds: float
    versions: Mapping[str, Tally]
    answers: Mapping[str, Answers] = field(default_factory=dict)
    ejected: Mapping[Host, int] = field(default_factory=dict)
    overlaps: bool = False

    def tally(self, versions: Collection[str]) -> Tally:
        """What these versions did with their requests."""
        return sum((tally for version, tally in self.versions.items() if version in versions), Tally())


class Drawn(NamedTuple):
    """Requests for which a version was chosen in some time, and how many of them were bad in which way.

    Attributes:
        requests: All of them.
        failed: Those with no whole answer, or another status than is expected.
        further: Those that were bad in further ways, in a fixed order: the probe's took longer than each of the bounds.
    """

    requests: int
    failed: int
    further: tuple[int, ...] = ()


NOBODY = ""
"""In place of a version: requests of which nothing says for which one they were."""

Moment = Mapping[str, Drawn]
"""Requests that were sent in the same half second, by the version of the region that was chosen for them, or `NOBODY`."""

Latencies = Mapping[int, int]
"""Requests by the class of their latency: class c is up to 2^(c/8) ms."""


def quantile_ms(latencies: Latencies, part: float) -> float:
    """A latency in ms that at least this part of the requests, 0..1, did not exceed; the upper edge of a class. 0 for none."""
    missing = part * sum(latencies.values())
    for each in sorted(latencies):
        missing -= latencies[each]
        if missing <= 0:
            return _edge_ms(each)
    return 0.0


def part_beyond(latencies: Latencies, bound_ms: float) -> float:
    """Which part of the requests took longer than the upper edge of a class that is next to this, 0..1; 0 for none."""
    edge = round(_CLASSES_PER_DOUBLING * math.log2(bound_ms))
    return sum(requests for each, requests in latencies.items() if each > edge) / max(1, sum(latencies.values()))


def edge_ms(at_least_ms: float) -> float:
    """The lowest upper edge of a class that is not below this."""
    return _edge_ms(_class_of(at_least_ms))


def told_ms(latency_ms: float) -> str:
    """In ms for people, to three digits, as 0.512, 45.3 or 1,230."""
    return f"{float(f'{latency_ms:.3g}'):,g} ms"


def told_seconds(seconds: float) -> str:
    """A time for people, to two digits or a second, as 45 s, 3.5 min or 1,200 h."""
    unit, long = next((each for each in (("h", 3600), ("min", 60)) if seconds >= 2 * each[1]), ("s", 1))
    return f"{float(f'{seconds / long:.2g}') if long > 1 else round(seconds):,g} {unit}"


def together(latencies: Iterable[Latencies]) -> Latencies:
    """The requests of all of them."""
    return sum((Counter(each) for each in latencies), Counter())


def _class_of(latency_ms: float) -> int:
    return math.ceil(_CLASSES_PER_DOUBLING * math.log2(latency_ms))


def _edge_ms(latency_class: int) -> float:
    """The upper edge of a class."""
    return float(2 ** (latency_class / _CLASSES_PER_DOUBLING))


class Host(NamedTuple):
    """A pod of the service, as a client's Envoy knows it: its subset, and its `address:port`."""

    version: str
    address: str


@dataclass(frozen=True)
class Coverage:
    """Whose requests are counted. Clients are pods, as `namespace/name`.

    Attributes:
        counted: The clients whose requests are. A gateway is one also where it has no route to the service.
        silent: Who did not answer the last look, or told its requests without their latency and 4xx; and why. What is missing comes
            with the next answer.
        clients_in_part: Clients that came or went, or were not ready meanwhile: what they sent before the first look at
            them or after the last one is missing.
        hosts_in_part: Pods of the service that an Envoy forgot or counts anew: what they got after the last look is missing.
        gateways: Those of all clients that are gateways, as far as that is known.
    """

    counted: frozenset[str] = frozenset()
    silent: Mapping[str, str] = field(default_factory=dict)
    clients_in_part: frozenset[str] = frozenset()
    hosts_in_part: frozenset[Host] = frozenset()
    gateways: frozenset[str] = frozenset()

    def __str__(self) -> str:
        """For people: how many of the clients are counted, and what is missing."""
        known = self.counted | self.clients_in_part | self.silent.keys()
        counted = known - self.silent.keys()
        ways = (
            {"sidecars": known - self.gateways, "gateways": known & self.gateways}
            if self.gateways
            else {"clients": known}
        )
        told = [f"{' and '.join(_part_of(way, of_way, counted) for way, of_way in ways.items())} are counted"]
        if self.silent:
            pod, why = next(iter(sorted(self.silent.items())))
            told.append(f"{len(self.silent)} could not be asked ({pod}: {why})")
        if in_part := counted & self.clients_in_part:
            told.append(f"{len(in_part)} only in part, having come or gone meanwhile ({min(in_part)})")
        if self.hosts_in_part:
            pods = sorted(f"{host.version} {host.address}" for host in self.hosts_in_part)
            told.append(
                f"{len(pods)} of the service's pods went or restarted: the last requests there are missing ({pods[0]})"
            )
        return "; ".join(told)

    def then(self, later: Coverage) -> Coverage:
        """Of both spans together."""
        return Coverage(
            self.counted | later.counted,
            later.silent,
            self.clients_in_part | later.clients_in_part,
            self.hosts_in_part | later.hosts_in_part,
            self.gateways | later.gateways,
        )


def _part_of(way: str, known: Collection[str], counted: Collection[str]) -> str:
    number = len({*known} & {*counted})
    return f"{number} of {len(known)} {way}" + (f" ({100 * number / len(known):.0f} %)" if known else "")


@dataclass(frozen=True)
class Measurement:
    """What a region did with the requests that were sent to it. Every request sent is counted exactly once.

    Except where sending was stopped, because enough was known or because something went wrong: then the first request
    that was under way is not counted, nor any that was sent after it. What is counted is all that was sent until then.

    Attributes:
        region: Name of the region whose client sent the requests.
        planned: How many requests were to be sent at most.
        answered: Requests whose answer named its origin, by origin; a version's own failures (its 5xx) are here.
        unreadable: Requests answered with an expected status by nobody who is named, neither in the body nor by the header.
        unanswered: Requests that failed without naming an origin: no answer, or somebody else's error.
        mislabelled: Requests that one version was chosen for, by the header, and another one answered, by the body; by both.
        reasons: How many requests failed for which reason, over all origins.
        samples: Up to three of the unreadable bodies, printable.
        seconds: Time from the first request to the end.
        interruption: What went wrong so that sending ended before `planned` was reached; "" when nothing did.
        transitions: How often the second version answered the request sent next after one that the first answered, where
            those that no version of this region answered are passed over.
        by_proxies: Requests that a proxy answered by itself, with an error, after a version was chosen; among that version's failures.
        moments: Requests for which a version of this region was chosen, and those that failed without, in the order of sending.
        latencies: The same by version, and by the class of their latency.
        coverage: Whose requests they are, where clients' Envoys counted them; then nothing is known of their order or latency.
    """

    region: str
    planned: int
    answered: Mapping[Origin, Tally]
    unreadable: int = 0
    unanswered: int = 0
    mislabelled: Mapping[tuple[str, str], int] = field(default_factory=dict)
    reasons: Mapping[str, int] = field(default_factory=dict)
    samples: tuple[str, ...] = ()
    seconds: float = 0.0
    interruption: str = ""
    transitions: Mapping[tuple[str, str], int] = field(default_factory=dict)
    by_proxies: int = 0
    moments: tuple[Moment, ...] = ()
    latencies: Mapping[str, Latencies] = field(default_factory=dict)
    coverage: Coverage | None = None

    def tally(self, versions: Collection[str]) -> Tally:
        """What these versions of the region did with their requests."""
        return sum((tally for version, tally in self.versions.items() if version in versions), Tally())

    @property
    def versions(self) -> Mapping[str, Tally]:
        """What the region's own versions answered, by version; those that answered nothing are missing."""
        return {origin.version: tally for origin, tally in self.answered.items() if origin.region == self.region}

    @property
    def requests(self) -> int:
        """Requests sent, whatever became of them."""
        return sum(tally.requests for tally in self.answered.values()) + self.unreadable + self.unanswered

    @property
    def failures(self) -> int:
        """Requests that got no answer, or one whose status is not expected."""
        return sum(tally.failures for tally in self.answered.values()) + self.unanswered


class Count:
    """Adds a region's results up while they come, in the order of sending; a long attack in parts with one for each part.

    An answer in echo's own words was given by the version that it names. Another one counts for the version that the version
    header names, in this region: a proxy's own error as a failure of the version that was chosen.

    Args:
        region: Name of the region whose client sends the requests.
        expected: The statuses that are a success, by kind of request.
        bounds_ms: What takes longer is slow: latencies in ms.
    """

    def __init__(
        self, region: str, expected: Sequence[Collection[int]] = ((200,),), bounds_ms: Sequence[float] = ()
    ) -> None:
        self.requests = 0
        self._region = region
        self._expected = expected
        self._bounds_ns = [bound * 1e6 for bound in bounds_ms]
        self._moments: list[Moment] = []
        self._moment: dict[str, list[int]] = {}
        self._moment_began = 0
        self._latencies: dict[str, Counter[int]] = {}
        self._requests: Counter[Origin] = Counter()
        self._failures: Counter[Origin] = Counter()
        self._mislabelled: Counter[tuple[str, str]] = Counter()
        self._reasons: Counter[str] = Counter()
        self._samples: list[str] = []
        self._unreadable = 0
        self._unanswered = 0
        self._by_proxies = 0
        self._transitions: Counter[tuple[str, str]] = Counter()
        self._before: str | None = None

    def add(self, result: Result) -> None:
        """Counts one request, under whoever answered it."""
        self.requests += 1
        origin, chosen = result.said, result.chosen
        failed = result.code not in self._expected[result.request]
        if failed:
            self._reasons[_reason(result)] += 1
        if origin and chosen and chosen != origin.version:
            self._mislabelled[chosen, origin.version] += 1
        if origin is None and chosen and (result.upstream or failed):
            origin = Origin(self._region, chosen)
            self._by_proxies += not result.upstream
        if origin is not None:
            self._requests[origin] += 1
            if failed:
                self._failures[origin] += 1
            if origin.region == self._region:
                self._follow(origin.version)
                self._draw(result, chosen or origin.version, failed=failed)
        elif failed:
            self._unanswered += 1
            self._draw(result, NOBODY, failed=True)
        else:
            self._unreadable += 1
            if len(self._samples) < _SAMPLES_KEPT:
                self._samples.append(_printable(result.body))

    def measurement(self, *, planned: int, seconds: float, interruption: str = "") -> Measurement:
        """The sum so far, frozen."""
        return Measurement(
            region=self._region,
            planned=planned,
            answered={
                origin: Tally(requests, self._failures[origin]) for origin, requests in sorted(self._requests.items())
            },
            unreadable=self._unreadable,
            unanswered=self._unanswered,
            mislabelled=dict(sorted(self._mislabelled.items())),
            reasons=dict(self._reasons.most_common()),
            samples=tuple(self._samples),
            seconds=seconds,
            interruption=interruption,
            transitions=dict(self._transitions),
            by_proxies=self._by_proxies,
            moments=(*self._moments, *([self._drawn()] if self._moment else ())),
            latencies={version: dict(latencies) for version, latencies in self._latencies.items()},
        )

    def _follow(self, version: str) -> None:
        if self._before is not None:
            self._transitions[self._before, version] += 1
        self._before = version

    def _draw(self, result: Result, version: str, *, failed: bool) -> None:
        began = int(result.at_ns / (MOMENT_SECONDS * 1e9))
        if began != self._moment_began and self._moment:
            self._moments.append(self._drawn())
            self._moment = {}
        self._moment_began = began
        counts = self._moment.setdefault(version, [0, 0, *(0 for _ in self._bounds_ns)])
        counts[0] += 1
        counts[1] += failed
        for place, bound in enumerate(self._bounds_ns, start=2):
            counts[place] += result.latency_ns > bound
        self._latencies.setdefault(version, Counter())[_class_of(max(result.latency_ns, 1) / 1e6)] += 1

    def _drawn(self) -> Moment:
        """The moment so far."""
        return {
            version: Drawn(requests, failures, tuple(slow))
            for version, (requests, failures, *slow) in self._moment.items()
        }


def _reason(result: Result) -> str:
    if result.code:
        own = f" by a proxy, for {result.chosen}" if result.chosen and not result.upstream else ""
        return f"HTTP {result.code}{own}"
    # Go's errors are chains whose beginning holds addresses and ports of this one connection: the last link is what
    # repeats, and so what can be counted.
    return _printable(result.error.rsplit(": ", 1)[-1]) or "no answer, and no reason given"
