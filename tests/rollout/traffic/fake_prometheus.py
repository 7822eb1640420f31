"""A Prometheus that scrapes what it is given, and answers queries over HTTP as its API does."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

T = 1_700_000_000.0


@dataclass
class FakePrometheus:
    """Scrapes what it is given, and answers queries as its API does; `now` is its clock."""

    now: float = T
    samples: dict[str, list[list[Any]]] = field(default_factory=dict)
    answer: tuple[int, str] | None = None
    paths: list[str] = field(default_factory=list)

    def scrape(self, target: Mapping[str, str], at: float, page: Mapping[str, int] | str) -> None:
        """What a target showed, after so many seconds; it is known from then on."""
        self.now = max(self.now, T + at)
        lines = page.splitlines() if isinstance(page, str) else [f"{name} {value}" for name, value in page.items()]
        for line in lines:
            parts = re.fullmatch(r"(\w+)\{(.*)\} (\d+)", line)
            assert parts, line
            name, labels, value = parts.groups()
            series = {"__name__": name, **dict(re.findall(r'(\w+)="([^"]*)"', labels)), **target}
            self.samples.setdefault(json.dumps(series), []).append([T + at, value])

    def query(self, expression: str) -> Any:
        if expression == "time()":
            return {"resultType": "scalar", "result": [self.now, str(self.now)]}
        parts = re.fullmatch(r"(\w*)\{(.*)\}\[(\d+)s\]", expression)
        assert parts, expression
        name, matchers, reach = parts.groups()
        wanted = re.findall(r'(\w+)(=~|!=|=)"([^"]*)"', matchers) + ([("__name__", "=", name)] if name else [])
        found = []
        for series, samples in self.samples.items():
            metric = json.loads(series)
            values = [each for each in samples if self.now - int(reach) < each[0] <= self.now]
            if values and all(_matches(metric.get(label, ""), how, value) for label, how, value in wanted):
                found.append({"metric": metric, "values": values})
        return {"resultType": "matrix", "result": found}


def _matches(value: str, how: str, wanted: str) -> bool:
    if how == "=~":
        return bool(re.fullmatch(wanted, value))
    return (value == wanted) == (how == "=")


@contextmanager
def serving(scraped: FakePrometheus) -> Iterator[int]:
    """Serves it on a port of the loopback, below whatever path."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = urlsplit(self.path)
            scraped.paths.append(asked.path)
            status, body = scraped.answer or (
                200,
                json.dumps({"status": "success", "data": scraped.query(parse_qs(asked.query)["query"][0])}),
            )
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()
