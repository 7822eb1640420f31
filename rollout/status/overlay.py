"""The weights that a commit says: read from the overlay in the project's repository, as it was at that commit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import yaml

from rollout.git.command import git, said
from rollout.plan.manifests import file_name
from rollout.problem import Problem, RolloutError
from rollout.weights import ALL
from rules.facts.manifests import read

_COMMIT = r"[0-9a-f]{40}|[0-9a-f]{64}"
_WHY = "a share is judged against the weights that Argo CD last synced, those of the overlay at that commit"


@dataclass(frozen=True)
class Split:
    """Whole percents by version, and the versions that testers can ask for at any weight."""

    weights: Mapping[str, int]
    testers: frozenset[str] = frozenset()


def overlay_split(project: Path, revision: str, folder: str, service: str) -> Split:
    """How an overlay at a commit splits the requests.

    Args:
        project: A directory in a clone of the repository.
        revision: The commit's full hash.
        folder: The overlay's, from the top of the repository.
        service: The name of the service that it is of.

    Raises:
        RolloutError: the commit is not in this clone or cannot be read, or what is there is no VirtualService that splits
            all requests.
    """
    path = str(PurePosixPath(folder, file_name("VirtualService", service, service)))
    return parse_split(read_file(project, revision, path), f"{path} at {revision}")


def is_here(project: Path, commit: str) -> bool:
    """Whether the local clone has a commit, given by its full hash."""
    return git(project, "cat-file", "-e", f"{commit}^{{commit}}", why=_WHY).returncode == 0


def read_file(project: Path, revision: str, path: str) -> str:
    """A file's text at a commit, from the local clone; asks no remote. Takes some ten milliseconds.

    A clone that belongs to another user is refused as git refuses it: its configuration could name programs to run.

    Args:
        project: A directory in the clone.
        revision: A commit's full hash.
        path: From the top of the repository.

    Raises:
        RolloutError: there is no git, no repository, no such commit in it, or no such file in the commit.
    """
    if not re.fullmatch(_COMMIT, revision):
        raise RolloutError.of(
            f"the revision {revision!r} is not a commit's hash",
            _WHY,
            "let the Application follow a branch of this project's Git repository",
        )
    top = git(project, "rev-parse", "--absolute-git-dir", why=_WHY)
    if top.returncode != 0:
        raise RolloutError.of(
            f"{project} is not a Git repository that can be read: {said(top)}",
            _WHY,
            "run this in a clone of the repository that Argo CD reads; if it belongs to another user, do what git says",
        )
    if not is_here(project, revision):
        raise RolloutError.of(
            f"the commit {revision}, which Argo CD last synced, is not in the repository of {project}",
            _WHY,
            "fetch it: git fetch --all",
        )
    shown = git(project, "show", f"{revision}:{path}", why=_WHY)
    if shown.returncode != 0:
        raise RolloutError.of(
            f"{path} cannot be read at {revision}: {said(shown)}",
            _WHY,
            "see that the Application's path is that of the region's overlay, and that it was rendered and committed",
        )
    return shown.stdout


def parse_split(text: str, source: str) -> Split:
    """How a VirtualService with one HTTP route for every request splits them.

    Args:
        text: Its YAML.
        source: Where that is from, for the messages.

    Raises:
        RolloutError: it is no such VirtualService, or the weights do not sum to 100; all problems together.
    """
    try:
        found = read(yaml.load_all(text, Loader=yaml.CSafeLoader))
    except yaml.YAMLError as error:
        raise RolloutError(_unusable(source, " ".join(str(error).split()))) from error
    if found.unreadable:
        raise RolloutError(*(_unusable(source, f"{each.where}: {each.what}") for each in found.unreadable))
    routes = [route for each in found.virtual_services for route in each.routes]
    # with more than one, which of them a request takes depends on the request
    if len(routes) != 1:
        raise RolloutError(_unusable(source, f"it has {len(routes)} HTTP routes for every request, not one"))
    weights = {each.subset: each.weight for each in routes[0] if each.subset is not None}
    if len(weights) != len(routes[0]) or sum(weights.values()) != ALL or min(weights.values()) < 0:
        split = " + ".join(f"{each.subset or 'all pods'} {each.weight}" for each in routes[0])
        raise RolloutError(_unusable(source, f"{split or 'nothing'} is no split of 100 percent"))
    testers = {each.destination.subset or "" for it in found.virtual_services for each in it.testers}
    return Split(weights, frozenset(testers))


def _unusable(source: str, what: str) -> Problem:
    return Problem(f"{source}: {what}", _WHY, "render the overlay anew (make render), commit it and let it sync")
