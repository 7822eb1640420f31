"""A checkout of the tests' own, made of what the working tree holds now."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

_AUTHOR = ("-c", "user.name=End-to-end tests", "-c", "user.email=e2e@example.invalid", "-c", "commit.gpgsign=false")


def git(checkout: Path, *arguments: str) -> str:
    """Run git in a checkout; what it printed."""
    command = ["git", "-c", "safe.directory=*", *_AUTHOR, *arguments]
    result = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise AssertionError(f"git {' '.join(arguments)} ended with {result.returncode}:\n{result.stderr}")
    return result.stdout


def fresh_checkout(source: Path, target: Path) -> None:
    """Make `target` a repository with one commit: the files of `source` that Git knows or would take, as they are.

    Its Python environment is the source's.
    """
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    names = git(source, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    for name in filter(None, names):
        if (source / name).exists():  # else it was deleted, and that is not committed yet
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, target / name)
    (target / ".venv").symlink_to(source / ".venv")
    git(target, "init", "--quiet", "--initial-branch=main")
    git(target, "add", "--all")
    git(target, "commit", "--quiet", "--message=What is tested")
