"""What came back from a region: single results, and what they add up to. Nothing here knows a weight."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pydantic import TypeAdapter, ValidationError

# Echo's whole answer, in names that Kubernetes accepts as label values. Anything else with a 200 was not said by echo.
_ANSWER = re.compile(r"ok region=(?P<region>[A-Za-z0-9._-]+) version=(?P<version>[A-Za-z0-9._-]+)\s*")

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
    """

    code: int
    body: str
    error: str

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


def _printable(text: bytes | str) -> str:
    """A short form in plain ASCII: what comes over the wire must not reach a terminal with its control characters."""
    decoded = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return decoded[:_SAMPLE_CHARACTERS].encode("unicode_escape").decode("ascii")


@dataclass(frozen=True, order=True)
class Origin:
    """Who answered, in the answer's own words."""

    region: str
    version: str


@dataclass(frozen=True)
class Tally:
    """Requests counted on the client's side; `failures` are among `requests`."""

    requests: int
    failures: int


@dataclass(frozen=True)
class Measurement:
    """What a region did with the requests that were sent to it. Every request sent is counted exactly once.

    Attributes:
        region: Name of the region whose client sent the requests.
        planned: How many requests were to be sent.
        answered: Requests whose answer named its origin, by origin; a version's own failures (its 5xx) are here.
        unreadable: Requests answered with a 200 whose body is not echo's.
        unanswered: Requests that failed without naming an origin: no answer, or somebody else's error.
        reasons: How many requests failed for which reason, over all origins.
        samples: Up to three of the unreadable bodies, printable.
        seconds: Time from the first request to the end.
        interruption: Why sending ended before `planned` was reached; "" when it did not.
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

    @property
    def requests(self) -> int:
        """Requests sent, whatever became of them."""
        return sum(tally.requests for tally in self.answered.values()) + self.unreadable + self.unanswered

    @property
    def failures(self) -> int:
        """Requests that got no answer or one that is not a 200."""
        return sum(tally.failures for tally in self.answered.values()) + self.unanswered


class Count:
    """Adds results up while they come."""

    def __init__(self) -> None:
        self.requests = 0
        self._requests: Counter[Origin] = Counter()
        self._failures: Counter[Origin] = Counter()
        self._reasons: Counter[str] = Counter()
        self._samples: list[str] = []
        self._unreadable = 0
        self._unanswered = 0

    def add(self, result: Result) -> None:
        """Counts one request, under whoever answered it."""
        self.requests += 1
        if result.failed:
            self._reasons[_reason(result)] += 1
        answer = _ANSWER.fullmatch(result.body)
        if answer is not None:
            origin = Origin(answer["region"], answer["version"])
            self._requests[origin] += 1
            self._failures[origin] += result.failed
        elif result.failed:
            self._unanswered += 1
        else:
            self._unreadable += 1
            if len(self._samples) < _SAMPLES_KEPT:
                self._samples.append(_printable(result.body))

    def measurement(self, region: str, *, planned: int, seconds: float, interruption: str = "") -> Measurement:
        """The sum so far, frozen."""
        return Measurement(
            region=region,
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
        )


def _reason(result: Result) -> str:
    if result.code not in {0, 200}:
        return f"HTTP {result.code}"
    # Go's errors are chains whose beginning holds addresses and ports of this one connection: the last link is what
    # repeats, and so what can be counted.
    return _printable(result.error.rsplit(": ", 1)[-1]) or "no answer, and no reason given"
