"""The Git remote that Argo CD of both regions reads: a bare repository in the lab's folder, served inside the hub's network namespace.

What is pushed goes by path, so that the daemon only reads. In the checkout's own lab the remote is called `lab`, and
`git push lab` from any branch is all that a person types.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import mark
from lab.delivery.application import REFRESH
from lab.machine import cgroups, namespaces
from lab.machine.files import write
from lab.machine.processes import Daemon
from lab.place import Lab
from lab.report import LabError, Report

DAEMON = "git-daemon"
_REMOTE = "lab"
BRANCH = "main"
_FOLDER, _REPOSITORY = "git", "echo-rollout.git"
# of a person's own settings, some (insteadOf, defaultObjectFormat) would change which repository is made or read
_UNTOUCHED = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
_PUSHED_AS = f"HEAD:refs/heads/{BRANCH}"
_START_SECONDS = 10.0
_ANSWER_SECONDS = 2.0
_COMMITS_SHOWN = 10
_FILES_SHOWN = 3

# its own hooks whatever the person's settings say; a checkout may be shallow; nothing that was ever pushed is thrown away before `lab down`
_CONFIGURATION = """\
[core]
\trepositoryformatversion = 0
\tbare = true
\thooksPath = hooks
\tlogAllRefUpdates = true
[receive]
\tshallowUpdate = true
\tautogc = false
"""

_HOOK = """\
#!/bin/sh
# Written by `lab up`. Asks Argo CD of each region to look at once, as a webhook would.
ask() {
  if said=$(%(kubectl)s --kubeconfig=%(kubeconfig)s --context="$1" --request-timeout=5s %(refresh)s 2>&1); then
    echo "$1: asked to sync $2"
  else
    case $said in
    *"No resources"* | *"resource type"*) echo "$1: has no Application yet, so nothing syncs $2" ;;
    *) echo "$1: cannot be asked to sync $2: $(printf '%%s\\n' "$said" | tail -n 1)" ;;
    esac
  fi
}
while read -r _ new ref; do
  if [ "$ref" = refs/heads/%(branch)s ]; then
    short=$(git rev-parse --short "$new")
    for region in %(regions)s; do ask "$region" "$short" & done
  fi
done
wait
"""


@dataclass(frozen=True)
class Commit:
    """A commit, as people know it.

    Attributes:
        id: forty hexadecimal digits.
        subject: the first line of its message.
    """

    id: str
    subject: str

    def __str__(self) -> str:
        return f"{self.id[:7]} ({self.subject})"


def head(checkout: Path) -> Commit:
    """The commit that is checked out.

    Raises:
        LabError: there is no Git, no repository or no commit.
    """
    top = _git(checkout, "rev-parse", "--show-toplevel")
    if top.returncode != 0 or Path(top.stdout.strip()).resolve() != checkout.resolve():
        said = top.stderr.strip().removeprefix("fatal: ") or f"the repository around it is {top.stdout.strip()}"
        raise LabError(
            f"{checkout}: it is not a Git repository ({said}), and Argo CD delivers what is committed. "
            "Clone the project, or `git init`, `git add --all` and `git commit`"
        )
    found = _commit(checkout, "HEAD")
    if found is None:
        raise LabError(
            f"{checkout}: there is no commit yet, and Argo CD delivers what is committed. `git add --all`, then `git commit`"
        )
    return found


@dataclass(frozen=True)
class Remote:
    """The lab's remote.

    Attributes:
        lab: which lab it belongs to.
    """

    lab: Lab

    @property
    def repository(self) -> Path:
        """The bare repository, where pushes go."""
        return self.lab.directory / _FOLDER / _REPOSITORY

    @property
    def hook(self) -> Path:
        """What asks Argo CD of each region to look, after a push."""
        return self.repository / "hooks" / "post-receive"

    def make(self, kubectl: Path) -> None:
        """Make the repository and its hook, and tell the checkout whose own lab it is of it, as far as that is missing.

        Args:
            kubectl: the program that the hook calls.

        Raises:
            LabError: the checkout has another remote of that name, or one of the two cannot be written to.
        """
        configuration = self.repository / "config"
        # it is written last, so what a killed `init` left is made anew
        if not configuration.exists() or configuration.read_text() != _CONFIGURATION:
            self.repository.mkdir(parents=True, exist_ok=True)
            # no template: a person's own may hold hooks
            made = _git(
                self.repository, "init", "--bare", "--template=", f"--initial-branch={BRANCH}", environment=_UNTOUCHED
            )
            if made.returncode != 0:
                raise LabError(
                    f"{self.repository}: it cannot be made, so Argo CD has nothing to read: {made.stderr.strip()}. "
                    f"Remove what is in its place, then: make up"
                )
            write(configuration, _CONFIGURATION, mode=0o644)
        self.hook.parent.mkdir(exist_ok=True)
        hook = _HOOK % {
            "kubectl": shlex.quote(str(kubectl)),
            "kubeconfig": shlex.quote(str(self.lab.kubeconfig)),
            "refresh": shlex.join(REFRESH),
            "regions": " ".join(region.name for region in self.lab.regions),
            "branch": BRANCH,
        }
        write(self.hook, hook, mode=0o755)
        if self.lab.is_checkouts_own:
            self._introduce()

    def serve(self) -> bool:
        """Start the daemon, unless it answers.

        Returns:
            Whether it was started.

        Raises:
            LabError: it does not come up.
        """
        daemon = self.daemon()
        if daemon.is_running() and daemon.answers():
            return False
        cgroups.create(self.lab.hub_cgroup)
        daemon.await_well(_START_SECONDS, daemon.start())
        return True

    def push_command(self, *flags: str) -> str:
        """What a person types to push the commit that is checked out."""
        own = self.lab.is_checkouts_own
        return shlex.join(["git", "push", *flags, *([_REMOTE] if own else [str(self.repository), _PUSHED_AS])])

    def publish(self, report: Report) -> Commit:
        """Push the commit that is checked out, and say so if the working tree differs from it.

        Raises:
            LabError: there is none, or the push would take commits away.
        """
        commit, before = head(self.lab.checkout), self.head()
        if before is None or before.id != commit.id:
            self._push(commit, before)
            report(f"pushed {commit} to the lab's Git")
        if changed := _uncommitted(self.lab):
            more = f" and {len(changed) - _FILES_SHOWN} more" * (len(changed) > _FILES_SHOWN)
            report(f"not committed: {', '.join(changed[:_FILES_SHOWN])}{more}; the regions get what is committed")
        return commit

    def head(self) -> Commit | None:
        """The commit that the regions are to have; None before the first push."""
        return _commit(self.repository, f"refs/heads/{BRANCH}")

    def commit(self, revision: str) -> Commit | None:
        """The commit that a revision names; None if the repository has none such."""
        return _commit(self.repository, revision)

    def daemon(self) -> Daemon:
        """What serves the repository to the regions."""
        command = (
            str(_program()),
            "--verbose",
            "--reuseaddr",
            "--export-all",
            "--informative-errors",
            f"--listen={self.lab.hub_address}",
            f"--base-path={self.repository.parent}",
            str(self.repository.parent),
        )
        logs, through = self.lab.logs / "hub", ["nsenter", f"--net={namespaces.path(self.lab.hub_namespace)}"]
        return Daemon("hub", DAEMON, command, self.lab.hub_cgroup, logs, self._answers, through)

    def forget(self) -> None:
        """Remove the checkout's remote if it is ours; the daemon ends with the lab's cgroup."""
        # the checkout may have been moved since it was added
        places = {self.lab.directory, *(Path(up.directory) for up in [mark.read(self.lab.directory)] if up)}
        ours = {str(place / _FOLDER / _REPOSITORY) for place in places}
        with contextlib.suppress(LabError):  # without Git, nothing of it is there
            if self.lab.is_checkouts_own and set(self._setting("url")) & ours:
                _git(self.lab.checkout, "remote", "remove", _REMOTE)

    def _introduce(self) -> None:
        wanted = {"push": _PUSHED_AS, "fetch": f"+refs/heads/*:refs/remotes/{_REMOTE}/*", "url": str(self.repository)}
        url = self._setting("url")
        if url and url != [wanted["url"]]:
            raise LabError(
                f"{self.lab.checkout}: the remote `{_REMOTE}` is {url[0]}, which is not this lab's. `git push {_REMOTE}` would not reach "
                f"the regions. Call yours something else (`git remote rename {_REMOTE} …`), or remove it if nobody uses it "
                f"(`git remote remove {_REMOTE}`), then: make up"
            )
        if any(not self._setting(name) for name in wanted):
            head(self.lab.checkout)
            for name, value in wanted.items():
                written = _git(self.lab.checkout, "config", "--replace-all", f"remote.{_REMOTE}.{name}", value)
                if written.returncode != 0:
                    raise LabError(
                        f"{self.lab.checkout}: the remote `{_REMOTE}` cannot be added, so that nobody can push to the regions: "
                        f"{written.stderr.strip()}"
                    )

    def _setting(self, name: str) -> list[str]:
        """The values of one of the remote's settings in the checkout's own configuration, and in no other."""
        asked = _git(self.lab.checkout, "config", "--local", "--get-all", f"remote.{_REMOTE}.{name}")
        return asked.stdout.splitlines()

    def _answers(self) -> bool:
        """Read the repository as a region does."""
        through = ["nsenter", f"--net={namespaces.path(self.lab.hub_namespace)}"]
        words = ("ls-remote", address(self.lab))
        try:
            asked = _git(Path("/"), *words, through=through, seconds=_ANSWER_SECONDS, environment=_UNTOUCHED)
        except subprocess.TimeoutExpired:
            return False
        return asked.returncode == 0

    def _push(self, commit: Commit, before: Commit | None) -> None:
        quiet = ["--no-follow-tags", "--no-signed", "--recurse-submodules=no", "--porcelain"]
        pushed = _git(self.lab.checkout, "push", *quiet, str(self.repository), _PUSHED_AS)
        if pushed.returncode == 0:
            return
        if before is not None and re.search(r"^!.*\[rejected\]", pushed.stdout, re.MULTILINE):
            raise LabError(self._refusal(commit, before))
        raise LabError(
            f"{self.lab.checkout}: {commit} cannot be pushed to {self.repository}, so the regions do not get it: "
            f"{pushed.stderr.strip()}"
        )

    def _refusal(self, commit: Commit, before: Commit) -> str:
        # neither repository need have the other's commits
        both = {"GIT_ALTERNATE_OBJECT_DIRECTORIES": str(self.repository / "objects")}
        count = f"--max-count={_COMMITS_SHOWN + 1}"
        log = _git(self.lab.checkout, "log", count, "--format=%h (%s)", f"HEAD..{before.id}", environment=both)
        lost = log.stdout.splitlines() or [str(before)]
        lines = [f"  {line}" for line in lost[:_COMMITS_SHOWN]] + ["  and more"] * (len(lost) > _COMMITS_SHOWN)
        name = _REMOTE if self.lab.is_checkouts_own else shlex.quote(str(self.repository))
        return "\n".join(
            [
                f"{self.repository}: its {BRANCH} has commits that {commit} has not:",
                *lines,
                "The regions run them; to push would take them away. Nothing was pushed.",
                f"To take them over: git pull {name} {BRANCH}. To overwrite them: {self.push_command('--force')}. "
                "Then: make up",
            ]
        )


def address(lab: Lab) -> str:
    """The repository's address, seen from a region."""
    return f"git://{lab.hub_address}/{_REPOSITORY}"


def _uncommitted(lab: Lab) -> list[str]:
    """Files that the regions are made from, of which the working tree's is not the committed one."""
    stack_files = [f"Pulumi.{region.name}.yaml" for region in lab.regions]
    listed = _git(lab.checkout, "status", "--porcelain", "-z", "--no-renames", "--", "deploy", *stack_files)
    return [entry[3:] for entry in listed.stdout.split("\0") if entry]


def _commit(repository: Path, revision: str) -> Commit | None:
    if not repository.exists():
        return None
    asked = _git(repository, "log", "--max-count=1", "--no-show-signature", "--format=%H %s", revision, "--")
    identifier, _, subject = asked.stdout.strip().partition(" ")
    return Commit(identifier, subject) if asked.returncode == 0 and identifier else None


def _program() -> Path:
    """The daemon itself: `git daemon` would start it under another command line."""
    program = Path(_git(Path("/"), "--exec-path").stdout.strip()) / DAEMON
    if not program.exists():
        raise LabError(
            f"{program} is missing: it serves what is committed to the regions. Install it (on Fedora: {DAEMON})"
        )
    return program


def _git(
    directory: Path,
    *arguments: str,
    environment: dict[str, str] | None = None,
    through: Sequence[str] = (),
    seconds: float | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run Git in `directory`, apart from variables, hooks and pager of whoever runs the lab."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    # root may run the lab in somebody's checkout: what only reads takes no lock there
    own |= {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", **(environment or {})}
    settings = ["safe.directory=*", "safe.bareRepository=all", "core.hooksPath=/dev/null", "core.fsmonitor=false"]
    command = ["git", *(part for setting in settings for part in ("-c", setting)), *arguments]
    try:
        return subprocess.run(
            [*through, *command],
            cwd=directory,
            env=own,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=seconds,
        )
    except FileNotFoundError:
        raise LabError(
            "git is missing, and Argo CD delivers what is committed. On Debian: apt-get install git"
        ) from None
