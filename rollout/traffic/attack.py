"""What the probe is told to send. Nothing here needs a cluster."""

from __future__ import annotations

from dataclasses import dataclass

from rules.region.capacity import MOST_AT_ONCE

# The probe refuses more.
MOST_REQUESTS = 1_000_000
HIGHEST_RATE = 20_000

# Requests per second. 3,000 requests then take 6 s, and two regions at once leave a 2-core machine room to answer them.
DEFAULT_RATE = 500

# A tenth of a second's requests: by Little's law enough for answers that take 100 ms, ten times what they take.
_WORKERS_PER_RATE = 10

# The last request may take the probe's timeout of 5 s; a machine that is busy may fall behind the rate by half.
_SLACK_SECONDS = 30.0
_SLACK_FACTOR = 2.0


@dataclass(frozen=True)
class Attack:
    """A number of requests to send. Whoever knows enough before leaves the results, and that ends the sending.

    Attributes:
        url: Where to.
        requests: How many at most, 1..1,000,000.
        rate: How many a second, 1..20,000.
    """

    url: str
    requests: int
    rate: int

    @property
    def command(self) -> list[str]:
        """The command to run in the probe's container."""
        workers = max(1, min(self.rate // _WORKERS_PER_RATE, MOST_AT_ONCE, self.requests))
        numbers = {"--rate": self.rate, "--requests": self.requests, "--workers": workers}
        return ["/probe", "attack", "--url", self.url, *(str(word) for pair in numbers.items() for word in pair)]

    @property
    def longest_seconds(self) -> float:
        """When to give up on it."""
        return self.requests / self.rate * _SLACK_FACTOR + _SLACK_SECONDS
