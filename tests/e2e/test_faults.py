"""Faults at random moments of a promotion whose version fails, and of its way back: whatever fails, v2 has no requests in the end.

The seed of all that is drawn is in the notes of a run: `FAULTS_SEED=… make drills SET=faults` plays the same rounds again, pytest's
`-k istiod` those of one kind. With FAULTS_LONG=1 the remote is also away for five minutes. `python -m tests.rollout.promote` plays many
more rounds with clusters that are played.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bench.load import Entrance
from lab.delivery.remote import BRANCH, Remote
from lab.machine import cgroups, processes
from lab.machine.waiting import comes_true
from rollout.git.record import PromotionState
from rollout.traffic.probe import NAMESPACE as PROBE_NAMESPACE
from tests.e2e.checkout import git
from tests.e2e.drills import Row, UnderLoad, under_load
from tests.e2e.faults import away, evict, faulty, meanwhile
from tests.e2e.laboratory import REGIONS, Laboratory
from tests.e2e.promoting import RATE, Promoted, only_failed, promote, restored, rollout, trailers, weights_in
from tests.e2e.waiting import until
from tests.rollout.promote.endings import MOST_COMMANDS, is_over, of_a_clone, of_a_command, typed_next

# a fault that could not be played is a thread's exception
pytestmark = [pytest.mark.drill, pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")]

_SEED = os.environ.get("FAULTS_SEED") or secrets.token_hex(4)
_ROUNDS = (0, 1)
"""In the first one the fault comes between the step's commit and the doubt, or a little later; in the second one after the doubt."""
_FAILING_PERCENT = 30
_AWAY_SECONDS = 30
_LONGEST_SECONDS = 600
_STARTS_SECONDS = 10
_BOT_SECONDS, _BOT_EVERY_SECONDS = 20, 0.05
_BOT_PUSHES = """\
commit refs/heads/{branch}
mark :1
committer Bot <bot@example.invalid> now
data 3
Bot
from refs/heads/{branch}^0
M 100644 inline bot.txt
data {size}
{text}
get-mark :1
"""
_DATING_GIT = """\
#!/bin/sh
moved=$(cat {seconds} 2> /dev/null)
at="$(($(date +%s) + ${{moved:-0}})) +0000"
GIT_AUTHOR_DATE=$at GIT_COMMITTER_DATE=$at exec {git} "$@"
"""
_LAST = 300
"""Requests of each region: those of the last two seconds."""
_QUIET_SECONDS = 30
_HEAD = (
    f"FAULTS_SEED={_SEED}: fault, moment, exit codes, seconds from the doubt or the command to the last Envoy, failed"
)


@dataclass
class Round:
    """A round, and what became of it.

    Attributes:
        lab: Where.
        kind: Of the fault.
        number: Of the round.
        directory: For what it writes.
        random: The lot.
        region: Where the fault comes, if it is one of a region.
        others: Commits that others made.
        codes: How each command ended.
        said: Each command, and what it said.
        undone: The way back, as the last command said it.
        wrong: What is not as it should be.
    """

    lab: Laboratory
    kind: str
    number: int
    directory: Path
    random: Random
    region: str
    others: list[str] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    undone: Mapping[str, Any] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    @property
    def remote(self) -> Remote:
        """The lab's."""
        return Remote(self.lab.place)


Play = Callable[[threading.Event], object]
"""Plays a fault from its beginning to its end, which comes early where it is told so; then all is as before."""
Kind = Callable[[Round], AbstractContextManager[tuple[Laboratory, Play]]]
"""For as long as a round lasts: where commands are typed, and the fault."""


def _there(play: Callable[[Round, threading.Event], object]) -> Kind:
    """A fault of a kind for which nothing is to be prepared."""
    return lambda round_: nullcontext((round_.lab, partial(play, round_)))


def _remote_away(how: signal.Signals, seconds: float) -> Kind:
    """The remote stands still (SIGSTOP) or refuses connections (SIGKILL), for Argo CD and for `rollout`, which goes there by TCP."""

    @contextmanager
    def kind(round_: Round) -> Iterator[tuple[Laboratory, Play]]:
        lab, path, reads = round_.lab, round_.remote.repository, round_.remote.daemon()
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        address = f"git://127.0.0.1:{port}/{path.name}"
        where = ("--listen=127.0.0.1", f"--port={port}", f"--base-path={path.parent}")
        takes = replace(
            reads,
            name="faults",
            command=(reads.command[0], "--verbose", "--reuseaddr", "--export-all", "--enable=receive-pack", *where),
            cgroup=f"{lab.place.cgroup}/faults",
            answers=lambda: (
                subprocess.run(["git", "ls-remote", address], capture_output=True, check=False).returncode == 0
            ),
            through=(),
        )

        def play(over: threading.Event) -> None:
            servers = [pid for each in (reads, takes) for pid in processes.namesakes(each.cgroup, each.command)]
            try:
                _send(how, servers)
                over.wait(seconds)
            finally:
                _send(signal.SIGCONT, servers)
                for daemon in (reads, takes) if how is signal.SIGKILL else ():
                    daemon.await_well(_STARTS_SECONDS, daemon.start())

        instead = {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"url.{address}.insteadOf",
            "GIT_CONFIG_VALUE_0": str(path),
        }
        cgroups.create(takes.cgroup)
        try:
            takes.await_well(_STARTS_SECONDS, takes.start())
            yield replace(lab, environment={**lab.environment, **instead}), play
        finally:
            for pid in processes.namesakes(takes.cgroup, takes.command):
                processes.stop(pid)
            cgroups.kill(takes.cgroup)
            cgroups.remove(takes.cgroup)

    return kind


def _send(number: signal.Signals, servers: list[int]) -> None:
    for pid in servers:
        # one serves a connection, and may have ended
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _api_server_killed(round_: Round, _over: threading.Event) -> None:
    (region,) = (each for each in round_.lab.place.regions if each.name == round_.region)
    (server,) = processes.namesakes(region.processes_cgroup, ("kube-apiserver",))
    os.kill(server, signal.SIGKILL)
    round_.lab.run("up", "--clusters-only", f"--region={region.name}")


def _away(workload: str, namespace: str) -> Kind:
    def play(round_: Round, over: threading.Event) -> None:
        with away(round_.lab, round_.region, workload, namespace):
            over.wait(_AWAY_SECONDS)

    return _there(play)


def _probe_evicted(round_: Round, _over: threading.Event) -> None:
    lab, region, where = round_.lab, round_.region, f"--namespace={PROBE_NAMESPACE}"
    (pod,) = lab.get(region, "pods", where, "--selector=app=probe")["items"]
    name = pod["metadata"]["name"]
    evict(lab, region, PROBE_NAMESPACE, name, round_.directory)
    lab.kubectl(region, "wait", f"pod/{name}", where, "--for=delete", "--timeout=60s")
    lab.kubectl(region, "rollout", "status", "deployment/probe", where, "--timeout=120s")


def _killed(round_: Round, _over: threading.Event) -> None:
    """By the process id in its lock, which says who is at work in the clone."""
    pid = int((round_.lab.place.checkout / ".git" / "rollout-echo.lock").read_text())
    assert "promote" in processes.command_line(pid)
    os.kill(pid, signal.SIGKILL)


def _bot(round_: Round, over: threading.Event) -> None:
    """Commits in the remote itself: a push takes longer."""
    command = ["git", "-C", str(round_.remote.repository), "fast-import", "--quiet", "--date-format=now"]
    ends = time.monotonic() + _BOT_SECONDS
    while (began := time.monotonic()) < ends and not over.is_set():
        text = str(len(round_.others))
        pushes = _BOT_PUSHES.format(branch=BRANCH, size=len(text), text=text)
        done = subprocess.run(command, input=pushes, capture_output=True, text=True, check=False)
        if done.returncode == 0:  # else somebody else was first
            round_.others.append(done.stdout.strip())
        over.wait(max(0.0, began + _BOT_EVERY_SECONDS - time.monotonic()))
    assert round_.others


@contextmanager
def _dates_moved(round_: Round) -> Iterator[tuple[Laboratory, Play]]:
    """Git dates the commits of `rollout` an hour ahead or behind, as on a machine whose clock is wrong."""
    program, seconds = round_.directory / "bin" / "git", round_.directory / "seconds"
    program.parent.mkdir()
    program.write_text(_DATING_GIT.format(git=shutil.which("git"), seconds=seconds))
    program.chmod(0o755)

    def play(over: threading.Event) -> None:
        seconds.write_text(("3600", "-3600")[round_.number])
        over.wait(_AWAY_SECONDS)
        seconds.unlink()

    path = f"{program.parent}:{os.environ['PATH']}"
    yield replace(round_.lab, environment={**round_.lab.environment, "PATH": path}), play


KINDS: Mapping[str, Kind] = {
    "remote-stands-still-3s": _remote_away(signal.SIGSTOP, 3),
    "remote-refuses-60s": _remote_away(signal.SIGKILL, 60),
    **({"remote-stands-still-300s": _remote_away(signal.SIGSTOP, 300)} if os.environ.get("FAULTS_LONG") else {}),
    "api-server-killed": _there(_api_server_killed),
    "istiod-away": _away("deployment/istiod", "istio-system"),
    "controller-away": _away("statefulset/argocd-application-controller", "argocd"),
    "repo-server-away": _away("deployment/argocd-repo-server", "argocd"),
    "probe-evicted": _there(_probe_evicted),
    "rollout-killed": _there(_killed),
    "bot": _there(_bot),
    "dates-moved": _dates_moved,
}
_OF_COMMITS = ("dates-moved",)
"""With the doubt the last commit is made: what falsifies one has to come before."""
_OF_A_REGION = ("api-server-killed", "istiod-away", "controller-away", "repo-server-away", "probe-evicted")


@pytest.fixture
def round_(lab: Laboratory, kind: str, number: int, tmp_path: Path) -> Round:
    random = Random(f"{_SEED} {kind} {number}")
    return Round(lab, kind, number, tmp_path, random, random.choice(REGIONS))


@pytest.mark.parametrize("number", _ROUNDS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_version_that_fails_has_no_requests_in_the_end(
    round_: Round, drills: list[Row], notes: list[str], entrance: Entrance
) -> None:
    """Whatever fails beside it, and nothing else is lost. The load of a probe that is evicted would end: then it comes from outside."""
    lab, kind, number, random = round_.lab, round_.kind, round_.number, round_.random
    begins = random.uniform(0, 15)
    after_doubt = bool(number) and kind not in _OF_COMMITS
    comes = random.triangular(0, 4, 0) if after_doubt else random.uniform(0, begins + 2)
    outside = entrance if kind == "probe-evicted" else None
    # Envoys whose istiod was away in a round before ask for it again at their own pace
    until(lambda: rollout(lab, "status").returncode == 0, seconds=_LONGEST_SECONDS)
    with restored(lab) as before, faulty(lab, "region-a", "v2") as fail, KINDS[kind](round_) as (typed_in, play):
        fault = _Later(play, comes)
        worse = _Later(lambda _over: fail(_FAILING_PERCENT), begins)
        with (
            under_load(lab, f"{kind}, round {number}", drills, outside) as load,
            meanwhile(worse) as begin,
            meanwhile(fault) as follow,
        ):

            def committed() -> None:
                begin()
                if not after_doubt:
                    follow()

            when = {"committed as": committed, **({": v2 failed: ": follow} if after_doubt else {})}
            _take_back(round_, typed_in, fault, when, before)
            if not comes_true(partial(_has_no_requests, load), _QUIET_SECONDS):
                round_.wrong.append("v2 answers requests")
        if not only_failed(load, "v2"):
            round_.wrong.append("requests failed that v2 did not answer")
        round_.wrong += _of_the_rest(round_)
    moment = f"{comes:.1f} s after the {'doubt' if after_doubt else 'commit'}" + f", {round_.region}" * (
        kind in _OF_A_REGION
    )
    codes, seconds = ", ".join(map(str, round_.codes)), round_.undone.get("seconds", "-")
    notes += [] if _HEAD in notes else [_HEAD]
    notes.append(
        f"| {kind} | {moment} | {codes} | {seconds} | {_failed(load)} | {'; '.join(round_.wrong) or 'right'} |"
    )
    assert not round_.wrong, "\n".join([*round_.wrong, _HEAD, *round_.said])


@dataclass(frozen=True)
class _Later:
    """Something that begins so many seconds after it is asked for."""

    play: Play
    seconds: float
    has_begun: threading.Event = field(default_factory=threading.Event)
    is_over: threading.Event = field(default_factory=threading.Event)

    def __call__(self, over: threading.Event) -> None:
        if not over.wait(self.seconds):
            self.has_begun.set()
            try:
                self.play(over)
            finally:
                self.is_over.set()


def _take_back(
    round_: Round, lab: Laboratory, fault: _Later, when: Mapping[str, Callable[[], object]], before: str
) -> None:
    """Type what a person types until v2 is taken back; during the last command nothing else fails any more."""
    words = ["promote", "v2", "--bake=5s", "--steps=25"]
    for typed in range(MOST_COMMANDS):
        done = _typed(lab, words, {} if typed else when)
        assert fault.has_begun.is_set(), str(done)
        round_.codes.append(done.code)
        round_.undone = _undone(done)
        round_.said += [f"$ rollout {' '.join(words)}  # in {lab.place.checkout}", str(done)]
        state = _state(round_.lab, before)
        heard = "\n".join([*done.said, *(f"error: {each}" for each in round_.undone.get("problems", ()))])
        round_.wrong += of_a_command(words[0], done.code, heard, state, partial(_with_requests, round_.lab))
        if round_.wrong or is_over(words[0], done.code):
            return
        if typed == MOST_COMMANDS - 2:
            assert fault.is_over.wait(_LONGEST_SECONDS)
        words = typed_next(state, round_.random)
        if round_.kind == "rollout-killed" or round_.random.random() < 0.5:
            lab = _elsewhere(round_, lab)
    round_.wrong.append("it is not taken back")


def _typed(lab: Laboratory, words: list[str], when: Mapping[str, Callable[[], object]]) -> Promoted:
    if words[0] == "promote":
        return promote(lab, *words[1:], when=when)
    done = rollout(lab, *words, f"--rate={RATE}", "--json")
    return Promoted(done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr.splitlines())


def _undone(done: Promoted) -> dict[str, Any]:
    """What the way back was, as the command says it; empty where there was none."""
    result: dict[str, Any] = done.result or {}
    return result.get("undone", result) or {}


def _state(lab: Laboratory, before: str) -> PromotionState:
    lab.git("fetch", "--quiet", "lab")
    return PromotionState(trailers(lab, before, f"lab/{BRANCH}")[-1]["Rollout-State"])


def _with_requests(lab: Laboratory) -> list[str]:
    """The regions whose cluster gives v2 a weight, once each answers."""
    for region in REGIONS:
        until(partial(_answers, lab, region), seconds=120)
    return [region for region in REGIONS if "v2" in weights_in(lab, region)]


def _answers(lab: Laboratory, region: str) -> bool:
    return lab.run("kubectl", "--context", region, "get", "--raw=/readyz", check=False).returncode == 0


def _elsewhere(round_: Round, lab: Laboratory) -> Laboratory:
    """The same in another clone, which knows where the regions are as the lab's own does."""
    clone = round_.directory / "elsewhere"
    if not clone.exists():
        git(round_.directory, "clone", "--quiet", str(round_.remote.repository), str(clone))
        shutil.copy(round_.lab.regions_file, clone)
    return replace(lab, place=replace(lab.place, checkout=clone))


def _has_no_requests(load: UnderLoad) -> bool:
    return not any(each.share("v2", _LAST) for each in load.loads.values())


def _failed(load: UnderLoad) -> str:
    """Of how many requests of both regions how many failed, by who answered them."""
    answers = [answer for each in load.loads.values() for answer in each.answers]
    failed = Counter(answer.version or "nobody" for answer in answers if answer.failed)
    return f"{', '.join(f'{who} {times:,}' for who, times in failed.items()) or 'none'} of {len(answers):,}"


def _of_the_rest(round_: Round) -> list[str]:
    """What is wrong with what is left of a round."""
    remote, elsewhere = round_.remote.repository, round_.directory / "elsewhere"
    have = git(remote, "rev-list", BRANCH).split()
    wrong = [f"{commit[:10]} of others is lost" for commit in {*round_.others} - {*have}]
    wrong += [f"{lock} is left" for lock in remote.rglob("*.lock")]
    clones = [round_.lab.place.checkout, *([elsewhere] if elsewhere.exists() else [])]
    return [*wrong, *(each for clone in clones for each in of_a_clone(clone))]
