"""A real Git repository with the overlay of region-a."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.rollout.stack_files import ROOT

OVERLAY = "deploy/overlays/region-a/echo"

VIRTUAL_SERVICE = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: echo
  namespace: echo
spec:
  hosts: [echo.echo.svc.cluster.local]
  http:
    - route:
        - destination: {{host: echo.echo.svc.cluster.local, subset: v1}}
          weight: {v1}
        - destination: {{host: echo.echo.svc.cluster.local, subset: v2}}
          weight: {v2}
"""

# the first word without a dash is what it is to do
_MORTAL_GIT = """\
#!/bin/sh
for word; do
    case $word in -* | /* | *=*) ;; *) break ;; esac
done
mkdir {killed}/$word 2> /dev/null && kill -HUP $$
exec {git} "$@"
"""


@dataclass(frozen=True)
class Repository:
    directory: Path

    def git(self, *arguments: str) -> str:
        # no configuration of the person who runs the tests: it may sign commits, or call hooks
        environment = {"PATH": "/usr/bin:/bin:/usr/local/bin", "GIT_CONFIG_NOSYSTEM": "1", "HOME": str(self.directory)}
        identity = ("-c", "user.name=test", "-c", "user.email=test@corp.local")
        done = subprocess.run(
            ["git", "-C", str(self.directory), *identity, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def pushed(self, branch: str) -> str:
        """The hash of a branch that was pushed to here, without a process."""
        return (self.directory / "refs" / "heads" / branch).read_text().strip()

    def commit_weights(self, v1: int, v2: int) -> str:
        """Commits an overlay with these weights; the commit's hash."""
        return self.commit_text(VIRTUAL_SERVICE.format(v1=v1, v2=v2))

    def commit_text(self, text: str) -> str:
        file = self.directory / OVERLAY / "vs.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        self.git("add", OVERLAY)
        self.git("commit", "--quiet", "--message", "Set weights")
        return self.git("rev-parse", "HEAD")


def new_repository(directory: Path) -> Repository:
    directory.mkdir(parents=True, exist_ok=True)
    repository = Repository(directory)
    repository.git("init", "--quiet", "--template=", "--initial-branch", "main")
    without_maintenance(repository)
    return repository


def without_maintenance(repository: Repository) -> None:
    """Keeps git from starting another process after each commit and each push, to see whether there is something to tidy up."""
    for setting in ("maintenance.auto", "receive.autoGC"):
        repository.git("config", setting, "false")


def pack(repository: Repository) -> None:
    """Puts all objects into one file: a repository that tests copy has a third of the files and folders then."""
    repository.git("repack", "-a", "-d", "--quiet")


def committed_project(directory: Path) -> Repository:
    """A clone of the project as it is: two regions with weights 90 and 10."""
    made = new_repository(directory)
    for name in ("Pulumi.yaml", "Pulumi.region-a.yaml", "Pulumi.region-b.yaml"):
        shutil.copy(ROOT / name, made.directory / name)
    shutil.copytree(ROOT / "deploy", made.directory / "deploy")
    made.git("add", "--all")
    made.git("commit", "--quiet", "--message", "Begin")
    return made


def mortal_git(directory: Path) -> Path:
    """A folder with a `git` that SIGHUP ends when it does something, such as `ls-tree`, for the first time."""
    program, killed = directory / "mortal" / "git", directory / "killed"
    program.parent.mkdir()
    killed.mkdir()
    program.write_text(_MORTAL_GIT.format(killed=killed, git=shutil.which("git")))
    program.chmod(0o755)
    return program.parent
