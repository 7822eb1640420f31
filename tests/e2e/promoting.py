"""`rollout promote` run as a person runs it, and what is done to it and to the regions while it runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.checkout import git
from tests.e2e.drills import UnderLoad
from tests.e2e.laboratory import Laboratory

RATE = 400
"""Requests a second that a promotion sends in each region that it measures, beside the drills' own: in both regions together less
than what two processors can answer that also run all of the lab (docs/measured.md), or some wait longer than the probe does."""
_SECONDS = 900
MARGINS = ("--margin=5", "--slower=10", "--longest=3m")
"""Wide ones, which fewer requests prove."""
_IDENTITY = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "End-to-end tests"), ("EMAIL", "e2e@example.invalid"))
}


@dataclass(frozen=True)
class Promoted:
    """How it went: its exit code, what it printed as JSON (None if it was killed or refused), and what it said."""

    code: int
    result: Any
    said: Sequence[str]

    def __str__(self) -> str:
        return f"exit code {self.code}\n" + "\n".join(self.said) + "\n" + json.dumps(self.result, indent=2)


def rollout(lab: Laboratory, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a verb of `rollout` to its end."""
    command = [sys.executable, "-m", "rollout", *arguments]
    return subprocess.run(
        command,
        cwd=lab.place.checkout,
        env=_environment(lab),
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
    )


def promote(
    lab: Laboratory,
    *arguments: str,
    when: Mapping[str, Callable[[], object]] | None = None,
    kill_at: str | None = None,
    rate: int = RATE,
    margins: Sequence[str] = MARGINS,
    heard: list[str] | None = None,
) -> Promoted:
    """Run `rollout promote`; with --again, since the drills promote the same image each time.

    Args:
        lab: Where.
        arguments: Its own.
        when: What to do when it says a line with such a text; once for each text.
        kill_at: Send it SIGKILL when it says a line with this text.
        rate: Requests a second that it sends in each region that it measures.
        margins: Its margins, and how long it may take a step to be proven.
        heard: Gets each line that it says, as it comes.

    Raises:
        AssertionError: it does not end within 900 seconds.
    """
    options = () if "--resume" in arguments else (*margins, "--again")
    command = [sys.executable, "-m", "rollout", "promote", *options, *arguments, f"--rate={rate}", "--json"]
    child = subprocess.Popen(
        command,
        cwd=lab.place.checkout,
        env=_environment(lab),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    said = [] if heard is None else heard
    left = dict(when or {})
    late = threading.Timer(_SECONDS, child.kill)
    with child:
        assert child.stderr is not None  # they are pipes
        assert child.stdout is not None
        late.start()
        try:
            for line in child.stderr:
                said.append(line.rstrip())
                print(said[-1])
                if kill_at is not None and kill_at in line:
                    child.send_signal(signal.SIGKILL)
                for text in [text for text in left if text in line]:
                    left.pop(text)()
            output = child.stdout.read()
            assert late.is_alive(), f"it does not end within {_SECONDS} s"
        finally:
            late.cancel()
            child.kill()
    assert child.returncode is not None
    return Promoted(child.returncode, json.loads(output) if output.strip() else None, said)


def trailers(lab: Laboratory, since: str, tip: str = "HEAD") -> list[dict[str, str]]:
    """The Rollout- trailers of each commit since another one, the oldest first."""
    log = lab.git("log", "--reverse", "--format=%(trailers:only,unfold)%x00", f"{since}..{tip}")
    return [
        dict(line.split(": ", 1) for line in text.strip().splitlines() if line.startswith("Rollout-"))
        for text in log.split("\0")
        if text.strip()
    ]


@contextmanager
def restored(lab: Laboratory) -> Iterator[str]:
    """As `Laboratory.restored`, also where others pushed meanwhile; gives the commit at which it begins.

    A promotion that a drill that failed has left in progress is taken back: the next drill's would be refused.
    """
    with lab.restored():
        try:
            yield lab.git("rev-parse", "HEAD").strip()
        except BaseException:
            rollout(lab, "rollback")
            raise
        finally:
            lab.git("pull", "--quiet", "--ff-only", "lab", "main")


def weights_in(lab: Laboratory, region: str) -> dict[str, int]:
    """The weights that the cluster has for echo, percents by version; those of 0 are missing."""
    routes = lab.get(region, "virtualservice.networking.istio.io/echo", "--namespace=echo")["spec"]["http"][0]["route"]
    return {route["destination"]["subset"]: route["weight"] for route in routes if route["weight"]}


def only_failed(load: UnderLoad, version: str) -> bool:
    """Whether no request failed but those that a version answered."""
    return not any(each.failures(but_of=version) for each in load.loads.values())


def cost_of(done: Promoted) -> str:
    """What a promotion that was taken back cost, for people."""
    undone = done.result["undone"]
    cost = ", ".join(f"{row['failures']} of {row['requests']} of {row['version']}" for row in undone["cost"])
    return f"{undone['seconds']:.1f} s from the doubt to the last Envoy; seen to fail: {cost}"


@dataclass(frozen=True)
class Somebody:
    """Another person, with a clone of their own."""

    lab: Laboratory
    clone: Path

    def pushes(self, path: str, change: Callable[[str], str]) -> str:
        """Changes a file on top of what is delivered, commits and pushes; the commit."""
        remote = str(self.lab.place.directory / "git" / "echo-rollout.git")
        if not self.clone.exists():
            git(self.clone.parent, "clone", "--quiet", remote, str(self.clone))
        git(self.clone, "pull", "--quiet", "--ff-only", "origin", "main")
        file = self.clone / path
        file.write_text(change(file.read_text()))
        git(self.clone, "commit", "--quiet", "--message", f"Change {path}", "--", path)
        git(self.clone, "push", "--quiet", "origin", "HEAD:main")
        return git(self.clone, "rev-parse", "HEAD").strip()


def steps_of(done: Promoted) -> list[str]:
    """What each step of a promotion took, a line each."""
    return [
        f"  {step['region']} {step['weight']} %: synced after {step['synced_seconds']:.1f} s, acknowledged after "
        f"{step['acknowledged_seconds']:.1f} s, {step['proof']['requests']:,} requests"
        for step in done.result["steps"]
        if step["proof"]
    ]


def _environment(lab: Laboratory) -> dict[str, str]:
    return {**os.environ, **lab.environment, **_IDENTITY}
