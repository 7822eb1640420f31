"""What the probe is told to send. Nothing here needs a cluster."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain
from typing import Self

from rules.region.capacity import MOST_AT_ONCE
from stackfile.model import RequestConfig

# The probe refuses more.
MOST_REQUESTS = 1_000_000
HIGHEST_RATE = 20_000

# Requests per second. 3,000 requests then take 6 s, and two regions at once leave a 2-core machine room to answer them.
DEFAULT_RATE = 500

# A tenth of a second's requests: by Little's law enough for answers that take 100 ms, ten times what they take.
_WORKERS_PER_RATE = 10

LONGEST_SECONDS = 14 * 24 * 3600.0
"""A watch ends after this time, also where nobody ends it."""

END_SECONDS = 1.0
"""A look that hangs longer at the end of a watch is left behind; what it finds counts no more."""

# The last request may take the probe's timeout of 5 s; a machine that is busy may fall behind the rate by half.
_SLACK_SECONDS = 30.0
_SLACK_FACTOR = 2.0


_GET = (RequestConfig(),)


@dataclass(frozen=True)
class Attack:
    """A number of requests to send. Whoever knows enough before leaves the results, and that ends the sending.

    Attributes:
        url: Where to.
        requests: How many at most, 1..1,000,000.
        rate: How many a second, 1..20,000.
        kinds: What is sent, at least one; each result has the number of its kind. By default a GET of `url` as it is.
        version_header: The header of an answer that names the subset that was chosen; "" where no route sets one.
        connect_to: A gateway's address, host:port, that gets the requests in place of the URL's host; "" for that host.
    """

    url: str
    requests: int
    rate: int
    kinds: tuple[RequestConfig, ...] = _GET
    version_header: str = ""
    connect_to: str = ""

    def with_header(self, name: str, value: str) -> Self:
        """The same requests, each with this header too."""
        kinds = (kind.model_copy(update={"headers": {**kind.headers, name: value}}) for kind in self.kinds)
        return replace(self, kinds=tuple(kinds))

    @property
    def command(self) -> list[str]:
        """The command to run in the probe's container."""
        workers = max(1, min(self.rate // _WORKERS_PER_RATE, MOST_AT_ONCE, self.requests))
        numbers = {"--rate": self.rate, "--requests": self.requests, "--workers": workers}
        texts = {"--version-header": self.version_header, "--connect-to": self.connect_to}
        options = [
            ("--url", self.url),
            *((name, str(number)) for name, number in numbers.items()),
            *(("--request", _told(kind)) for kind in self.kinds if self.kinds != _GET),
            *((name, text) for name, text in texts.items() if text),
        ]
        return ["/probe", "attack", *chain.from_iterable(options)]

    @property
    def expected(self) -> tuple[tuple[int, ...], ...]:
        """The statuses that are a success, by kind."""
        return tuple(kind.expected_status for kind in self.kinds)

    @property
    def longest_seconds(self) -> float:
        """When to give up on it."""
        return self.requests / self.rate * _SLACK_FACTOR + _SLACK_SECONDS


def _told(kind: RequestConfig) -> str:
    """What tells the probe to send a kind of request; what it is to be answered with is not the probe's affair."""
    return kind.model_dump_json(exclude={"expected_status"})
