"""People elsewhere are told in a line; what cannot be sent is said and changes nothing."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from rollout.cli.output import notification
from rollout.cli.output.notification import Notifications, commit_link, receivers
from rollout.problem import RolloutError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Fake:
    """A receiver that does something with each line."""

    does: Callable[[str], bool] = lambda _line: True
    lines: list[str] = field(default_factory=list)

    def url(self, privacy: bool) -> str:
        return "slack://****" if privacy else "slack://secret"

    def notify(self, body: str) -> bool:
        self.lines.append(body)
        return self.does(body)


@pytest.fixture
def hook() -> Iterator[tuple[int, list[str]]]:
    """A webhook on a port of this machine, and the lines that it got; it refuses those with `refuse`."""
    lines: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            lines.append(body["message"])
            self.send_response(500 if "refuse" in body["message"] else 200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            """Nothing is logged."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server.server_port, lines
    server.shutdown()
    server.server_close()


def test_a_webhook_gets_the_lines_in_their_order_and_a_refusal_is_said(hook: tuple[int, list[str]]) -> None:
    port, lines = hook
    said: list[str] = []

    with Notifications(receivers([f"json://me:secret@127.0.0.1:{port}/path"]), said.append) as told:
        for line in ("begins", "refuse this", "is done"):
            told.tell(line)

    assert lines == ["begins", "refuse this", "is done"]
    assert len(said) == 1
    assert "was not told (it was refused, or nobody answered): refuse this" in said[0]
    assert "secret" not in said[0]


def test_an_address_that_is_none_is_refused_without_what_is_secret() -> None:
    with pytest.raises(RolloutError, match="--notify: number 2 is no address") as refused:
        receivers(["json://127.0.0.1/", "nothing://secret"])
    assert "secret" not in str(refused.value)


def test_one_that_fails_keeps_nothing_from_the_others() -> None:
    def fails(_line: str) -> bool:
        raise ValueError("out of paper")

    said: list[str] = []
    bad, good = Fake(fails), Fake()

    with Notifications([bad, good], said.append) as told:
        told.tell("one")
        told.tell("two")

    assert bad.lines == good.lines == ["one", "two"]
    assert said == [f"slack://**** was not told (out of paper): {line}" for line in ("one", "two")]


def test_one_that_hangs_is_waited_for_a_little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notification, "_WAIT_SECONDS", 0.1)
    ends = threading.Event()
    said: list[str] = []

    with Notifications([Fake(lambda _line: ends.wait(60))], said.append) as told:
        told.tell("one")

    assert said == ["a notification was not sent within 0 s"]
    ends.set()


@pytest.mark.parametrize(
    ("address", "link"),
    [
        ("https://github.com/corp/shop.git", f"https://github.com/corp/shop/commit/{COMMIT}"),
        ("https://me:secret@gitlab.corp.local:8443/a/b/shop", f"https://gitlab.corp.local/a/b/shop/commit/{COMMIT}"),
        ("git@github.com:corp/shop.git", f"https://github.com/corp/shop/commit/{COMMIT}"),
        ("ssh://git@gitlab.com:22/corp/shop.git", f"https://gitlab.com/corp/shop/commit/{COMMIT}"),
        ("https://git.corp.local/platform/shop.git", "0123456789"),
        ("/srv/git/github.com/shop.git", "0123456789"),
        ("../remote.git", "0123456789"),
        ("git@github.com:shop.git", "0123456789"),
    ],
)
def test_a_link_leads_to_the_commit_at_a_forge_that_is_known(address: str, link: str) -> None:
    assert commit_link(address, COMMIT) == link
