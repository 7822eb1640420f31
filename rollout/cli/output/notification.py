"""What a promotion tells people elsewhere, a line each, by services that apprise knows."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from queue import Queue
from typing import Protocol, Self
from urllib.parse import urlsplit

from rollout.problem import RolloutError

_WAIT_SECONDS = 10.0
"""How long the end of a promotion waits for what is still to be sent."""

_FORGES = ("github", "gitlab")


class Receiver(Protocol):
    """One that is told, as apprise has it."""

    def url(self, privacy: bool) -> str:
        """Its address; with `privacy` without what is secret in it."""

    def notify(self, body: str) -> object:
        """Sends a line; whether that worked."""


def receivers(urls: Sequence[str]) -> list[Receiver]:
    """Those of some addresses.

    Raises:
        RolloutError: an address is none that apprise understands.
    """
    if not urls:
        return []
    # takes a third of a second to load
    import apprise  # noqa: PLC0415

    # what it logs, our own line says
    logging.getLogger("apprise").addHandler(logging.NullHandler())
    found: list[Receiver] = []
    for number, url in enumerate(urls, start=1):
        receiver = apprise.Apprise.instantiate(url)
        if receiver is None:
            # the address may hold a secret
            raise RolloutError.of(
                f"--notify: number {number} is no address that apprise understands",
                "nobody would hear of the promotion there",
                "write one as https://github.com/caronc/apprise/wiki says, such as slacks://... or jsons://host/path",
            )
        found.append(receiver)
    return found


class Notifications:
    """Lines sent to receivers in their order, by a thread for each: nobody waits for one, and none that fails changes anything.

    Args:
        to: Who is told.
        say: Told in a line what could not be sent.
    """

    def __init__(self, to: Sequence[Receiver], say: Callable[[str], None]) -> None:
        self._say = say
        self._lines: list[Queue[str | None]] = [Queue() for _ in to]
        self._threads = [
            threading.Thread(target=self._send, args=each, name="notifications", daemon=True)
            for each in zip(to, self._lines, strict=True)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        ends = time.monotonic() + _WAIT_SECONDS
        for lines, thread in zip(self._lines, self._threads, strict=True):
            lines.put(None)
            thread.join(max(0.0, ends - time.monotonic()))
            if thread.is_alive():
                self._say(f"a notification was not sent within {_WAIT_SECONDS:.0f} s")

    def tell(self, line: str) -> None:
        """Has a line sent."""
        for lines in self._lines:
            lines.put(line)

    def _send(self, to: Receiver, lines: Queue[str | None]) -> None:
        while (line := lines.get()) is not None:
            try:
                why = "" if to.notify(line) else "it was refused, or nobody answered"
            except Exception as error:
                # whatever a service of theirs does must not end anything here
                why = str(error)
            if why:
                self._say(f"{to.url(privacy=True)} was not told ({why}): {line}")


def commit_link(remote_url: str, commit: str) -> str:
    """Where people see a commit: its page at GitHub or GitLab; else its short hash.

    Args:
        remote_url: The remote's address, as Git has it: with a scheme, or as user@host:path.
        commit: By its full hash.
    """
    has_scheme = "://" in remote_url
    parts = urlsplit(remote_url if has_scheme else f"ssh://{remote_url.replace(':', '/', 1)}")
    host, path = parts.hostname or "", parts.path.strip("/").removesuffix(".git")
    if not any(forge in host for forge in _FORGES) or "/" not in path:
        return commit[:10]
    return f"https://{host}/{path}/commit/{commit}"
