"""A project with v2 waiting at weight 0, on a remote's main, and the clones of two people."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from rollout.git.record import Promotion, PromotionState, Record, message, parse
from rollout.git.repository import Repository
from rollout.promote.upstream import Upstream, regions_at
from tests.rollout.planned import REGIONS, Project, new_planned
from tests.rollout.repository import Repository as Work
from tests.rollout.repository import pack, without_maintenance
from tests.rollout.stack_files import lasting_directory

REMOTE = "origin"
BRANCH = "main"
BEFORE = {"v1": 100, "v2": 0}


@dataclass(frozen=True)
class TwoClones:
    """The remote, which is bare, and the clones of an operator and of a colleague.

    Attributes:
        said: What the operator was told, a line each.
        hearing: Called with each of these lines.
        paused: How long the operator's command would have waited before it tried again, in seconds each.
    """

    remote: Work
    operator: Project
    colleague: Project
    said: list[str] = field(default_factory=list)
    hearing: list[Callable[[str], None]] = field(default_factory=list)
    paused: list[float] = field(default_factory=list)

    @property
    def tip(self) -> str:
        return self.remote.pushed(BRANCH)

    def upstream(self, service: str = "echo", *, proposal: str | None = None, of: Project | None = None) -> Upstream:
        project = of or self.operator
        return Upstream(Repository(project.directory), service, REMOTE, BRANCH, proposal, self._say, self.paused.append)

    def weights(self, region: str, commit: str = "", service: str = "echo") -> Mapping[str, int]:
        """What the remote has of a service in a region now, or had at a commit."""
        # as the remote has it: the operator's clone need not fetch it for that
        delivered = regions_at(Repository(self.remote.directory), commit or self.tip)
        return delivered[region].services[service].weights

    def subjects(self) -> list[str]:
        """Of the commits on the remote since the first one, the oldest first."""
        return self.remote.git("log", "--reverse", "--format=%s", BRANCH).splitlines()[1:]

    def records(self) -> list[Record]:
        """What these commits say of a promotion, or what is noted of them, where there is something."""
        told = self.remote.git("log", "--reverse", "-z", "--notes=refs/notes/rollout/*", "--format=%B%n%N", BRANCH)
        return [record for each in told.split("\0") if (record := parse(each))]

    def somebody_weighs(self, region: str, service: str = "echo", **weights: int) -> str:
        """The colleague gives a service of a region other weights and pushes that; the commit."""
        return self.somebody("Set weights", lambda project: project.weigh(region, service, **weights))

    def somebody_promotes(self) -> str:
        """The colleague begins to promote v2 of echo in region-b and pushes that; the commit."""
        theirs = self.upstream(of=self.colleague)
        promotion = Promotion("v2-x", "echo", "v2", (10,), ("region-b",), 0, self.tip)
        text = message("Promote v2", Record(promotion, PromotionState.IN_PROGRESS, "region-b", 10))
        return theirs.placed(lambda tip: theirs.shifted(tip, {"region-b": {"v1": 90, "v2": 10}}, text))

    def somebody(self, subject: str, change: Callable[[Project], None]) -> str:
        """The colleague changes the project and pushes that; the commit."""
        self.colleague.repository.git("pull", "--quiet", "--ff-only")
        change(self.colleague)
        return self._push(subject)

    def somebody_writes(self, path: str = "README.md") -> str:
        """The colleague pushes a file that is of no region; the commit."""

        def write(project: Project) -> None:
            with (project.directory / path).open("a") as file:
                file.write("x\n")

        return self.somebody("Write", write)

    def _push(self, subject: str) -> str:
        clone = self.colleague.repository
        clone.git("add", "--all", ".")
        clone.git("commit", "--quiet", "--message", subject)
        clone.git("push", "--quiet", REMOTE, BRANCH)
        return clone.git("rev-parse", "HEAD")

    def _say(self, line: str) -> None:
        self.said.append(line)
        for hear in self.hearing:
            hear(line)


def new_two_clones(directory: Path, *, web: bool = False) -> TwoClones:
    """Makes them below a directory; v2 has weight 0 in both regions. With `web` the colleague has added that service."""
    shutil.copytree(_with_web() if web else _template(), directory, dirs_exist_ok=True)
    operator, colleague = (Project(directory / name, Work(directory / name)) for name in ("operator", "colleague"))
    return TwoClones(Work(directory / "remote.git"), operator, colleague)


@cache
def _with_web() -> Path:
    directory = lasting_directory()
    new_two_clones(directory).somebody("Add web", Project.add_service)
    return directory


@cache
def _template() -> Path:
    """The directory of the three repositories. They are copied, not cloned: the clones know their remote as `../remote.git`."""
    directory = lasting_directory()
    project = new_planned(directory / "operator")
    operator = project.repository
    for region in REGIONS:
        project.weigh(region, "echo", **BEFORE)
    operator.git("add", "--all")
    # one commit: what the remote has since then is what a test did
    operator.git("commit", "--quiet", "--amend", "--message", "Begin with v2 at weight 0")
    operator.git("init", "--quiet", "--bare", "--template=", f"--initial-branch={BRANCH}", "../remote.git")
    operator.git("remote", "add", REMOTE, "../remote.git")
    operator.git("push", "--quiet", "--set-upstream", REMOTE, BRANCH)
    pack(operator)
    pack(Work(directory / "remote.git"))
    shutil.copytree(operator.directory, directory / "colleague")
    (directory / "remote.git" / "hooks").mkdir()
    without_maintenance(Work(directory / "remote.git"))
    for name in ("operator", "colleague"):
        clone = Work(directory / name)
        clone.git("config", "user.name", name)
        clone.git("config", "user.email", f"{name}@corp.local")
    return directory
