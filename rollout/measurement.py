"""What came back from a region: single results, and what they add up to. Nothing here knows a weight."""

from __future__ import annotations

import heapq
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

from pydantic import Field, TypeAdapter, ValidationError

# Echo's whole answer, in names that Kubernetes accepts as label values: `ok` with a 200, `fault` with any other status.
# Anything else was not said by echo.
_ANSWER = re.compile(r"(?P<word>ok|fault) region=(?P<region>[A-Za-z0-9._-]+) version=(?P<version>[A-Za-z0-9._-]+)\s*")

# One line of the probe is a few hundred bytes. Without a bound, a stream that never ends a line would fill the memory.
_LONGEST_LINE_BYTES = 64 * 1024

_SAMPLES_KEPT = 3
_SAMPLE_CHARACTERS = 80


@dataclass(frozen=True)
class Result:
    """One request as the probe reports it.

    Attributes:
        code: HTTP status, 0 when there was no answer.
        body: The answer's body, "" when there was none.
        error: Why there was no answer, or what the client made of a status that is no success; "" when all was well.
        sequence: Its place in the order of sending, from 0; no two of an attack have the same.
        at_ns: When it was sent, in nanoseconds of Unix time by the probe's clock.
    """

    code: int
    body: str
    error: str
    sequence: Annotated[int, Field(validation_alias="seq", ge=0)]
    at_ns: int

    @property
    def failed(self) -> bool:
        """Whether the caller did not get what it asked for: no answer, or one that is not a 200."""
        return self.code != 200 or bool(self.error)


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
    """Who answered, in the answer's own words."""

    region: str
    version: str


@dataclass(frozen=True)
class Tally:
    """Requests counted on the client's side; `failures` are among `requests`."""

    requests: int = 0
    failures: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.requests + other.requests, self.failures + other.failures)


@dataclass(frozen=True)
class Measurement:
    """What a region did with the requests that were sent to it. Every request sent is counted exactly once.

    Except where sending was stopped, because enough was known or because something went wrong: then the first request
    that was under way is not counted, nor any that was sent after it. What is counted is all that was sent until then.

    Attributes:
        region: Name of the region whose client sent the requests.
        planned: How many requests were to be sent at most.
        answered: Requests whose answer named its origin, by origin; a version's own failures (its 5xx) are here.
        unreadable: Requests answered with a 200 whose body is not echo's.
        unanswered: Requests that failed without naming an origin: no answer, or somebody else's error.
        reasons: How many requests failed for which reason, over all origins.
        samples: Up to three of the unreadable bodies, printable.
        seconds: Time from the first request to the end.
        interruption: What went wrong so that sending ended before `planned` was reached; "" when nothing did.
        transitions: How often the second version answered the request sent next after one that the first answered, where
            those that no version of this region answered are passed over.
    """

    region: str
    planned: int
    answered: Mapping[Origin, Tally]
    unreadable: int = 0
    unanswered: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    samples: tuple[str, ...] = ()
    seconds: float = 0.0
    interruption: str = ""
    transitions: Mapping[tuple[str, str], int] = field(default_factory=dict)

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
        """Requests that got no answer or one that is not a 200."""
        return sum(tally.failures for tally in self.answered.values()) + self.unanswered


class Count:
    """Adds a region's results up while they come, in the order of sending; a long attack in parts with one for each part.

    Args:
        region: Name of the region whose client sends the requests.
    """

    def __init__(self, region: str) -> None:
        self.requests = 0
        self._region = region
        self._requests: Counter[Origin] = Counter()
        self._failures: Counter[Origin] = Counter()
        self._reasons: Counter[str] = Counter()
        self._samples: list[str] = []
        self._unreadable = 0
        self._unanswered = 0
        self._transitions: Counter[tuple[str, str]] = Counter()
        self._before: str | None = None

    def add(self, result: Result) -> None:
        """Counts one request, under whoever answered it."""
        self.requests += 1
        origin, failed = _origin(result), result.failed
        if failed:
            self._reasons[_reason(result)] += 1
        if origin is not None:
            self._requests[origin] += 1
            if failed:
                self._failures[origin] += 1
            self._follow(origin)
        elif failed:
            self._unanswered += 1
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
            reasons=dict(self._reasons.most_common()),
            samples=tuple(self._samples),
            seconds=seconds,
            interruption=interruption,
            transitions=dict(self._transitions),
        )

    def _follow(self, origin: Origin) -> None:
        if origin.region != self._region:
            return
        if self._before is not None:
            self._transitions[self._before, origin.version] += 1
        self._before = origin.version


def _origin(result: Result) -> Origin | None:
    """Who answered, None where the answer does not say it as echo does."""
    # what came of an answer that broke off may be the beginning of a longer name
    if result.code == 0 or (result.code == 200 and result.error):
        return None
    answer = _ANSWER.fullmatch(result.body)
    if answer is None or (answer["word"] == "ok") != (result.code == 200):
        return None
    return Origin(answer["region"], answer["version"])


def _reason(result: Result) -> str:
    if result.code not in {0, 200}:
        return f"HTTP {result.code}"
    # Go's errors are chains whose beginning holds addresses and ports of this one connection: the last link is what
    # repeats, and so what can be counted.
    return _printable(result.error.rsplit(": ", 1)[-1]) or "no answer, and no reason given"
