"""Faults at random moments of a promotion whose version begins to fail: on real Git, with clusters and a clock that are played.

A round is told by its kind and its number alone: they are the seed of all that is drawn.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from subprocess import CalledProcessError, CompletedProcess
from typing import Any

import pytest

from lab.machine.waiting import comes_true
from rollout.__main__ import app
from rollout.cli import clone as clone_module
from rollout.cli import rollback as rollback_module
from rollout.cli.clone import Clone
from rollout.git import repository as repository_module
from rollout.git.command import git
from rollout.git.record import PromotionState
from rollout.problem import Problem, RolloutError, TransientError
from rollout.promote import lookout, persistence, preflight
from rollout.promote import promotion as engine
from rollout.promote import upstream as upstream_module
from rollout.promote.upstream import Upstream
from tests.rollout.planned import REGIONS, Project
from tests.rollout.promote.endings import MOST_COMMANDS, WITHOUT_END, is_over, of_a_clone, of_a_command, typed_next
from tests.rollout.promote.fake_regions import FakeRegions
from tests.rollout.promote.two_clones import BRANCH, TwoClones, new_two_clones
from tests.rollout.repository import Repository as Work
from tests.rollout.stack_files import edit

QUICK = ("--bake=0s", "--keep=0", "--margin=2", "--slower=20")
_PROCESSES = multiprocessing.get_context("forkserver")
# a process of its own, with all that a command imports: a copy of it is ready at once
_PROCESSES.set_forkserver_preload(
    [__name__, "rollout.cli.output.notification", "rollout.cli.output.promotion", "scipy.optimize", "scipy.special"]
)
_PROCESS_SECONDS = 600.0
_ASKING = ("fetch", "ls-remote")
_TAKES_SECONDS = {"fetch": 0.4, "ls-remote": 0.3, "push": 0.5, "look": 0.3, "deliver": 1.0, "certify": 1.0}
_OTHERWISE_SECONDS = 0.03
_SIGNALLED_SECONDS = 30.0
"""After which a command that goes on was not ended by a signal."""
_AWAY = CompletedProcess[str]([], 128, "", "fatal: unable to access the remote: Could not resolve host: git.corp.local")
_SIGNER = """\
#!/bin/sh
test ! -e {locked} || {{ touch {met}; echo 'gpg: signing failed: No pinentry' >&2; exit 2; }}
cat > /dev/null
echo '[GNUPG:] SIG_CREATED D 1 8 00 0 0' >&2
printf -- '-----BEGIN PGP SIGNATURE-----\\n\\nplayed\\n-----END PGP SIGNATURE-----\\n'
"""


class World:
    """What a command meets: real Git, clusters that are played, and a clock of its own.

    Attributes:
        clones: The repositories.
        regions: Those of the promotion.
        random: The lot of this command.
        calm: Whether no fault comes.
        failing: Since when v2 fails, as the clock has it; None while it does not.
        at_git: Each may answer in the place of a command of Git's.
        at_region: Each may raise when something is done with a region.
        arrives: Whether a region can be brought to other weights.
        arrived: Each may raise, or say what is wrong, when a region has the weights that it is waited for with.
        each_moment: Called all the time.
        met: A file that is there once a fault has come.
    """

    def __init__(self, typed: Typed) -> None:
        directory, number = typed.directory, typed.number
        self.clones, self.regions = at(directory), typed.regions
        self.random = random = Random(f"{typed.kind} {typed.round_number} {number}")
        self.calm = number == MOST_COMMANDS - 1
        self.failing: float | None = None if typed.begins else 0.0
        self.at_git: list[Callable[[str, Callable[[], CompletedProcess[str]]], CompletedProcess[str] | None]] = []
        self.at_region: list[Callable[[str, str], None]] = []
        self.arrived: list[Callable[[str], Problem | None]] = []
        self.arrives: Callable[[str], bool] = lambda _region: True
        self.each_moment: list[Callable[[], None]] = []
        self.met = directory / "met"
        self._seconds = 0.0
        self._directory = directory
        self._colleague, self._signalled = threading.Lock(), -math.inf
        # half of the promotions see midnight, and all that is typed once one has begun comes after it
        midnight = datetime(2026, 6, 2, tzinfo=UTC)
        self._began = midnight + timedelta(seconds=-random.uniform(3, 20) if typed.begins else 1)

    def monotonic(self) -> float:
        return self._seconds

    def sleep(self, seconds: float) -> None:
        """In the place of `time.sleep`, and of the pauses between two attempts."""
        self._seconds += seconds
        for happens in self.each_moment:
            happens()

    def now(self) -> datetime:
        return self._began + timedelta(seconds=self._seconds)

    def drawn(self, *, meets: bool = True, within: float = 3.0) -> Callable[[], bool]:
        """Whether a time of random length, which begins at a random moment, has begun and is not over; nor is it before a fault has come.

        Args:
            meets: Whether it is a fault that it has begun.
            within: How many seconds after v2 began to fail. The way back fetches after one, commits and pushes after two, and ends after
                four.
        """
        beside, begins = self.failing is not None or self.random.random() < 0.7, self.random.random()
        length = self.random.choice((3.0, 60.0, 300.0)) * self.random.random()

        def is_on() -> bool:
            since = self.failing if beside else 0.0
            # beside the moment at which v2 begins to fail, or at any
            begin = None if since is None else since + begins * (within if beside else 12)
            if self.calm or begin is None or self._seconds < begin:
                return False
            is_now = self._seconds < begin + length or not self.met.exists()
            if is_now and meets:
                self.met.touch()
            return is_now

        return is_on

    def once(self, action: Callable[[], object]) -> None:
        """Does something at a random moment."""
        is_on, done = self.drawn(), threading.Event()

        def happens() -> None:
            if not done.is_set() and is_on():
                done.set()
                action()

        self.each_moment.append(happens)

    def git(self, project: Path, *arguments: str, **options: Any) -> CompletedProcess[str]:
        verb = next((each for each in arguments if each in _TAKES_SECONDS or each == "commit-tree"), "")
        self.sleep(_TAKES_SECONDS.get(verb, _OTHERWISE_SECONDS))
        run = partial(git, project, *arguments, **options)
        for answer in self.at_git:
            if (done := answer(verb, run)) is not None:
                return done
        return run()

    def others(self, change: Callable[[Project], None], subject: str = "Write") -> None:
        """The colleague pushes, and what is pushed is not to be lost."""
        # not where they cannot push, nor twice what can be done once
        with self._colleague, suppress(CalledProcessError, AssertionError):
            is_here = threading.current_thread() is threading.main_thread()
            if self._seconds < self._signalled + (_SIGNALLED_SECONDS if is_here else math.inf):
                return
            commit = self.clones.somebody(subject, change)
            with (self._directory / "others").open("a") as file:
                file.write(f"{commit}\n")
            self.met.touch()

    def ends(self, send: Callable[[], None]) -> None:
        """Sends a signal; not to what the colleague does, which is on another machine, and not once the command has said how it ended."""
        with self._colleague:
            if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
                self._signalled = self._seconds
                send()

    def while_on(self, is_on: Callable[[], bool], file: Path) -> None:
        """Keeps a file that others look for, for as long as it is on."""

        def happens() -> None:
            if is_on():
                file.touch()
            else:
                file.unlink(missing_ok=True)

        self.each_moment.append(happens)

    def taken_back(self) -> Sequence[str]:
        """The regions that the newest commit takes the version back in."""
        subject = self.clones.remote.git("log", "-1", "--format=%s", BRANCH)
        return re.findall(r"region-\w+", subject) if subject.startswith("Roll back ") else ()

    def kept(self, region: str) -> Path:
        """Where a region's weights are kept, which no end of a command changes."""
        return self._directory / f"{region}.json"


class Played(FakeRegions):
    """Clusters that outlive the command."""

    def __init__(self, world: World) -> None:
        super().__init__(world.clones.remote)
        self._world = world
        self.arrives = lambda region, _weights: world.arrives(region)
        self.arrived = lambda region: next(filter(None, (says(region) for says in world.arrived)), None)
        for region in REGIONS:
            if world.kept(region).exists():
                self._weights[region] = json.loads(world.kept(region).read_text())

    def _comes_to(self, what: str, region: str, weights: Mapping[str, int]) -> None:
        self._world.sleep(_TAKES_SECONDS.get(what, _OTHERWISE_SECONDS))
        for happens in self._world.at_region:
            happens(what, region)
        super()._comes_to(what, region, weights)

    def _sync(self, region: str) -> None:
        super()._sync(region)
        # a command may end at any moment
        written = self._world.kept(region).with_suffix(f".{threading.get_ident()}")
        written.write_text(json.dumps(self._weights[region]))
        written.replace(self._world.kept(region))


def fetches_fail(world: World) -> None:
    is_on = world.drawn(within=1.5)
    world.at_git.append(lambda verb, _run: _AWAY if verb in _ASKING and is_on() else None)


def pushes_fail(world: World) -> None:
    is_on = world.drawn(within=2)
    world.at_git.append(lambda verb, _run: _AWAY if verb == "push" and is_on() else None)


def an_answer_is_lost(world: World) -> None:
    is_on, also_asking = world.drawn(within=2), world.random.random() < 0.5

    def lost(verb: str, run: Callable[[], CompletedProcess[str]]) -> CompletedProcess[str] | None:
        if not is_on() or not (verb == "push" or (also_asking and verb in _ASKING)):
            return None
        run()
        return _AWAY

    world.at_git.append(lost)


def others_push(world: World) -> None:
    is_on, most = world.drawn(meets=False, within=2), world.random.randint(1, 12)
    pushes: list[None] = []

    def first(verb: str, _run: object) -> None:
        if verb == "push" and is_on() and len(pushes) < most:
            pushes.append(None)
            # every other one is to a file that the way back changes as well
            world.others(_comments if world.random.random() < 0.5 else _writes)

    world.at_git.append(first)


def a_region_is_dead(world: World) -> None:
    is_on, dead = world.drawn(), world.random.choice(world.regions)

    def answers(what: str, region: str) -> None:
        if region == dead and is_on():
            kind = RolloutError if what == "look" else TransientError
            raise kind.of(f"{region}: the cluster does not answer", "nothing is known of it", "see that it runs")

    world.at_region.append(answers)


def _threads() -> int:
    return sum(thread.name == "ask" for thread in threading.enumerate())


def a_region_is_slow(world: World) -> None:
    """The other one does not wait for it."""
    slow, other_is_measured = world.random.choice(world.regions), threading.Event()

    def answers(what: str, region: str) -> None:
        # only on the way back, where each region has a thread of its own
        if region != slow and _threads() > 1 and what == "certify":
            other_is_measured.set()
        elif region == slow and _threads() > 1 and what == "deliver" and len(world.taken_back()) > 1:
            world.met.touch()
            # one that cannot be brought there or asked ends without being measured
            is_through = comes_true(lambda: other_is_measured.is_set() or _threads() == 1, 30)
            assert is_through, "a region waits for another"

    world.at_region.append(answers)


def envoys_cannot_be_asked(world: World) -> None:
    is_on, where, refused = world.drawn(), world.random.choice(world.regions), world.random.random() < 0.5

    def arrived(region: str) -> Problem | None:
        if region != where or not is_on():
            return None
        if refused:
            return Problem(
                f"{region}: not acknowledged within 10 min by 1 Envoys: echo/client",
                "it has other routes",
                "see istiod",
            )
        raise TransientError.of(
            f"{region}: pods cannot be listed", "nothing is known of its Envoys", "see its API server"
        )

    world.arrived.append(arrived)


def the_probe_dies(world: World) -> None:
    is_on, where = world.drawn(), world.random.choice(world.regions)

    def answers(what: str, region: str) -> None:
        if region == where and what != "deliver" and is_on():
            raise RolloutError.of(f"{region}: no pod of the probe is ready", "nothing is measured", "see why it died")

    world.at_region.append(answers)


def a_stack_file_is_broken(world: World) -> None:
    """For a time; then the colleague mends it, and what was broken before."""
    is_on, where = world.drawn(meets=False), world.random.choice(world.regions)
    was_on = threading.Event()

    def happens() -> None:
        if is_on() and not was_on.is_set():
            was_on.set()
            world.others(lambda project: project.replace(where, "services:", "service:"), "Break it")
        elif was_on.is_set() and not is_on() and _broken(world.clones):
            world.others(_mends, "Mend it")

    world.each_moment.append(happens)


def a_freeze_window_opens(world: World) -> None:
    """At midnight, soon after the promotion has begun."""
    world.each_moment.append(lambda: world.met.touch() if world.now().day > 1 else None)


def the_remote_refuses(world: World) -> None:
    is_on = world.drawn(meets=False, within=2)
    hook = world.clones.remote.directory / "hooks" / "pre-receive"
    hook.write_text(f"#!/bin/sh\ntest ! -e refuses || {{ touch {world.met}; echo 'main is protected' >&2; exit 1; }}\n")
    hook.chmod(0o755)
    world.while_on(is_on, world.clones.remote.directory / "refuses")


def argo_cd_denies(world: World) -> None:
    is_on, where = world.drawn(), world.random.choice(world.regions)
    world.arrives = lambda region: region != where or not is_on()


def a_signature_needs_a_person(world: World) -> None:
    world.while_on(world.drawn(meets=False, within=1.5), world.clones.remote.directory.with_name("locked"))


def room_is_taken(world: World) -> None:
    where = world.random.choice(world.regions)

    def fewer(project: Project) -> None:
        edit(project.stack_file(where), "echo:1.0.0, replicas: 3", "echo:1.0.0, replicas: 1")
        project.render()

    world.once(lambda: world.others(fewer, "Fewer pods"))


def _ends_by(number: signal.Signals, world: World) -> None:
    is_during = world.random.random() < 0.5
    if world.failing is not None and is_during:
        # half of what is typed later comes to its end
        return

    def kill() -> None:
        # a terminal's go to all that it has started, Git too
        if number in (signal.SIGHUP, signal.SIGINT):
            os.killpg(0, number)
        else:
            os.kill(os.getpid(), number)

    # while Git is at work as well
    later = partial(threading.Timer, 0.01 * world.random.random(), world.ends, [kill])
    world.once(lambda: later().start() if is_during else world.ends(kill))


def several_at_once(world: World) -> None:
    for fault in world.random.sample([*KINDS.values()][:-1], world.random.randint(2, 4)):
        fault(world)


KINDS: Mapping[str, Callable[[World], None]] = {
    "fetches fail": fetches_fail,
    "pushes fail": pushes_fail,
    "an answer to a push is lost": an_answer_is_lost,
    "others push": others_push,
    "a region is dead": a_region_is_dead,
    "a region is slow": a_region_is_slow,
    "Envoys cannot be asked": envoys_cannot_be_asked,
    "the probe dies": the_probe_dies,
    "a stack file is broken": a_stack_file_is_broken,
    "a freeze window opens": a_freeze_window_opens,
    "the remote refuses": the_remote_refuses,
    "Argo CD denies": argo_cd_denies,
    "a signature needs a person": a_signature_needs_a_person,
    "room is taken": room_is_taken,
    "SIGKILL": partial(_ends_by, signal.SIGKILL),
    "SIGINT": partial(_ends_by, signal.SIGINT),
    "SIGTERM": partial(_ends_by, signal.SIGTERM),
    "SIGHUP": partial(_ends_by, signal.SIGHUP),
    "several at once": several_at_once,
}


@dataclass
class Round:
    """What became of a round.

    Attributes:
        wrong: What is not as it should be; empty where all is.
        codes: How each command ended.
        met: Whether a fault came before it was over.
        tries: Attempts that were made again.
        seconds: From the doubt, or the command, to the last region's weights, at most; by the clock that is played.
        said: What the commands printed.
    """

    wrong: list[str] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    met: bool = False
    tries: int = 0
    seconds: float = 0.0
    said: str = ""


def at(directory: Path) -> TwoClones:
    operator, colleague = (Project(directory / name, Work(directory / name)) for name in ("operator", "colleague"))
    return TwoClones(Work(directory / "remote.git"), operator, colleague)


def play(kind: str, number: int, directory: Path) -> Round:
    """Plays a round in an empty directory: a promotion, and what a person types until v2 has no requests anywhere."""
    random = Random(f"{kind} {number}")
    clones = new_two_clones(directory)
    _prepare(kind, clones)
    ended = Round()
    # with a part of the requests in region-b before it begins, one step is enough for a way back in both
    regions, steps = random.choice(((REGIONS, "50"), (REGIONS, "50"), (REGIONS[:1], "50"), (REGIONS, "50,100")))
    if kind == "a region is slow":
        # beside another one
        regions, steps = REGIONS, "50"
    if len(regions) > 1 and steps == "50":
        clones.somebody_weighs("region-b", v1=90, v2=10)
    command, where = ["promote", "v2", f"--steps={steps}", f"--regions={','.join(regions)}", *QUICK], "operator"
    began = clones.tip
    for typed in range(MOST_COMMANDS):
        code, said = Typed(kind, number, typed, directory, regions, where, command).run()
        ended.codes.append(code)
        ended.said += f"$ rollout {' '.join(command)}  # in {where}\n{said}[{code}]\n"
        state = next((record.state for record in reversed(clones.records())), None)
        ended.wrong += of_a_command(command[0], code, said, state, partial(_with_requests, directory))
        if ended.wrong or is_over(command[0], code):
            break
        if typed == MOST_COMMANDS - 2:
            _mend(clones)
        if re.search("^error: (Pulumi|--region)", said):
            # of what this clone has
            Work(directory / where).git("pull", "--quiet", "--ff-only")
        if state is None:
            # it was over before it had begun
            continue
        command = typed_next(state, random)
        if random.random() < 0.5:
            where = f"elsewhere-{typed}"
            clones.remote.git("clone", "--quiet", "--template=", ".", f"../{where}")
            _prepare(kind, clones, where)
    _mend(clones)
    ended.met = (directory / "met").exists()
    ended.tries = len(re.findall(r"tries again in|makes it anew", ended.said))
    ended.seconds = max(map(float, re.findall(r" % after ([0-9.]+) s", ended.said)), default=0.0)
    ended.wrong += _of_the_rest(clones, directory, began)
    return ended


@dataclass(frozen=True)
class Typed:
    """A command that is typed in a round.

    Attributes:
        kind: The round's.
        round_number: The round's.
        number: Which of the round's commands it is, from 0.
        directory: Of the repositories.
        regions: Those of the promotion.
        where: The clone in which it is typed.
        command: The words.
    """

    kind: str
    round_number: int
    number: int
    directory: Path
    regions: Sequence[str]
    where: str
    command: Sequence[str]

    @property
    def begins(self) -> bool:
        """Whether it begins a promotion."""
        return "v2" in self.command

    def run(self) -> tuple[int, str]:
        """The exit code, and what was printed."""
        output = self.directory / f"output-{self.number}"
        process = _PROCESSES.Process(target=self._run_here, args=(output,))
        process.start()
        process.join(_PROCESS_SECONDS)
        if process.exitcode is None:
            process.kill()
            process.join()
            return WITHOUT_END, output.read_text()
        return process.exitcode, output.read_text()

    def _run_here(self, output: Path) -> None:
        """In a process and a process group of its own."""
        os.setpgid(0, 0)
        with output.open("w") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        os.chdir(self.directory / self.where)
        os.environ.update(HOME=str(self.directory), XDG_CONFIG_HOME=str(self.directory), GIT_CONFIG_NOSYSTEM="1")
        world = World(self)
        regions = Played(world)
        _fails_at_random(world, regions, begun=not self.begins)
        if not world.calm:
            KINDS[self.kind](world)
        with _played(world, regions):
            app([*self.command])


def _fails_at_random(world: World, regions: FakeRegions, *, begun: bool) -> None:
    """v2 fails from a random look of a promotion on; during what is typed once it has begun, from the beginning."""
    rate = world.random.uniform(0.3, 1)

    def fails() -> None:
        world.failing = world.monotonic()
        regions.failure_rate = lambda _region, version, _weight: rate if version == "v2" else 0.0

    if begun:
        fails()
        return
    looks = world.random.randint(0, 6)

    def looked(what: str, _region: str) -> None:
        nonlocal looks
        if world.failing is None and what == "look":
            looks -= 1
            if looks < 0:
                fails()

    world.at_region.append(looked)


@contextmanager
def _played(world: World, regions: FakeRegions) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Clone, "clusters", lambda *_arguments: regions)
        patched.setattr(preflight, "refuse_troubles", lambda *_arguments: None)
        # it takes two thirds of the time, and pushes nothing
        patched.setattr(engine, "preview", lambda *_arguments: ())
        patched.setattr(clone_module, "Upstream", partial(Upstream, pause=world.sleep, now=world.now))
        patched.setattr(repository_module, "git", world.git)
        # a round is the same each time: one thread at a time is at work
        patched.setattr(lookout, "LOOK_EVERY_SECONDS", _PROCESS_SECONDS)
        for module in (engine, upstream_module, rollback_module, persistence):
            patched.setattr(module, "time", world)
        yield


def _writes(project: Project) -> None:
    with (project.directory / "README.md").open("a") as file:
        file.write("x\n")


def _comments(project: Project) -> None:
    file = project.stack_file("region-a")
    file.write_text(f"# seen\n{file.read_text()}")


def _freezes(project: Project) -> None:
    for region in REGIONS:
        project.freeze(region, "0 0 2 6 *")


def _prepare(kind: str, clones: TwoClones, where: str = "operator") -> None:
    """What is so in a clone before a command is typed."""
    clone = Work(clones.remote.directory.with_name(where))
    clone.git("config", "user.name", "operator")
    clone.git("config", "user.email", "operator@corp.local")
    if kind in ("a signature needs a person", "several at once"):
        signer = clone.directory.with_name("signer")
        signer.write_text(_SIGNER.format(locked=signer.with_name("locked"), met=signer.with_name("met")))
        signer.chmod(0o755)
        clone.git("config", "gpg.program", str(signer))
        clone.git("config", "commit.gpgSign", "true")
    if kind == "a freeze window opens" and where == "operator":
        clones.somebody("Freeze", _freezes)


def _broken(clones: TwoClones) -> bool:
    return any("  service:" in clones.remote.git("show", f"{BRANCH}:Pulumi.{region}.yaml") for region in REGIONS)


def _mends(project: Project) -> None:
    for region in REGIONS:
        with suppress(AssertionError):
            project.replace(region, "service:", "services:")


def _mend(clones: TwoClones) -> None:
    """A person does what the commands asked for."""
    for name in ("refuses", "../locked"):
        (clones.remote.directory / name).unlink(missing_ok=True)
    if _broken(clones):
        clones.somebody("Mend it", _mends)


def _of_the_rest(clones: TwoClones, directory: Path, began: str) -> list[str]:
    """What is wrong with what is left of a round."""
    states = [record.state for record in clones.records()]
    wrong: list[str] = []
    if states:
        wrong += [f"{region} has weight" for region in REGIONS if clones.weights(region)["v2"]]
        wrong += [f"{region} has requests" for region in _with_requests(directory)]
    # one for each commit that took something back, and at least one
    back = clones.remote.git("log", "--format=%H", "--grep=^Roll back ", BRANCH).split()
    changed = [commit for commit in back if clones.remote.git("diff", "--name-only", f"{commit}~", commit)]
    number = states.count(PromotionState.ROLLED_BACK)
    if states and (number != max(1, len(changed)) or states[-1] is not PromotionState.ROLLED_BACK):
        wrong.append(f"records: {', '.join(states)}")
    others = (directory / "others").read_text().split() if (directory / "others").exists() else []
    have = clones.remote.git("rev-list", BRANCH).split()
    wrong += [f"{commit[:10]} of others is lost" for commit in {began, *others} - {*have}]
    for clone in (each for each in directory.iterdir() if (each / ".git").exists()):
        wrong += of_a_clone(clone)
    return wrong + [f"{lock} is left" for lock in clones.remote.directory.rglob("*.lock")]


def _with_requests(directory: Path) -> list[str]:
    """The regions in which v2 has requests."""
    kept = {region: directory / f"{region}.json" for region in REGIONS}
    return [region for region, file in kept.items() if file.exists() and json.loads(file.read_text()).get("v2", 0)]
